// Random damage to the metadata of a healthy image, by seed.
//
// For tests only. Works on bytes in memory.
#ifndef TESTS_DIFFERENTIAL_DAMAGE_H_
#define TESTS_DIFFERENTIAL_DAMAGE_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace qcow2 {

// A stretch of metadata in an image.
struct MetadataArea {
  std::string name;
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  uint64_t entry_bytes = 8;
};

// Where the metadata of a healthy image lies: header, L1 and L2 tables of the
// disk and of every snapshot, refcount table and blocks, snapshot table,
// bitmap directory.
std::vector<MetadataArea> FindMetadata(const std::vector<std::byte>& image);

// Damages `image` in one to four places and says in words how.
std::string Damage(const std::vector<MetadataArea>& areas,
                   uint64_t cluster_size, std::mt19937_64& random,
                   std::vector<std::byte>& image);

}  // namespace qcow2

#endif  // TESTS_DIFFERENTIAL_DAMAGE_H_
