// The partitions inside the guest's disk, read through the image's mapping.
//
// Reads the image and writes nothing; backing files are not followed.
#ifndef CLI_PICTURE_GUEST_PARTITIONS_H_
#define CLI_PICTURE_GUEST_PARTITIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "engine/storage/file.h"

namespace qcow2::cli {

struct GuestPartition {
  uint32_t number = 0;
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  // "Linux filesystem, 'root'"; safe to print.
  std::string description;
};

struct GuestPartitions {
  // "MBR", "GPT"; empty if there is none, or none can be read.
  std::string table;
  // As the table has them, but for those that hold others.
  std::vector<GuestPartition> partitions;
  uint64_t omitted = 0;
  // What is wrong with the table, or why nothing is known of it; safe to print.
  std::vector<std::string> notes;
};

// More partitions than this are counted only.
inline constexpr size_t kMaxGuestPartitions = 128;

// Reads the partition table of the guest disk of the image in `file`, which is
// locked by then and not written to. Never fails: what cannot be read is in the
// notes.
GuestPartitions ReadGuestPartitions(File& file);

}  // namespace qcow2::cli

#endif  // CLI_PICTURE_GUEST_PARTITIONS_H_
