// Runs the built program, and others, as a shell would.
#ifndef TESTS_CLI_PROGRAM_H_
#define TESTS_CLI_PROGRAM_H_

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace qcow2 {

// What a program left behind when it ended.
struct Outcome {
  int exit_code = -1;  // -1: a signal ended it
  std::string standard_output;
  std::string standard_error;
};

// The program under test.
inline constexpr char kFsck[] = "cli/qcow2-fsck";

// Runs `arguments` (the first is the program, looked up in PATH if it has no
// slash) with an empty standard input, and waits for its end.
Outcome RunProgram(const std::vector<std::string>& arguments);
// The same with standard output going to the file `output`.
Outcome RunProgramTo(const std::string& output,
                     const std::vector<std::string>& arguments);
// Runs qcow2-fsck, qcow2-tool, qemu-img.
Outcome Fsck(std::vector<std::string> arguments);
Outcome Tool(std::vector<std::string> arguments);
Outcome QemuImg(std::vector<std::string> arguments);
bool HaveQemu();

// A program that runs beside the test; killed with the object if it still runs.
class Background {
 public:
  explicit Background(const std::vector<std::string>& arguments);
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  ~Background();

  // Reads its standard output until `text` has come, or until that ended.
  bool WaitFor(const std::string& text) const;
  void Signal(int signal) const;
  // Closes its standard input, reads its output to the end and waits for it.
  // Returns the exit code.
  int Finish();

 private:
  pid_t process_;
  int input_;
  int output_;
  bool finished_ = false;
};

// An empty folder that goes with the object.
class Folder {
 public:
  Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder();

  std::string operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// The names of what is in a folder, sorted.
std::vector<std::string> NamesIn(const std::string& folder);

std::string ReadFile(const std::string& path);
void WriteFile(const std::string& path, const std::string& content);

}  // namespace qcow2

#endif  // TESTS_CLI_PROGRAM_H_
