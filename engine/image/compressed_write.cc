// Storing compressed clusters: packed one behind the other at any byte.
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/image/image_core.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

absl::Status CheckPossible(ImageCore& core, uint64_t offset, uint64_t bytes) {
  const Geometry& geometry = core.metadata->geometry();
  if (core.cipher != nullptr || core.data_file != nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        core.file->name(), ": compressed clusters cannot be stored ",
        core.cipher != nullptr ? "encrypted" : "in an external data file"));
  }
  if (!geometry.IsAligned(offset) || bytes == 0 ||
      bytes >= geometry.cluster_size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        core.file->name(), ": ", bytes, " bytes at guest offset 0x",
        absl::Hex(offset), " are not one compressed cluster"));
  }
  return absl::OkStatus();
}

L2Entry EntryFor(HostOffset at, uint64_t bytes, const Geometry& geometry) {
  CompressedDescriptor descriptor;
  descriptor.offset = at;
  const uint64_t last = at.value() + bytes - 1;
  descriptor.sectors =
      last / kCompressedSectorSize - at.value() / kCompressedSectorSize + 1;
  return L2Entry::FromCompressed(descriptor, geometry);
}

}  // namespace

absl::Status WriteCompressedGuest(ImageCore& core, uint64_t offset,
                                  std::span<const std::byte> compressed) {
  RETURN_IF_ERROR(CheckPossible(core, offset, compressed.size()));
  const Geometry& geometry = core.metadata->geometry();
  const RangeLock::Holder holder(core.ranges, offset,
                                 offset + geometry.cluster_size(),
                                 RangeLock::Mode::kExclusive);
  const uint64_t cluster = offset >> geometry.cluster_bits();
  const uint64_t l1_index = cluster >> geometry.l2_bits();
  HostOffset at;
  {
    MutexLock held(&core.mutex);
    RETURN_IF_ERROR(core.metadata->BeginChange());
    if (l1_index >= core.metadata->l1_size()) {
      return absl::OutOfRangeError("a write past the end of the L1 table");
    }
    RETURN_IF_ERROR(
        MapExtent(*core.metadata, core.metadata->l1(), offset, 1).status());
    RETURN_IF_ERROR(core.NoteChange(offset, geometry.cluster_size()));
    ASSIGN_OR_RETURN(at, core.metadata->AllocateBytes(compressed.size()));
    RETURN_IF_ERROR(core.metadata->GuardWrite({at.value(), compressed.size()}));
  }
  absl::Status written = core.file->Pwrite(at.value(), compressed);
  core.metadata->NoteDataWritten();
  core.reader->ForgetDecompressed();
  MutexLock held(&core.mutex);
  const L2Entry entry = EntryFor(at, compressed.size(), geometry);
  if (!written.ok()) {
    core.metadata->FreeEntryLater(entry, FreeReason::kNever);
    return written;
  }
  ASSIGN_OR_RETURN(CachedTable * table, core.metadata->L2ForWrite(l1_index));
  const uint64_t index = cluster & (geometry.l2_entries() - 1);
  const L2Entry before = L2Entry::Decode(
      table->bytes.data() + index * geometry.l2_entry_size(), geometry);
  core.metadata->SetL2Entry(table, index, entry);
  core.metadata->FreeEntryLater(before, FreeReason::kNever);
  return absl::OkStatus();
}

}  // namespace qcow2
