#include "engine/image/snapshot_graph.h"

#include <cstddef>
#include <functional>
#include <optional>

#include "absl/strings/str_cat.h"
#include "engine/format/byte_order.h"
#include "engine/format/l1_entry.h"
#include "engine/format/l2_entry.h"
#include "engine/image/mapping.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

using RunVisitor = std::function<absl::Status(ClusterRun)>;

// The clusters an entry names; none for an entry without.
ClusterRun RunOf(L2Entry entry, const Geometry& geometry) {
  if (entry.is_compressed()) {
    const CompressedDescriptor data = entry.compressed(geometry);
    const HostCluster first = geometry.ClusterOf(data.offset);
    const HostCluster last =
        geometry.ClusterOf(data.offset + (data.length - 1));
    return {first, last - first + 1};
  }
  if (entry.host_offset().value() == 0) return {};
  return {geometry.ClusterOf(entry.host_offset()), 1};
}

// Visits what the entries of an L2 table name, neighbours in one run.
absl::Status VisitEntries(Metadata& metadata, HostOffset table,
                          std::span<const std::byte> bytes,
                          const RunVisitor& visit) {
  const Geometry& geometry = metadata.geometry();
  ClusterRun run;
  for (uint64_t i = 0; i < geometry.l2_entries(); ++i) {
    const L2Entry entry =
        L2Entry::Decode(bytes.data() + i * geometry.l2_entry_size(), geometry);
    if (entry.raw() == 0) continue;
    RETURN_IF_ERROR(CheckL2Entry(metadata, table, i, entry));
    const ClusterRun next = RunOf(entry, geometry);
    if (next.clusters == 0) continue;
    if (run.clusters > 0 && run.first + run.clusters == next.first) {
      run.clusters += next.clusters;
      continue;
    }
    if (run.clusters > 0) RETURN_IF_ERROR(visit(run));
    run = next;
  }
  return run.clusters > 0 ? visit(run) : absl::OkStatus();
}

// Visits every L2 table that `l1` names and what is in it, always in the same
// order. What was changed meanwhile is written when it is too much to keep.
absl::Status VisitGraph(Metadata& metadata, std::span<const uint64_t> l1,
                        const RunVisitor& visit) {
  for (const uint64_t raw : l1) {
    const L1Entry entry(raw);
    if (!entry.has_l2_table()) continue;
    RETURN_IF_ERROR(metadata.BeginChange());
    ASSIGN_OR_RETURN(const CachedTable* table, metadata.L2ForRead(entry));
    // A copy: the table itself may be given up on the way.
    const std::vector<std::byte> bytes = table->bytes;
    RETURN_IF_ERROR(
        visit({metadata.geometry().ClusterOf(entry.l2_offset()), 1}));
    // What is in a data file is not counted.
    if (metadata.header().has_external_data_file()) continue;
    RETURN_IF_ERROR(VisitEntries(metadata, entry.l2_offset(), bytes, visit));
  }
  return absl::OkStatus();
}

// Sets COPIED in one active L2 table and on its L1 entry.
class CopiedSetter {
 public:
  // `leaving`: as in SetCopiedBefore; nothing if all counts are final.
  CopiedSetter(Metadata& metadata,
               std::optional<std::span<const uint64_t>> leaving)
      : metadata_(metadata),
        geometry_(metadata.geometry()),
        leaving_(leaving) {}

  absl::Status Run();

 private:
  absl::Status MendTable(uint64_t l1_index, L1Entry leaving);
  absl::Status MendEntry(CachedTable* table, uint64_t index,
                         std::span<const std::byte> leaving);
  // Whether the cluster will be counted once, when `less` references are gone.
  absl::StatusOr<bool> CountsOnce(HostCluster cluster, uint64_t less) {
    ASSIGN_OR_RETURN(const uint64_t count, metadata_.refcounts().Get(cluster));
    return count == less + 1;
  }

  Metadata& metadata_;
  const Geometry& geometry_;
  const std::optional<std::span<const uint64_t>> leaving_;
};

absl::Status CopiedSetter::MendEntry(CachedTable* table, uint64_t index,
                                     std::span<const std::byte> leaving) {
  const uint64_t at = index * geometry_.l2_entry_size();
  const L2Entry entry = L2Entry::Decode(table->bytes.data() + at, geometry_);
  if (entry.is_compressed() || entry.copied() ||
      entry.host_offset().value() == 0) {
    return absl::OkStatus();
  }
  uint64_t less = 0;
  if (!leaving.empty()) {
    const L2Entry other = L2Entry::Decode(leaving.data() + at, geometry_);
    const bool same =
        !other.is_compressed() && other.host_offset() == entry.host_offset();
    less = same ? 1 : 0;
  }
  ASSIGN_OR_RETURN(const bool once,
                   CountsOnce(geometry_.ClusterOf(entry.host_offset()), less));
  if (once) {
    metadata_.SetL2Entry(table, index,
                         L2Entry(entry.raw() | kCopiedFlag, entry.bitmap()));
  }
  return absl::OkStatus();
}

absl::Status CopiedSetter::MendTable(uint64_t l1_index, L1Entry leaving) {
  const L1Entry active = metadata_.l1_entry(l1_index);
  std::vector<std::byte> leaving_bytes;
  if (leaving.has_l2_table()) {
    ASSIGN_OR_RETURN(const CachedTable* other, metadata_.L2ForRead(leaving));
    leaving_bytes = other->bytes;
  }
  const bool same_table =
      leaving.has_l2_table() && leaving.l2_offset() == active.l2_offset();
  ASSIGN_OR_RETURN(CachedTable * table, metadata_.L2ForRead(active));
  ASSIGN_OR_RETURN(
      const bool once,
      CountsOnce(geometry_.ClusterOf(active.l2_offset()), same_table ? 1 : 0));
  // What a shared table names is shared as well.
  if (!once) return absl::OkStatus();
  if (!active.copied()) {
    metadata_.SetL1Entry(l1_index, L1Entry(active.raw() | kCopiedFlag));
  }
  for (uint64_t i = 0; i < geometry_.l2_entries(); ++i) {
    RETURN_IF_ERROR(MendEntry(table, i, leaving_bytes));
  }
  return absl::OkStatus();
}

absl::Status CopiedSetter::Run() {
  for (uint64_t i = 0; i < metadata_.l1_size(); ++i) {
    if (!metadata_.l1_entry(i).has_l2_table()) continue;
    L1Entry leaving;
    if (leaving_.has_value()) {
      if (i >= leaving_->size()) break;
      leaving = L1Entry((*leaving_)[i]);
      if (!leaving.has_l2_table()) continue;
    }
    RETURN_IF_ERROR(metadata_.BeginChange());
    RETURN_IF_ERROR(MendTable(i, leaving));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<uint64_t>> ReadSnapshotL1(
    Metadata& metadata, const SnapshotEntry& snapshot) {
  const uint64_t offset = snapshot.l1_table_offset.value();
  const uint64_t length = uint64_t{snapshot.l1_size} * kL1EntrySize;
  ASSIGN_OR_RETURN(const uint64_t file_size, metadata.file().Size());
  if (length > 0 && (offset >= file_size || length > file_size - offset)) {
    return absl::DataLossError(absl::StrCat(
        metadata.file().name(), ": the L1 table of snapshot \"", snapshot.name,
        "\" at 0x", absl::Hex(offset), " with ", snapshot.l1_size,
        " entries reaches past the end of the file"));
  }
  std::vector<std::byte> bytes(length);
  RETURN_IF_ERROR(ReadZeroFilled(metadata.file(), offset, bytes));
  std::vector<uint64_t> entries(snapshot.l1_size);
  for (uint64_t i = 0; i < entries.size(); ++i) {
    entries[i] = LoadBe64(bytes.data() + i * kL1EntrySize);
  }
  return entries;
}

absl::Status CountGraph(Metadata& metadata, std::span<const uint64_t> l1) {
  uint64_t counted = 0;
  absl::Status status = VisitGraph(metadata, l1, [&](ClusterRun run) {
    absl::Status added = metadata.refcounts().Add(run);
    if (added.ok()) ++counted;
    return added;
  });
  if (status.ok()) return status;
  // The first runs of the same walk are those that were counted.
  VisitGraph(metadata, l1, [&](ClusterRun run) {
    if (counted == 0) return absl::CancelledError("all is as it was");
    --counted;
    return metadata.FreeNow(run, FreeReason::kNever);
  }).IgnoreError();
  return status;
}

absl::Status UncountGraph(Metadata& metadata, std::span<const uint64_t> l1,
                          FreeReason reason) {
  return VisitGraph(metadata, l1, [&](ClusterRun run) {
    return metadata.FreeNow(run, reason);
  });
}

absl::Status ClearCopiedInL2(Metadata& metadata, std::span<const uint64_t> l1) {
  const Geometry& geometry = metadata.geometry();
  for (const uint64_t raw : l1) {
    if (!L1Entry(raw).has_l2_table()) continue;
    RETURN_IF_ERROR(metadata.BeginChange());
    ASSIGN_OR_RETURN(CachedTable * table, metadata.L2ForRead(L1Entry(raw)));
    for (uint64_t i = 0; i < geometry.l2_entries(); ++i) {
      const L2Entry entry = L2Entry::Decode(
          table->bytes.data() + i * geometry.l2_entry_size(), geometry);
      if (entry.is_compressed() || !entry.copied()) continue;
      metadata.SetL2Entry(table, i,
                          L2Entry(entry.raw() & ~kCopiedFlag, entry.bitmap()));
    }
  }
  return absl::OkStatus();
}

absl::Status ClearCopied(Metadata& metadata) {
  for (uint64_t i = 0; i < metadata.l1_size(); ++i) {
    const L1Entry entry = metadata.l1_entry(i);
    if (!entry.copied()) continue;
    metadata.SetL1Entry(i, L1Entry(entry.raw() & ~kCopiedFlag));
  }
  return ClearCopiedInL2(metadata, metadata.l1());
}

absl::Status SetCopiedBefore(Metadata& metadata,
                             std::span<const uint64_t> leaving) {
  return CopiedSetter(metadata, leaving).Run();
}

absl::Status SetCopied(Metadata& metadata) {
  return CopiedSetter(metadata, std::nullopt).Run();
}

}  // namespace qcow2
