#include "engine/image/create.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/format/geometry.h"
#include "engine/image/create_header.h"
#include "engine/image/create_tables.h"
#include "engine/image/image_layout.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

constexpr uint64_t kMagicBytes = 4;
constexpr uint64_t kAllSubclustersAllocated =
    std::numeric_limits<uint32_t>::max();

// Makes `file` `size` bytes of zeros, as far as it has a size of its own to
// set.
absl::Status StartWithZeros(File& file, uint64_t size) {
  absl::Status emptied = file.Truncate(0);
  if (emptied.ok()) {
    RETURN_IF_ERROR(file.Truncate(size));
  } else if (absl::IsInvalidArgument(emptied)) {
    // A device, by what the system says of setting its length.
    ASSIGN_OR_RETURN(const uint64_t there, file.Size());
    if (there < size) {
      return absl::ResourceExhaustedError(
          absl::StrCat("'", file.name(), "' has ", there, " bytes, of ", size,
                       " that are needed"));
    }
    RETURN_IF_ERROR(file.PunchHole({0, size}));
  } else {
    return emptied;
  }
  // What was there before must be gone for good before anything new comes, or
  // a crash could leave old tables with new bytes in them.
  return file.Flush();
}

// Gives the zeros in `range` their space.
absl::Status TakeSpace(Preallocation preallocation, ByteRange range,
                       File& file) {
  switch (preallocation) {
    case Preallocation::kOff:
    case Preallocation::kMetadata:
      return absl::OkStatus();
    case Preallocation::kFalloc:
      return file.Allocate(range);
    case Preallocation::kFull:
      return WriteZeros(range, file);
  }
  return absl::OkStatus();
}

absl::Status PrepareDataFile(const CreateOptions& options, File& data_file) {
  RETURN_IF_ERROR(StartWithZeros(data_file, options.virtual_size));
  RETURN_IF_ERROR(
      TakeSpace(options.preallocation, {0, options.virtual_size}, data_file));
  return data_file.Flush();
}

// Everything but the first cluster.
absl::Status WriteBody(const CreateOptions& options, const Geometry& geometry,
                       const ImageLayout& layout, File& file) {
  if (IsPreallocated(options)) {
    // Subclusters of a preallocated cluster stay unallocated, so that they read
    // as the backing file or as zeros. A raw data file, though, has the disk's
    // contents whatever the image says.
    const uint64_t l2_bitmap =
        options.data_file_raw ? kAllSubclustersAllocated : 0;
    RETURN_IF_ERROR(WriteMappings(geometry, layout, l2_bitmap, file));
  }
  if (options.data_file.empty()) {
    RETURN_IF_ERROR(TakeSpace(options.preallocation,
                              {layout.guest_data.value(),
                               layout.guest_clusters * geometry.cluster_size()},
                              file));
  }
  if (layout.luks_clusters > 0) {
    RETURN_IF_ERROR(file.Pwrite(layout.luks_area.value(), options.luks_area));
  }
  return WriteRefcounts(geometry, layout, file);
}

absl::Status WriteFirstCluster(std::span<const std::byte> bytes, File& file) {
  RETURN_IF_ERROR(file.Pwrite(kMagicBytes, bytes.subspan(kMagicBytes)));
  RETURN_IF_ERROR(file.Flush());
  RETURN_IF_ERROR(file.Pwrite(0, bytes.first(kMagicBytes)));
  return file.Flush();
}

absl::StatusOr<Geometry> GeometryFor(const CreateOptions& options) {
  return Geometry::Create(
      options.cluster_bits,
      static_cast<uint32_t>(std::countr_zero(options.refcount_bits)),
      options.extended_l2);
}

}  // namespace

absl::Status CreateImage(File& file, File* data_file,
                         const CreateOptions& options) {
  RETURN_IF_ERROR(CheckCreateOptions(options));
  if ((data_file == nullptr) != options.data_file.empty()) {
    return absl::InvalidArgumentError(
        "A data file needs a name in the image, and the other way round");
  }
  ASSIGN_OR_RETURN(const Geometry geometry, GeometryFor(options));
  ASSIGN_OR_RETURN(
      const ImageLayout layout,
      PlanImageLayout({.geometry = geometry,
                       .virtual_size = options.virtual_size,
                       .luks_bytes = options.luks_area.size(),
                       .preallocated = IsPreallocated(options),
                       .external_data_file = data_file != nullptr}));
  ASSIGN_OR_RETURN(const std::vector<std::byte> first_cluster,
                   MakeHeaderArea(options, layout).Encode());

  RETURN_IF_ERROR(
      StartWithZeros(file, layout.clusters * geometry.cluster_size()));
  if (data_file != nullptr) {
    RETURN_IF_ERROR(PrepareDataFile(options, *data_file));
  }
  RETURN_IF_ERROR(WriteBody(options, geometry, layout, file));
  return WriteFirstCluster(first_cluster, file);
}

}  // namespace qcow2
