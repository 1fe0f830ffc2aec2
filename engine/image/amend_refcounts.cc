// Refcounts of another width: new blocks and a new table behind everything
// else, and one write of the header that switches over. Until then nothing the
// image uses was touched, and what was written lies where it uses nothing.
#include <algorithm>
#include <bit>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/format/byte_order.h"
#include "engine/format/header.h"
#include "engine/format/refcount_block.h"
#include "engine/format/refcount_table_entry.h"
#include "engine/image/amend.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

class NewRefcounts {
 public:
  NewRefcounts(Metadata& metadata, const Geometry& geometry)
      : metadata_(metadata),
        refcounts_(metadata.refcounts()),
        geometry_(geometry) {}

  // Finds out what is counted, and whether it can be.
  absl::Status Survey();
  // Where table and blocks go.
  absl::Status Plan();
  absl::Status Write();
  // The header area that names them.
  HeaderArea Header() const;

 private:
  uint64_t RegionOf(uint64_t cluster) const {
    return cluster >> geometry_.refcount_block_bits();
  }
  // The count a cluster will have.
  absl::StatusOr<uint64_t> CountOf(uint64_t cluster);
  bool IsOldStructure(uint64_t cluster) const {
    return std::binary_search(old_structures_.begin(), old_structures_.end(),
                              cluster);
  }
  // Whether the region has a count once the new structures end at `end`.
  bool HasCounts(uint64_t region, uint64_t end) const {
    return (region < counted_.size() && counted_[region]) ||
           (RegionOf(end_) <= region && region <= RegionOf(end - 1));
  }
  absl::Status WriteCluster(uint64_t cluster, std::span<const std::byte> bytes);

  Metadata& metadata_;
  Refcounts& refcounts_;
  const Geometry geometry_;  // with the new width
  // Clusters of the old table and blocks, sorted: nothing names them any more
  // once the header has switched.
  std::vector<uint64_t> old_structures_;
  // Regions of the new width in which anything is counted.
  std::vector<bool> counted_;
  // Everything that is counted lies before this cluster.
  uint64_t end_ = 0;
  uint64_t table_clusters_ = 0;
  std::vector<uint64_t> block_regions_;
};

absl::StatusOr<uint64_t> NewRefcounts::CountOf(uint64_t cluster) {
  ASSIGN_OR_RETURN(const uint64_t count, refcounts_.Get(HostCluster(cluster)));
  return count > 0 && IsOldStructure(cluster) ? count - 1 : count;
}

absl::Status NewRefcounts::Survey() {
  const ClusterRun table = refcounts_.table_run();
  for (uint64_t i = 0; i < table.clusters; ++i) {
    old_structures_.push_back((table.first + i).value());
  }
  for (const uint64_t block : refcounts_.table()) {
    if (block == 0) continue;
    old_structures_.push_back(geometry_.ClusterOf(HostOffset(block)).value());
  }
  std::sort(old_structures_.begin(), old_structures_.end());
  ASSIGN_OR_RETURN(const HostCluster end, refcounts_.EndOfCounted());
  end_ = end.value();
  counted_.resize(RegionOf(end_) + 1);
  for (uint64_t cluster = 0; cluster < end_; ++cluster) {
    if (cluster % geometry_.refcount_block_entries() == 0) {
      metadata_.TrimTables();
    }
    ASSIGN_OR_RETURN(const uint64_t count, CountOf(cluster));
    if (count > geometry_.refcount_max()) {
      return absl::OutOfRangeError(
          absl::StrCat(metadata_.file().name(), ": host cluster ", cluster,
                       " has ", count, " references, which refcounts of ",
                       geometry_.refcount_bits(), " bits cannot count"));
    }
    if (count > 0) counted_[RegionOf(cluster)] = true;
  }
  return absl::OkStatus();
}

absl::Status NewRefcounts::Plan() {
  uint64_t blocks = 0;
  // Both only grow from round to round, and few clusters count many.
  while (true) {
    const uint64_t end = end_ + table_clusters_ + blocks;
    uint64_t blocks_needed = 0;
    const uint64_t last = RegionOf(std::max(end, end_ + 1) - 1);
    for (uint64_t region = 0; region <= last; ++region) {
      if (HasCounts(region, std::max(end, end_ + 1))) ++blocks_needed;
    }
    const uint64_t table_bytes = (last + 1) * kRefcountTableEntrySize;
    if (table_bytes > kMaxRefcountTableBytes) {
      return absl::ResourceExhaustedError(absl::StrCat(
          metadata_.file().name(), ": refcounts of ", geometry_.refcount_bits(),
          " bits would need a refcount table of ", table_bytes,
          " bytes, more than ", kMaxRefcountTableBytes));
    }
    const uint64_t table_needed = geometry_.ClustersFor(table_bytes);
    if (blocks_needed == blocks && table_needed == table_clusters_) break;
    blocks = std::max(blocks, blocks_needed);
    table_clusters_ = std::max(table_clusters_, table_needed);
  }
  const uint64_t end = end_ + table_clusters_ + blocks;
  for (uint64_t region = 0; region <= RegionOf(end - 1); ++region) {
    if (HasCounts(region, end)) block_regions_.push_back(region);
  }
  return absl::OkStatus();
}

absl::Status NewRefcounts::WriteCluster(uint64_t cluster,
                                        std::span<const std::byte> bytes) {
  const uint64_t offset = geometry_.OffsetOf(HostCluster(cluster)).value();
  RETURN_IF_ERROR(metadata_.GuardWrite({offset, bytes.size()}));
  metadata_.NoteDataWritten();
  return metadata_.file().Pwrite(offset, bytes);
}

absl::Status NewRefcounts::Write() {
  const uint64_t first_block = end_ + table_clusters_;
  const uint64_t new_end = first_block + block_regions_.size();
  std::vector<std::byte> table(table_clusters_ << geometry_.cluster_bits());
  std::vector<std::byte> block(geometry_.cluster_size());
  for (uint64_t i = 0; i < block_regions_.size(); ++i) {
    metadata_.TrimTables();
    std::fill(block.begin(), block.end(), std::byte{0});
    const uint64_t first = block_regions_[i] << geometry_.refcount_block_bits();
    const uint64_t limit =
        std::min(first + geometry_.refcount_block_entries(), new_end);
    for (uint64_t cluster = first; cluster < limit; ++cluster) {
      uint64_t count = 1;
      if (cluster < end_) {
        ASSIGN_OR_RETURN(count, CountOf(cluster));
      }
      SetRefcount(block, geometry_.refcount_order(), cluster - first, count);
    }
    RETURN_IF_ERROR(WriteCluster(first_block + i, block));
    StoreBe64(table.data() + block_regions_[i] * kRefcountTableEntrySize,
              geometry_.OffsetOf(HostCluster(first_block + i)).value());
  }
  return WriteCluster(end_, table);
}

HeaderArea NewRefcounts::Header() const {
  HeaderArea next = metadata_.area();
  next.header.refcount_order = geometry_.refcount_order();
  next.header.refcount_table_offset = geometry_.OffsetOf(HostCluster(end_));
  next.header.refcount_table_clusters = static_cast<uint32_t>(table_clusters_);
  return next;
}

absl::Status Change(ImageCore& core, uint32_t order) {
  const ExclusiveUse everything(core);
  Metadata& metadata = *core.metadata;
  if (metadata.header().version < 3) {
    return absl::FailedPreconditionError(absl::StrCat(
        core.file->name(), ": refcounts of other than 16 bits need version 3"));
  }
  if (metadata.header().refcount_order == order) return absl::OkStatus();
  if (metadata.options().lazy_refcounts) {
    return absl::FailedPreconditionError(absl::StrCat(
        core.file->name(),
        ": to change its refcounts the image must be opened without lazy "
        "refcounts"));
  }
  RETURN_IF_ERROR(metadata.BeginChange());
  // The first flush drops what became free, the second has nothing left to do
  // but to write that.
  RETURN_IF_ERROR(metadata.Flush());
  RETURN_IF_ERROR(metadata.Flush());
  ASSIGN_OR_RETURN(const Geometry geometry,
                   Geometry::Create(metadata.geometry().cluster_bits(), order,
                                    metadata.geometry().extended_l2()));
  NewRefcounts refcounts(metadata, geometry);
  RETURN_IF_ERROR(refcounts.Survey());
  RETURN_IF_ERROR(refcounts.Plan());
  RETURN_IF_ERROR(refcounts.Write());
  return metadata.SwitchHeader(refcounts.Header());
}

}  // namespace

absl::Status ChangeRefcountWidth(Image& image, uint32_t bits) {
  absl::Status status;
  if (std::has_single_bit(bits) && bits <= uint32_t{1} << kMaxRefcountOrder) {
    status =
        Change(image.core(), static_cast<uint32_t>(std::countr_zero(bits)));
  } else {
    status = absl::InvalidArgumentError(absl::StrCat(
        "the refcount width must be a power of two up to 64 bits, not ", bits));
  }
  const absl::Status closed = image.Close();
  return status.ok() ? closed : status;
}

}  // namespace qcow2
