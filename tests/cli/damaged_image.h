// A small image that QEMU made, and what is left of it after two faults.
//
// For tests only; writes the file it is told to.
#ifndef TESTS_CLI_DAMAGED_IMAGE_H_
#define TESTS_CLI_DAMAGED_IMAGE_H_

#include <cstddef>
#include <string>

namespace qcow2 {

// Bytes of a cluster of the image.
inline constexpr size_t kCluster = 65536;

// The bytes of the file. QEMU lays it out as header, refcount table, refcount
// block, L1 table, L2 table, and data for the first MiB of a disk of 64 MiB.
struct DamagedImage {
  std::string sound;
  // A cluster is in use without a count, and one counted without a use.
  std::string damaged;
};

// Leaves the damaged image at `path`. A test failure if QEMU cannot make it.
DamagedImage MakeDamagedImage(const std::string& path);

// Sets the stored refcount of `cluster` in the bytes of such an image.
void SetRefcount(std::string& image, size_t cluster, char count);

}  // namespace qcow2

#endif  // TESTS_CLI_DAMAGED_IMAGE_H_
