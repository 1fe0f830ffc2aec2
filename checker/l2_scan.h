// The inner loop of the check: walks the entries of one L2 table and tells
// runs of regular entries from odd ones.
//
// Pure: works on bytes in memory. Templates, because the visitors' calls must
// be inlined.
#ifndef CHECKER_L2_SCAN_H_
#define CHECKER_L2_SCAN_H_

#include <algorithm>
#include <bit>
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

// For entries `entry`, `entry` + 1 ... of 8 bytes: bit i says whether entry
// i + 1 holds what entry i holds and `step` more. Looks at `pairs` of them, at
// most 64; the other bits are 0.
uint64_t AscendingPairs(const std::byte* entry, uint64_t pairs, uint64_t step);

namespace l2_scan_internal {

// Entries that can begin a run.
class RegularEntries {
 public:
  explicit RegularEntries(const L2ScanRules& rules)
      : forbidden_(~(kL2OffsetMask | kCopiedFlag |
                     (rules.zero_flag_allowed ? kZeroFlag : 0)) |
                   ((rules.cluster_size_bytes - 1) & kL2OffsetMask)),
        last_offset_(rules.external_data_file ? 0 : rules.file_end_bytes - 1) {}

  bool Includes(uint64_t raw) const { return Misfit(raw) == 0; }

  // Not 0 if the entry is not one of them. One number without a branch, so that
  // many entries can be looked at together.
  uint64_t Misfit(uint64_t raw) const {
    // In terms of unsigned numbers an offset of 0, less one, is past the end.
    return (raw & forbidden_) |
           ((raw & kL2OffsetMask) - 1 < last_offset_ ? 0 : 1);
  }

 private:
  uint64_t forbidden_;
  uint64_t last_offset_;
};

// How many of the entries of 8 bytes from `entry` on are regular and followed
// by one whose offset is not `step` more: a multiple of 16, looking at
// `entries` of them and no further.
uint64_t LoneEntries(const std::byte* entry, uint64_t entries,
                     const RegularEntries& regular, uint64_t step);

// Visitors that take lone entries many at a time.
template <typename Visitor>
concept TakesLoneEntries = requires(Visitor visitor,
                                    std::span<const std::byte> entries) {
  visitor.OnLoneEntries(entries);
};

// Finds the runs in a table of entries of 8 bytes, a block of them at a time.
class AscendingRuns {
 public:
  AscendingRuns(std::span<const std::byte> table, uint64_t step)
      : table_(table.data()),
        count_(table.size() / 8),
        step_(step),
        block_(count_) {}

  // How many entries from `index` on ascend, itself included. Cheapest when
  // `index` grows from call to call.
  uint64_t LengthAt(uint64_t index) {
    uint64_t last = index;
    while (true) {
      // Also if the block is behind: the difference wraps around.
      if (last - block_ >= kBlock) {
        block_ = last;
        pairs_ = AscendingPairs(table_ + last * 8,
                                std::min(kBlock, count_ - 1 - last), step_);
      }
      const auto ascending =
          static_cast<uint64_t>(std::countr_one(pairs_ >> (last - block_)));
      last += ascending;
      if (last - block_ < kBlock) return last - index + 1;
      if (ascending == kBlock) break;
    }
    // A long run, it seems.
    const std::byte* entry = table_ + last * 8;
    return last - index +
           AscendingEntries(entry, 8, count_ - last, LoadBe64(entry), step_);
  }

 private:
  static constexpr uint64_t kBlock = 64;

  const std::byte* table_;
  uint64_t count_;
  uint64_t step_;
  uint64_t block_;      // the entry whose pair is the lowest bit
  uint64_t pairs_ = 0;  // as AscendingPairs says
};

inline bool IsConsistentBitmap(uint64_t bitmap) {
  return (bitmap & (bitmap >> 32) & 0xffffffff) == 0;
}

// How many entries of 16 bytes from `entry` on, at most `limit`, ascend and
// have like bitmaps.
inline uint64_t ExtendedRun(const std::byte* entry, uint64_t limit,
                            uint64_t cluster_size_bytes) {
  const uint64_t run =
      AscendingEntries(entry, 16, limit, LoadBe64(entry), cluster_size_bytes);
  return AscendingEntries(entry + 8, 16, run, LoadBe64(entry + 8), 0);
}

}  // namespace l2_scan_internal

namespace l2_scan_internal {

// An entry that begins no run. Returns how many there are that say nothing, or
// one.
template <uint64_t kStride, typename Visitor>
uint64_t PassOver(std::span<const std::byte> table, uint64_t index,
                  bool zero_flag_allowed, Visitor& visitor) {
  const std::byte* entry = table.data() + index * kStride;
  const uint64_t raw = LoadBe64(entry);
  const uint64_t bitmap = kStride == 16 ? LoadBe64(entry + 8) : 0;
  if ((raw | bitmap) == 0) {
    const uint64_t left = table.size() - index * kStride;
    // Where one is empty, many are, or none.
    if (left <= kStride || LoadBe64(entry + kStride) != 0) return 1;
    return LeadingZeroBytes(entry, left) / kStride;
  }
  const bool zeros = zero_flag_allowed && raw == kZeroFlag;
  // Subclusters that read as zeros need no host cluster.
  if (!zeros && (raw != 0 || (bitmap & 0xffffffff) != 0)) {
    visitor.OnOdd(index, L2Entry(raw, bitmap));
  }
  return 1;
}

// The same as ScanL2Table for entries of one size.
template <uint64_t kStride, typename Visitor>
void ScanEntries(std::span<const std::byte> table, const L2ScanRules& rules,
                 Visitor& visitor) {
  const uint64_t count = table.size() / kStride;
  const uint64_t step = rules.cluster_size_bytes;
  const RegularEntries regular(rules);
  AscendingRuns runs(table, step);
  uint64_t index = 0;
  while (index < count) {
    const std::byte* entry = table.data() + index * kStride;
    const uint64_t raw = LoadBe64(entry);
    if (!regular.Includes(raw) ||
        (kStride == 16 && !IsConsistentBitmap(LoadBe64(entry + 8)))) {
      index +=
          PassOver<kStride>(table, index, rules.zero_flag_allowed, visitor);
      continue;
    }
    const uint64_t offset = raw & kL2OffsetMask;
    uint64_t run = 1;
    // One look at the next entry saves the search where nothing is in order.
    if (index + 1 < count && LoadBe64(entry + kStride) == raw + step) {
      run = kStride == 16 ? ExtendedRun(entry, count - index, step)
                          : runs.LengthAt(index);
      const uint64_t clusters_left =
          ((rules.file_end_bytes - offset - 1) >> rules.cluster_bits) + 1;
      run = std::min(run, clusters_left);
    } else if constexpr (kStride == 8 && TakesLoneEntries<Visitor>) {
      const uint64_t lone = LoneEntries(entry, count - index, regular, step);
      if (lone > 0) {
        visitor.OnLoneEntries(table.subspan(index * 8, lone * 8));
        index += lone;
        continue;
      }
    }
    visitor.OnRun(L2Run{index, run, offset, (raw & kCopiedFlag) != 0});
    index += run;
  }
}

}  // namespace l2_scan_internal

// Calls visitor.OnRun(const L2Run&) for runs and visitor.OnOdd(index, L2Entry)
// for every other entry that says anything: compressed, damaged, contradictory
// or past the end of the file. Entries without host cluster that are in order
// are passed over. `table` holds one L2 table. If the visitor has
// OnLoneEntries(bytes), it is handed stretches of standard entries, each of
// which makes a run of its own and is not followed by the next host cluster, in
// one go.
template <typename Visitor>
void ScanL2Table(std::span<const std::byte> table, const L2ScanRules& rules,
                 Visitor& visitor) {
  if (rules.extended_l2) {
    l2_scan_internal::ScanEntries<16>(table, rules, visitor);
  } else {
    l2_scan_internal::ScanEntries<8>(table, rules, visitor);
  }
}

}  // namespace qcow2::checker

#endif  // CHECKER_L2_SCAN_H_
