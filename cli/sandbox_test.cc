// What the sandbox lets through and what not, each in a process of its own.
#include "cli/sandbox.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iterator>
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

// All that a check may call with arguments that mean nothing. As in the sandbox
// itself, so that whoever lets one more in has to say so here, too.
constexpr long kAllowed[] = {
    SYS_brk,
    SYS_clock_getres,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_clone,
    SYS_close,
    SYS_exit,
    SYS_exit_group,
    SYS_fadvise64,
    SYS_fstat,
    SYS_futex,
    SYS_getpid,
    SYS_getrandom,
    SYS_getrusage,
    SYS_gettid,
    SYS_gettimeofday,
    SYS_lseek,
    SYS_madvise,
    SYS_membarrier,
    SYS_mremap,
    SYS_munmap,
    SYS_nanosleep,
    SYS_poll,
    SYS_ppoll,
    SYS_pread64,
    SYS_preadv,
    SYS_read,
    SYS_restart_syscall,
    SYS_rseq,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sched_getaffinity,
    SYS_sched_yield,
    SYS_set_robust_list,
    SYS_sigaltstack,
};

constexpr long kFatal[] = {
    SYS_accept,         SYS_bpf,
    SYS_connect,        SYS_execve,
    SYS_execveat,       SYS_fork,
    SYS_io_uring_setup, SYS_kill,
    SYS_mount,          SYS_process_vm_writev,
    SYS_ptrace,         SYS_socket,
    SYS_userfaultfd,    SYS_vfork,
};

// Those of the kernel's own probes, which no filter is asked about.
constexpr long kProbes[] = {335, 336};

template <size_t kSize>
bool IsIn(const long (&calls)[kSize], long call) {
  return std::find(std::begin(calls), std::end(calls), call) != std::end(calls);
}

TEST(SandboxTest, EveryOtherCallIsRefused) {
  constexpr long kCalls = 1024;
  void* const shared = mmap(nullptr, sizeof(long), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  long& let_in = *static_cast<long*>(shared);
  EXPECT_EQ(ExitInside([&] {
              for (long call = 0; call < kCalls; ++call) {
                if (IsIn(kAllowed, call) || IsIn(kFatal, call) ||
                    IsIn(kProbes, call)) {
                  continue;
                }
                errno = 0;
                const bool refused =
                    syscall(call, -1, -1, -1, -1, -1, -1) == -1 &&
                    errno == (call == SYS_clone3 ? ENOSYS : EPERM);
                if (refused) continue;
                let_in = call;
                return 1;
              }
              return 0;
            }),
            0)
      << "system call " << let_in << " was not refused";
  munmap(shared, sizeof(long));
}

TEST(SandboxTest, CallsOfSomebodyElsesEndTheProcess) {
  for (const long call : kFatal) {
    EXPECT_TRUE(Fatal([&] { syscall(call, -1, -1, -1, -1, -1, -1); }))
        << "system call " << call;
  }
}

TEST(SandboxTest, NoMemoryCanBeRun) {
  EXPECT_TRUE(Refused([] {
    void* const page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mprotect(page, 4096, PROT_READ | PROT_EXEC);
  }));
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
