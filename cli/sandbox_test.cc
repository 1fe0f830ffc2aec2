// What the sandbox lets through and what not, each in a process of its own.
#include "cli/sandbox.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

constexpr int kNoSandbox = 99;

// The wait status of a process that enters the sandbox and exits with what
// `inside` returns.
int RunInside(const std::function<int()>& inside) {
  const pid_t child = fork();
  if (child == 0) _exit(EnterSandbox().ok() ? inside() : kNoSandbox);
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

int ExitInside(const std::function<int()>& inside) {
  const int status = RunInside(inside);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  return WEXITSTATUS(status);
}

// Whether `call` fails with EPERM inside.
bool Refused(const std::function<int()>& call) {
  return ExitInside([&] {
           errno = 0;
           return call() == -1 && errno == EPERM ? 0 : 1;
         }) == 0;
}

// Whether `call` ends the process.
bool Fatal(const std::function<void()>& call) {
  const int status = RunInside([&] {
    call();
    return 0;
  });
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

TEST(SandboxTest, ACheckHasWhatItNeeds) {
  const int file = open("/proc/self/exe", O_RDONLY);
  ASSERT_GE(file, 0);
  EXPECT_EQ(ExitInside([&] {
              char bytes[4];
              struct stat status;
              if (pread(file, bytes, 4, 0) != 4) return 1;
              if (fstat(file, &status) != 0) return 2;
              if (lseek(file, 0, SEEK_END) <= 0) return 3;
              std::vector<char> memory(size_t{64} << 20, 'x');
              int sum = 0;
              std::thread([&] { sum = memory[5]; }).join();
              if (sum != 'x') return 4;
              return write(STDOUT_FILENO, "\n", 1) == 1 ? 0 : 5;
            }),
            0);
  close(file);
}

TEST(SandboxTest, NoFileIsOpenedOrChanged) {
  char path[] = "/tmp/sandbox-test-XXXXXX";
  const int file = mkstemp(path);
  ASSERT_GE(file, 0);
  EXPECT_TRUE(Refused([&] { return open(path, O_RDONLY); }));
  EXPECT_TRUE(
      Refused([&] { return open("/tmp/x", O_CREAT | O_WRONLY, 0600); }));
  EXPECT_TRUE(Refused([&] { return unlink(path); }));
  EXPECT_TRUE(Refused([&] { return rename(path, "/tmp/y"); }));
  EXPECT_TRUE(Refused([&] { return chmod(path, 0777); }));
  EXPECT_TRUE(Refused([&] { return ftruncate(file, 5); }));
  EXPECT_TRUE(Refused([&] { return static_cast<int>(write(file, "x", 1)); }));
  EXPECT_TRUE(
      Refused([&] { return static_cast<int>(pwrite(file, "x", 1, 0)); }));
  EXPECT_TRUE(Refused([&] { return dup2(file, STDOUT_FILENO); }));
  close(file);
  unlink(path);
}

TEST(SandboxTest, NoMemoryCanBeRun) {
  EXPECT_TRUE(Refused([] {
    return mmap(nullptr, 4096, PROT_READ | PROT_EXEC,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
               ? -1
               : 0;
  }));
}

TEST(SandboxTest, NoProgramIsStartedAndNoSocketOpened) {
  EXPECT_TRUE(Fatal([] { execl("/bin/true", "true", nullptr); }));
  EXPECT_TRUE(Fatal([] { socket(AF_INET, SOCK_STREAM, 0); }));
  EXPECT_TRUE(Fatal([] { kill(getppid(), 0); }));
  EXPECT_TRUE(Refused([] { return fork(); }));
}

// abort() has to work, or a failed assertion would go on.
TEST(SandboxTest, SignalsReachThisProcessAlone) {
  const pid_t other = getpid();
  EXPECT_TRUE(Refused(
      [&] { return static_cast<int>(syscall(SYS_tgkill, other, other, 0)); }));
  const int status = RunInside([] {
    abort();
    return 0;
  });
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGABRT);
}

}  // namespace
}  // namespace qcow2::cli
