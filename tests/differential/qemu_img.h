// qemu-img as the second opinion in tests: runs it and reads its answer.
//
// For tests only; starts processes.
#ifndef TESTS_DIFFERENTIAL_QEMU_IMG_H_
#define TESTS_DIFFERENTIAL_QEMU_IMG_H_

#include <cstdint>
#include <string>

namespace qcow2 {

// Whether qemu-img can be started at all.
bool HaveQemuImg();

// Runs a shell command; returns its exit status and, in `output`, its stdout.
int RunCommand(const std::string& command, std::string* output);

// What `qemu-img check` says of an image.
struct QemuVerdict {
  int exit_code = 0;  // 0 clean, 1 error, 2 corruptions, 3 leaks
  uint64_t corruptions = 0;
  uint64_t leaks = 0;
  uint64_t allocated_clusters = 0;
  uint64_t fragmented_clusters = 0;
  uint64_t compressed_clusters = 0;
  uint64_t total_clusters = 0;
  uint64_t image_end_offset = 0;
};
QemuVerdict QemuCheck(const std::string& path);

}  // namespace qcow2

#endif  // TESTS_DIFFERENTIAL_QEMU_IMG_H_
