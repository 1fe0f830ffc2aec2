#include "engine/image/resize_preallocate.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/format/entry_flags.h"
#include "engine/image/create_tables.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// Clusters that are given places at a time, so that the caches keep their size.
constexpr uint64_t kMostClusters = 4096;

// Works while its caller has the image to himself.
class Preallocator {
 public:
  Preallocator(ImageCore& core, Preallocation preallocation)
      : core_(core),
        geometry_(core.metadata->geometry()),
        preallocation_(preallocation) {}

  // As far as it gets in one L2 table; returns where to go on.
  absl::StatusOr<uint64_t> Step(uint64_t cluster, uint64_t end);

 private:
  bool HasPlace(L2Entry entry) const {
    return entry.is_compressed() || entry.host_offset().value() != 0 ||
           (core_.data_file != nullptr && entry.copied());
  }
  L2Entry EntryFor(HostCluster host) const;
  absl::StatusOr<ClusterRun> Place(uint64_t cluster, uint64_t count);
  absl::Status TakeSpace(const Metadata::Allocation& allocation);

  ImageCore& core_;
  const Geometry& geometry_;
  const Preallocation preallocation_;
};

L2Entry Preallocator::EntryFor(HostCluster host) const {
  const uint64_t raw = geometry_.OffsetOf(host).value() | kCopiedFlag;
  // The data file holds zeros there by itself, and shows them to others.
  if (core_.data_file != nullptr) {
    return L2Entry(raw, geometry_.extended_l2() ? ~uint32_t{0} : 0);
  }
  if (geometry_.extended_l2())
    return L2Entry(raw, uint64_t{~uint32_t{0}} << 32);
  return L2Entry(core_.metadata->header().version >= 3 ? raw | kZeroFlag : raw);
}

absl::Status Preallocator::TakeSpace(const Metadata::Allocation& allocation) {
  const ByteRange range{geometry_.OffsetOf(allocation.run.first).value(),
                        allocation.run.clusters << geometry_.cluster_bits()};
  RETURN_IF_ERROR(core_.metadata->GuardWrite(range));
  core_.metadata->NoteDataWritten();
  if (preallocation_ == Preallocation::kFull) {
    return WriteZeros(range, *core_.file);
  }
  // Without a zero flag the bytes themselves have to be zeros.
  if (core_.metadata->header().version < 3 && !allocation.reads_zeros) {
    RETURN_IF_ERROR(core_.file->PunchHole(range));
  }
  if (preallocation_ == Preallocation::kFalloc) {
    return core_.file->Allocate(range);
  }
  // The file reaches to the end of every cluster that is in use.
  ASSIGN_OR_RETURN(const uint64_t size, core_.file->Size());
  return size >= range.offset + range.length
             ? absl::OkStatus()
             : core_.file->Truncate(range.offset + range.length);
}

absl::StatusOr<ClusterRun> Preallocator::Place(uint64_t cluster,
                                               uint64_t count) {
  if (core_.data_file != nullptr)
    return ClusterRun{HostCluster(cluster), count};
  ASSIGN_OR_RETURN(const Metadata::Allocation allocation,
                   core_.metadata->AllocateData(count, HostCluster(0)));
  const absl::Status taken = TakeSpace(allocation);
  if (!taken.ok()) {
    core_.metadata->FreeLater(allocation.run, FreeReason::kNever);
    return taken;
  }
  return allocation.run;
}

absl::StatusOr<uint64_t> Preallocator::Step(uint64_t cluster, uint64_t end) {
  RETURN_IF_ERROR(core_.metadata->BeginChange());
  const uint64_t mask = geometry_.l2_entries() - 1;
  const uint64_t limit =
      std::min({end, (cluster | mask) + 1, cluster + kMostClusters});
  ASSIGN_OR_RETURN(CachedTable * table,
                   core_.metadata->L2ForWrite(cluster >> geometry_.l2_bits()));
  const auto entry_at = [&](uint64_t at) {
    return L2Entry::Decode(
        table->bytes.data() + (at & mask) * geometry_.l2_entry_size(),
        geometry_);
  };
  while (cluster < limit && HasPlace(entry_at(cluster))) ++cluster;
  uint64_t count = 0;
  while (cluster + count < limit && !HasPlace(entry_at(cluster + count))) {
    ++count;
  }
  if (count == 0) return cluster;
  ASSIGN_OR_RETURN(const ClusterRun run, Place(cluster, count));
  for (uint64_t i = 0; i < run.clusters; ++i) {
    core_.metadata->SetL2Entry(table, (cluster + i) & mask,
                               EntryFor(run.first + i));
  }
  return cluster + run.clusters;
}

}  // namespace

absl::Status PreallocateGuest(ImageCore& core, uint64_t begin, uint64_t end,
                              Preallocation preallocation) {
  const ExclusiveUse everything(core);
  const Geometry& geometry = core.metadata->geometry();
  if (core.metadata->header().version < 3 && core.cipher != nullptr) {
    return absl::UnimplementedError(absl::StrCat(
        core.file->name(),
        ": an encrypted image of version 2 cannot be preallocated: the zeros "
        "in its clusters would not decrypt to zeros"));
  }
  uint64_t cluster = geometry.ClustersFor(begin);
  const uint64_t cluster_end = geometry.ClustersFor(end);
  Preallocator preallocator(core, preallocation);
  while (cluster < cluster_end) {
    ASSIGN_OR_RETURN(cluster, preallocator.Step(cluster, cluster_end));
  }
  return absl::OkStatus();
}

}  // namespace qcow2
