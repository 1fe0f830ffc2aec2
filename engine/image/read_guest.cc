// Reading the guest's bytes: find the extents, then fetch each from where it
// lies. Takes the metadata lock for the tables only.
#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/image/image_core.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

absl::StatusOr<MappedExtent> Map(ImageCore& core,
                                 const std::vector<uint64_t>* l1,
                                 uint64_t offset, uint64_t length) {
  MutexLock held(&core.mutex);
  core.metadata->TrimTables();
  return MapExtent(*core.metadata, l1 != nullptr ? *l1 : core.metadata->l1(),
                   offset, length);
}

// What the layers below have; zeros past their end.
absl::Status ReadBacking(ImageCore& core, uint64_t offset,
                         std::span<std::byte> buffer) {
  uint64_t there = 0;
  if (core.backing != nullptr && offset < core.backing->size_bytes()) {
    there =
        std::min<uint64_t>(buffer.size(), core.backing->size_bytes() - offset);
  }
  std::fill(buffer.begin() + static_cast<ptrdiff_t>(there), buffer.end(),
            std::byte{0});
  return there == 0 ? absl::OkStatus()
                    : core.backing->Read(offset, buffer.first(there));
}

}  // namespace

absl::Status ReadGuest(ImageCore& core, const std::vector<uint64_t>* l1,
                       uint64_t offset, std::span<std::byte> buffer) {
  if (core.metadata_only) {
    return absl::FailedPreconditionError(absl::StrCat(
        core.file->name(), ": the image was opened for its metadata alone"));
  }
  while (!buffer.empty()) {
    ASSIGN_OR_RETURN(const MappedExtent extent,
                     Map(core, l1, offset, buffer.size()));
    const std::span<std::byte> piece = buffer.first(extent.length_bytes);
    RETURN_IF_ERROR(extent.kind == MappedKind::kUnallocated
                        ? ReadBacking(core, offset, piece)
                        : core.reader->Read(extent, offset, piece));
    offset += piece.size();
    buffer = buffer.subspan(piece.size());
  }
  return absl::OkStatus();
}

}  // namespace qcow2
