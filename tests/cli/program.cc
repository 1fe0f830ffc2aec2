#include "tests/cli/program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "gtest/gtest.h"

extern char** environ;  // NOLINT(readability-redundant-declaration)

namespace qcow2 {
namespace {

namespace fs = std::filesystem;

// Starts a program whose first three descriptors are those given.
pid_t Start(const std::vector<std::string>& arguments, int input, int output,
            int error) {
  std::vector<char*> pointers;
  pointers.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, 0);
  posix_spawn_file_actions_adddup2(&actions, output, 1);
  posix_spawn_file_actions_adddup2(&actions, error, 2);
  pid_t process = -1;
  const int failed = posix_spawnp(&process, pointers[0], &actions, nullptr,
                                  pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  EXPECT_EQ(failed, 0) << "cannot start " << arguments[0];
  return process;
}

int WaitForEnd(pid_t process) {
  int status = 0;
  EXPECT_EQ(waitpid(process, &status, 0), process);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int OpenForWriting(const std::string& path) {
  const int descriptor =
      open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  EXPECT_NE(descriptor, -1) << path;
  return descriptor;
}

}  // namespace

Outcome RunProgramTo(const std::string& output,
                     const std::vector<std::string>& arguments) {
  const Folder folder;
  const std::string error = folder / "stderr";
  const int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int output_end = OpenForWriting(output);
  const int error_end = OpenForWriting(error);
  Outcome outcome;
  outcome.exit_code =
      WaitForEnd(Start(arguments, input, output_end, error_end));
  for (const int descriptor : {input, output_end, error_end}) {
    close(descriptor);
  }
  outcome.standard_error = ReadFile(error);
  return outcome;
}

Outcome RunProgram(const std::vector<std::string>& arguments) {
  const Folder folder;
  const std::string output = folder / "stdout";
  Outcome outcome = RunProgramTo(output, arguments);
  outcome.standard_output = ReadFile(output);
  return outcome;
}

Outcome Fsck(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), kFsck);
  return RunProgram(arguments);
}

Outcome Tool(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "cli/tool/qcow2-tool");
  return RunProgram(arguments);
}

Outcome QemuImg(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "qemu-img");
  return RunProgram(arguments);
}

bool HaveQemu() { return QemuImg({"--version"}).exit_code == 0; }

Background::Background(const std::vector<std::string>& arguments) {
  int input[2];
  int output[2];
  EXPECT_EQ(pipe2(input, O_CLOEXEC), 0);
  EXPECT_EQ(pipe2(output, O_CLOEXEC), 0);
  process_ = Start(arguments, input[0], output[1], STDERR_FILENO);
  close(input[0]);
  close(output[1]);
  input_ = input[1];
  output_ = output[0];
}

Background::~Background() {
  if (finished_) return;
  Signal(SIGKILL);
  Finish();
}

bool Background::WaitFor(const std::string& text) const {
  std::string seen;
  char byte = 0;
  while (seen.find(text) == std::string::npos) {
    if (read(output_, &byte, 1) != 1) return false;
    seen += byte;
  }
  return true;
}

void Background::Signal(int signal) const { kill(process_, signal); }

int Background::Finish() {
  finished_ = true;
  close(input_);
  char buffer[4096];
  while (read(output_, buffer, sizeof buffer) > 0) {
  }
  close(output_);
  return WaitForEnd(process_);
}

Folder::Folder() {
  std::string name = testing::TempDir() + "/program.XXXXXX";
  EXPECT_NE(mkdtemp(name.data()), nullptr) << name;
  path_ = name;
}

Folder::~Folder() { fs::remove_all(path_); }

std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string ReadFile(const std::string& path) {
  std::ifstream stream(path);
  EXPECT_TRUE(stream) << path;
  return {std::istreambuf_iterator<char>(stream), {}};
}

void WriteFile(const std::string& path, const std::string& content) {
  std::ofstream(path) << content;
}

}  // namespace qcow2
