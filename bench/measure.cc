// Runs one command with its output thrown away and prints what it cost:
//   wall-seconds user-seconds system-seconds peak-KiB exit-code
//
// A process inherits the peak memory of whoever forked it, so measuring from
// Python would put the interpreter's megabytes under every figure. This
// program is small enough not to matter.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

namespace {

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) +
         static_cast<double>(time.tv_usec) / 1e6;
}

// In the child: does not return.
[[noreturn]] void Execute(char** command) {
  const int null = open("/dev/null", O_WRONLY);
  if (null >= 0) {
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    close(null);
  }
  execvp(command[0], command);
  _exit(127);
}

// The shell's convention: 128 + signal for a command that was killed.
int ExitCode(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: measure COMMAND [ARGUMENT...]\n");
    return 2;
  }
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) Execute(argv + 1);
  int status = 0;
  rusage usage{};
  if (child < 0 || wait4(child, &status, 0, &usage) != child) {
    std::perror("measure");
    return 1;
  }
  const std::chrono::duration<double> wall =
      std::chrono::steady_clock::now() - start;
  std::printf("%.6f %.6f %.6f %ld %d\n", wall.count(), Seconds(usage.ru_utime),
              Seconds(usage.ru_stime), usage.ru_maxrss, ExitCode(status));
  return 0;
}
