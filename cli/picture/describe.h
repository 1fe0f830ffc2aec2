// What a stretch of a picture shows, in words: for titles and tables.
//
// Pure, no I/O. All that is returned is safe to print, but not yet markup.
#ifndef CLI_PICTURE_DESCRIBE_H_
#define CLI_PICTURE_DESCRIBE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/picture/picture.h"

namespace qcow2::cli {

// "cluster 7 (offset 0x70000)", "clusters 7-9 (192 KiB at offset 0x70000)".
std::string DescribeClusters(const Picture& picture, uint64_t first,
                             uint64_t clusters);

// What lies in [first, end) of the file: one line each for the place, what is
// there and what is wrong.
std::vector<std::string> DescribeStretch(const Picture& picture, uint64_t first,
                                         uint64_t end);

// "partition 2 (Linux filesystem, 'root')".
std::string DescribePartition(const GuestPartition& partition);

// What is said of a partition, a snapshot, or the rest of the disk.
struct DamageLine {
  std::string text;
  bool hit = false;
};

// The partitions, with what is damaged in each, and what is damaged elsewhere:
// a line each. What is not hit is said to be so.
std::vector<DamageLine> DescribePartitionDamage(const Picture& picture);

// "HIT", "not hit", or what can be said where not all is known.
std::string_view HitInWords(const Picture& picture,
                            const PartitionDamage& damage);

// What the picture does not show, or not exactly; empty if there is nothing of
// the kind.
std::vector<std::string> DescribeLimits(const Picture& picture);

}  // namespace qcow2::cli

#endif  // CLI_PICTURE_DESCRIBE_H_
