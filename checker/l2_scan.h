// The inner loop of the check: walks the entries of one L2 table and tells
// runs of regular entries from odd ones.
//
// Pure: works on bytes in memory. Templates, because the visitors' calls must
// be inlined.
#ifndef CHECKER_L2_SCAN_H_
#define CHECKER_L2_SCAN_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/format/byte_order.h"
#include "engine/format/geometry.h"
#include "engine/format/l2_entry.h"

namespace qcow2::checker {

// Standard entries first_index, first_index + 1 ... (`entries` of them) that
// name consecutive, aligned host clusters inside the file, with like flags.
struct L2Run {
  uint64_t first_index = 0;
  uint64_t entries = 0;
  uint64_t host_offset_bytes = 0;
  bool copied = false;
};

// What the scan has to know of the image.
struct L2ScanRules {
  uint64_t cluster_size_bytes = 0;
  uint32_t cluster_bits = 0;
  bool extended_l2 = false;
  // The zero flag is a flag: version 3 without extended L2.
  bool zero_flag_allowed = false;
  bool external_data_file = false;
  // Clusters from here on are past the end of the file.
  uint64_t file_end_bytes = 0;
};

// How many of the entries from `entry` on, `stride` bytes apart and at most
// `limit`, hold first_value, first_value + step, first_value + 2 * step ...
uint64_t AscendingEntries(const std::byte* entry, uint64_t stride,
                          uint64_t limit, uint64_t first_value, uint64_t step);

// How many of the `limit` bytes from `bytes` on are zero before the first that
// is not; a multiple of 8.
uint64_t LeadingZeroBytes(const std::byte* bytes, uint64_t limit);

namespace l2_scan_internal {

// Whether an entry can begin a run.
inline bool IsRegular(uint64_t raw, const L2ScanRules& rules) {
  const uint64_t offset = raw & kL2OffsetMask;
  const uint64_t flags =
      kCopiedFlag | (rules.zero_flag_allowed ? kZeroFlag : 0);
  return (raw & ~(kL2OffsetMask | flags)) == 0 && offset != 0 &&
         (offset & (rules.cluster_size_bytes - 1)) == 0 &&
         offset < rules.file_end_bytes;
}

inline bool IsConsistentBitmap(uint64_t bitmap) {
  return (bitmap & (bitmap >> 32) & 0xffffffff) == 0;
}

}  // namespace l2_scan_internal

// Calls visitor.OnRun(const L2Run&) for runs and visitor.OnOdd(index, L2Entry)
// for every other entry that says anything: compressed, damaged, contradictory
// or past the end of the file. Entries without host cluster that are in order
// are passed over. `table` holds one L2 table.
template <typename Visitor>
void ScanL2Table(std::span<const std::byte> table, const L2ScanRules& rules,
                 Visitor& visitor) {
  const uint64_t stride = rules.extended_l2 ? 16 : 8;
  const uint64_t count = table.size() / stride;
  uint64_t index = 0;
  while (index < count) {
    const std::byte* entry = table.data() + index * stride;
    const uint64_t raw = LoadBe64(entry);
    const uint64_t bitmap = rules.extended_l2 ? LoadBe64(entry + 8) : 0;
    if ((raw | bitmap) == 0) {
      const uint64_t zero_bytes =
          LeadingZeroBytes(entry, (count - index) * stride);
      index += std::max<uint64_t>(1, zero_bytes / stride);
      continue;
    }
    if (rules.zero_flag_allowed && raw == kZeroFlag) {
      ++index;
      continue;
    }
    if (rules.external_data_file || !l2_scan_internal::IsRegular(raw, rules) ||
        !l2_scan_internal::IsConsistentBitmap(bitmap)) {
      // Subclusters that read as zeros need no host cluster.
      if (raw != 0 || (bitmap & 0xffffffff) != 0) {
        visitor.OnOdd(index, L2Entry(raw, bitmap));
      }
      ++index;
      continue;
    }
    const uint64_t offset = raw & kL2OffsetMask;
    uint64_t run = 1;
    // One look at the next entry saves the search where nothing is in order.
    if (index + 1 < count &&
        LoadBe64(entry + stride) == raw + rules.cluster_size_bytes) {
      const uint64_t clusters_left =
          ((rules.file_end_bytes - offset - 1) >> rules.cluster_bits) + 1;
      run = AscendingEntries(entry, stride,
                             std::min(count - index, clusters_left), raw,
                             rules.cluster_size_bytes);
      if (rules.extended_l2) {
        run = AscendingEntries(entry + 8, stride, run, bitmap, 0);
      }
    }
    visitor.OnRun(L2Run{index, run, offset, (raw & kCopiedFlag) != 0});
    index += run;
  }
}

}  // namespace qcow2::checker

#endif  // CHECKER_L2_SCAN_H_
