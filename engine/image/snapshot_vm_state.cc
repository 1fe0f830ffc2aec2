// VM state: bytes behind the disk, in L1 slots of their own.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/format/header.h"
#include "engine/format/l1_entry.h"
#include "engine/image/snapshots.h"
#include "engine/mutex.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// Grows the active L1 table to `needed` entries at least.
absl::Status GrowL1(ImageCore& core, uint64_t needed)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(core.mutex) {
  constexpr uint64_t kMost = kMaxL1Bytes / kL1EntrySize;
  Metadata& metadata = *core.metadata;
  if (metadata.header().has_external_data_file()) {
    return absl::FailedPreconditionError(
        absl::StrCat(core.file->name(),
                     ": an image with an external data file has no room for "
                     "VM state"));
  }
  if (needed > kMost) {
    return absl::ResourceExhaustedError(
        absl::StrCat(core.file->name(), ": VM state that long would need ",
                     needed, " L1 entries, more than ", kMost));
  }
  if (needed <= metadata.l1_size()) return absl::OkStatus();
  RETURN_IF_ERROR(metadata.BeginChange());
  // Half as many again, so that growing stays rare.
  std::vector<uint64_t> entries = metadata.l1();
  entries.resize(std::min(needed + needed / 2, kMost));
  return metadata.ReplaceL1(metadata.area(), std::move(entries));
}

}  // namespace

uint64_t VmStateOffset(const Geometry& geometry, uint64_t disk_size_bytes) {
  return geometry.L1EntriesFor(disk_size_bytes) << geometry.l2_coverage_bits();
}

absl::Status WriteVmState(ImageCore& core, uint64_t position,
                          std::span<const std::byte> data) {
  if (data.empty()) return absl::OkStatus();
  const Geometry& geometry = core.metadata->geometry();
  const uint64_t begin = VmStateOffset(geometry, core.size_bytes.load());
  if (position > ~uint64_t{0} - data.size() - begin) {
    return absl::ResourceExhaustedError(absl::StrCat(
        core.file->name(), ": there is no room for VM state at ", position));
  }
  const uint64_t end = begin + position + data.size();
  {
    const ExclusiveUse everything(core);
    RETURN_IF_ERROR(GrowL1(core, geometry.L1EntriesFor(end)));
  }
  return WriteGuest(core, begin + position, data);
}

}  // namespace qcow2
