#include "engine/image/empty_image.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/format/l1_entry.h"
#include "engine/image/snapshot_graph.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// Clears the L1 entries of the disk, and returns what they were.
std::vector<uint64_t> DropL1Entries(Metadata& metadata) {
  const Geometry& geometry = metadata.geometry();
  const uint64_t end = std::min(metadata.l1_size(),
                                geometry.L1EntriesFor(metadata.header().size));
  std::vector<uint64_t> dropped(
      metadata.l1().begin(),
      metadata.l1().begin() + static_cast<ptrdiff_t>(end));
  for (uint64_t i = 0; i < end; ++i) {
    const L1Entry entry(dropped[i]);
    if (!entry.has_l2_table()) continue;
    metadata.SetL1Entry(i, L1Entry());
    metadata.guard().Remove(kOverlapActiveL2,
                            {geometry.ClusterOf(entry.l2_offset()), 1});
  }
  return dropped;
}

}  // namespace

absl::Status EmptyImage(ImageCore& core) {
  const ExclusiveUse everything(core);
  Metadata& metadata = *core.metadata;
  RETURN_IF_ERROR(metadata.BeginChange());
  const std::vector<uint64_t> dropped = DropL1Entries(metadata);
  RETURN_IF_ERROR(metadata.Flush());
  RETURN_IF_ERROR(UncountGraph(metadata, dropped, FreeReason::kRequest));
  if (core.data_file != nullptr) {
    RETURN_IF_ERROR(core.data_file->PunchHole({0, core.size_bytes.load()}));
    metadata.NoteDataWritten();
  }
  return metadata.Flush();
}

}  // namespace qcow2
