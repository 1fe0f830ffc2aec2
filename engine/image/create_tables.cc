#include "engine/image/create_tables.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "engine/format/entry_flags.h"
#include "engine/format/l1_entry.h"
#include "engine/format/l2_entry.h"
#include "engine/format/refcount_block.h"
#include "engine/format/refcount_table_entry.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// A multiple of every entry's size.
constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

// Writes `count` entries of `entry_size` bytes from `offset` on, each made by
// encode(index, where it goes).
template <typename Encode>
absl::Status WriteEntries(HostOffset offset, uint64_t count,
                          uint64_t entry_size, File& file, Encode encode) {
  std::vector<std::byte> piece(std::min(kPieceBytes, count * entry_size));
  for (uint64_t done = 0; done < count;) {
    const uint64_t step = std::min(count - done, kPieceBytes / entry_size);
    for (uint64_t i = 0; i < step; ++i) {
      encode(done + i, piece.data() + i * entry_size);
    }
    RETURN_IF_ERROR(file.Pwrite(offset.value() + done * entry_size,
                                std::span(piece).first(step * entry_size)));
    done += step;
  }
  return absl::OkStatus();
}

// `count` refcounts of 1 from `offset` on. The blocks lie together, so that
// where one ends makes no difference.
absl::Status WriteOnes(HostOffset offset, uint64_t count,
                       uint32_t refcount_order, File& file) {
  const uint64_t counts_max = RefcountsIn(kPieceBytes, refcount_order);
  std::vector<std::byte> piece(kPieceBytes);
  for (uint64_t i = 0; i < std::min(count, counts_max); ++i) {
    SetRefcount(piece, refcount_order, i, 1);
  }
  for (uint64_t done = 0; done < count;) {
    const uint64_t step = std::min(count - done, counts_max);
    // The last byte may hold counts of clusters that are not there.
    for (uint64_t i = step; i % 8 != 0; ++i) {
      SetRefcount(piece, refcount_order, i, 0);
    }
    const uint64_t bytes = ((step << refcount_order) + 7) / 8;
    RETURN_IF_ERROR(file.Pwrite(offset.value() + (done << refcount_order) / 8,
                                std::span(piece).first(bytes)));
    done += step;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteRefcounts(const Geometry& geometry, const ImageLayout& layout,
                            File& file) {
  RETURN_IF_ERROR(WriteOnes(layout.refcount_blocks, layout.clusters,
                            geometry.refcount_order(), file));
  return WriteEntries(
      layout.refcount_table, layout.refcount_block_count,
      kRefcountTableEntrySize, file, [&](uint64_t index, std::byte* bytes) {
        const HostOffset block =
            layout.refcount_blocks + index * geometry.cluster_size();
        RefcountTableEntry(block.value()).Encode(bytes);
      });
}

absl::Status WriteMappings(const Geometry& geometry, const ImageLayout& layout,
                           uint64_t l2_bitmap, File& file) {
  RETURN_IF_ERROR(WriteEntries(
      layout.l2_tables, layout.guest_clusters, geometry.l2_entry_size(), file,
      [&](uint64_t index, std::byte* bytes) {
        const HostOffset cluster =
            layout.guest_data + index * geometry.cluster_size();
        L2Entry(kCopiedFlag | cluster.value(), l2_bitmap)
            .Encode(bytes, geometry);
      }));
  return WriteEntries(layout.l1_table, layout.l2_table_count, kL1EntrySize,
                      file, [&](uint64_t index, std::byte* bytes) {
                        const HostOffset table =
                            layout.l2_tables + index * geometry.cluster_size();
                        L1Entry(kCopiedFlag | table.value()).Encode(bytes);
                      });
}

absl::Status WriteZeros(ByteRange range, File& file) {
  const std::vector<std::byte> zeros(std::min(kPieceBytes, range.length));
  while (range.length > 0) {
    const uint64_t step = std::min<uint64_t>(range.length, zeros.size());
    RETURN_IF_ERROR(file.Pwrite(range.offset, std::span(zeros).first(step)));
    range.offset += step;
    range.length -= step;
  }
  return absl::OkStatus();
}

}  // namespace qcow2
