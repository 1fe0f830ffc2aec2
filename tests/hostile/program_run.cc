#include "tests/hostile/program_run.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

namespace qcow2::hostile {
namespace {

constexpr auto kPatience = std::chrono::minutes(4);

std::string Folder() {
  const char* folder = std::getenv("TEST_TMPDIR");
  return folder != nullptr ? folder : "/tmp";
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void SendTo(int descriptor, const std::string& path) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (file == -1 || dup2(file, descriptor) == -1) _exit(127);
}

// In the child: never returns.
[[noreturn]] void Become(const std::string& program,
                         const std::vector<std::string>& arguments,
                         const std::string& output, const std::string& error) {
  SendTo(STDOUT_FILENO, output);
  SendTo(STDERR_FILENO, error);
  const auto seconds = static_cast<rlim_t>(8 * MaxCpuSeconds());
  const rlimit cpu = {seconds, seconds + 1};
  setrlimit(RLIMIT_CPU, &cpu);
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  if (!BuiltWithSanitizer()) {
    // A net below the measurement, so that a mistake does not fill the machine.
    const rlimit memory = {rlim_t{8} << 30, rlim_t{8} << 30};
    setrlimit(RLIMIT_AS, &memory);
  }
  std::vector<char*> words = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) {
    words.push_back(const_cast<char*>(argument.c_str()));
  }
  words.push_back(nullptr);
  execv(program.c_str(), words.data());
  _exit(127);
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) +
         static_cast<double>(time.tv_usec) / 1e6;
}

// Waits for the child; kills it when it takes too long.
int WaitFor(pid_t child, const std::function<void()>& meanwhile,
            rusage& usage) {
  const auto start = std::chrono::steady_clock::now();
  int status = 0;
  pid_t ended;
  while ((ended = wait4(child, &status, WNOHANG, &usage)) == 0 ||
         (ended == -1 && errno == EINTR)) {
    if (std::chrono::steady_clock::now() - start > kPatience) {
      kill(child, SIGKILL);
    }
    if (meanwhile) meanwhile();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return status;
}

}  // namespace

std::string CheckerProgram() {
  const char* program = std::getenv("QCOW2_FSCK");
  return program != nullptr ? program : "bazel-bin/cli/qcow2-fsck";
}

bool BuiltWithSanitizer() {
#ifdef QCOW2_SANITIZER
  return true;
#else
  return false;
#endif
}

double MaxCpuSeconds() {
  if (BuiltWithSanitizer()) return 250;
#ifdef QCOW2_OPTIMISED
  return 5;
#else
  return 20;
#endif
}

uint64_t MaxPeakBytes() {
  return BuiltWithSanitizer() ? uint64_t{8} << 30 : uint64_t{256} << 20;
}

ProgramRun RunProgram(const std::string& program,
                      const std::vector<std::string>& arguments,
                      const std::function<void()>& meanwhile) {
  const std::string output = Folder() + "/output.txt";
  const std::string error = Folder() + "/error.txt";
  const pid_t child = fork();
  if (child == 0) Become(program, arguments, output, error);
  ProgramRun run;
  if (child == -1) return run;
  rusage usage{};
  const int status = WaitFor(child, meanwhile, usage);
  if (WIFEXITED(status)) run.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) run.signal = WTERMSIG(status);
  run.cpu_seconds = Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
  run.peak_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
  run.standard_output = ReadAll(output);
  run.standard_error = ReadAll(error);
  return run;
}

}  // namespace qcow2::hostile
