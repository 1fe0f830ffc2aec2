#include "tests/differential/qemu_img.h"

#include <sys/wait.h>

#include <array>
#include <cstdio>

#include "nlohmann/json.hpp"

namespace qcow2 {

bool HaveQemuImg() {
  std::string output;
  return RunCommand("qemu-img --version 2>/dev/null", &output) == 0;
}

int RunCommand(const std::string& command, std::string* output) {
  output->clear();
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return -1;
  std::array<char, 4096> buffer;
  size_t length;
  while ((length = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0) {
    output->append(buffer.data(), length);
  }
  const int status = pclose(pipe);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

QemuVerdict QemuCheck(const std::string& path) {
  QemuVerdict verdict;
  std::string output;
  verdict.exit_code = RunCommand(
      "qemu-img check -f qcow2 --output=json '" + path + "' 2>/dev/null",
      &output);
  const auto json = nlohmann::json::parse(output, nullptr, false);
  if (json.is_discarded()) return verdict;
  verdict.corruptions = json.value("corruptions", uint64_t{0});
  verdict.leaks = json.value("leaks", uint64_t{0});
  verdict.allocated_clusters = json.value("allocated-clusters", uint64_t{0});
  verdict.fragmented_clusters = json.value("fragmented-clusters", uint64_t{0});
  verdict.compressed_clusters = json.value("compressed-clusters", uint64_t{0});
  verdict.total_clusters = json.value("total-clusters", uint64_t{0});
  verdict.image_end_offset = json.value("image-end-offset", uint64_t{0});
  return verdict;
}

}  // namespace qcow2
