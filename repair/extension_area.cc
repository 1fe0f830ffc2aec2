#include "repair/extension_area.h"

#include <algorithm>
#include <utility>

#include "engine/status_macros.h"
#include "repair/metadata_edit.h"
#include "repair/view_edit.h"

namespace qcow2::repair {
namespace {

constexpr uint64_t kMarkerBytes = 8;

}  // namespace

std::optional<ExtensionArea> ExtensionArea::Read(
    const File& view, const checker::ImageModel& model) {
  ExtensionArea area;
  area.header_ = model.header;
  area.begin_ =
      model.header.version < 3 ? kHeaderLengthV2 : model.header.header_length;
  area.cluster_.resize(model.geometry->cluster_size());
  if (area.begin_ < kHeaderLengthV2 || area.begin_ > area.cluster_.size() ||
      (model.header.version >= 3 && area.begin_ < kHeaderLengthV3) ||
      area.begin_ % 8 != 0 || !ReadZeroFilled(view, 0, area.cluster_).ok()) {
    return std::nullopt;
  }
  area.area_end_ = ExtensionAreaEndOffset(model.header, area.cluster_.size());
  area.Take(DecodeHeaderExtensions(area.cluster_, area.begin_, area.area_end_));
  return area;
}

void ExtensionArea::Take(const HeaderExtensions& decoded) {
  for (const HeaderExtension& extension : decoded.extensions) {
    extensions_.push_back(
        {extension.type,
         extension.offset,
         {extension.data.begin(), extension.data.end()},
         {extension.padding.begin(), extension.padding.end()}});
  }
  end_ = decoded.end;
  end_offset_ = decoded.end_offset;
  end_type_ = decoded.end_type;
}

bool ExtensionArea::ReadOnFrom(uint64_t offset) {
  if (offset > area_end_) return false;
  const HeaderExtensions decoded =
      DecodeHeaderExtensions(cluster_, offset, area_end_);
  if (decoded.end != ExtensionAreaEnd::kMarker &&
      (decoded.end != ExtensionAreaEnd::kAreaEnd ||
       decoded.end_offset != area_end_)) {
    return false;
  }
  Take(decoded);
  return true;
}

StoredExtension* ExtensionArea::FindLast(uint32_t type) {
  const auto found =
      std::find_if(extensions_.rbegin(), extensions_.rend(),
                   [type](const StoredExtension& e) { return e.type == type; });
  return found == extensions_.rend() ? nullptr : &*found;
}

void ExtensionArea::Remove(uint32_t type) {
  std::erase_if(extensions_,
                [type](const StoredExtension& e) { return e.type == type; });
}

std::vector<std::byte> ExtensionArea::Encode() const {
  std::vector<std::byte> bytes;
  for (const StoredExtension& stored : extensions_) {
    HeaderExtension extension;
    extension.type = stored.type;
    extension.data = stored.data;
    // Padding that came with data of another length does not fit.
    if ((stored.data.size() + stored.padding.size()) % 8 == 0) {
      extension.padding = stored.padding;
    }
    const std::vector<std::byte> one = EncodeHeaderExtension(extension);
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  bytes.resize(bytes.size() + kMarkerBytes);
  return bytes;
}

absl::StatusOr<bool> ExtensionArea::Write(File& view) const {
  std::vector<std::byte> bytes = Encode();
  const uint64_t list_end = begin_ + bytes.size();
  // Without a name in the way the area ends with the cluster.
  const bool has_name = area_end_ < cluster_.size();
  const uint64_t name_size = has_name ? header_.backing_file_size : 0;
  if (name_size > cluster_.size() - area_end_) return false;
  if (list_end > (has_name ? cluster_.size() - name_size : area_end_)) {
    return false;
  }
  const bool move_name = has_name && list_end > area_end_;
  if (move_name) {
    bytes.insert(
        bytes.end(), cluster_.begin() + static_cast<ptrdiff_t>(area_end_),
        cluster_.begin() + static_cast<ptrdiff_t>(area_end_ + name_size));
    RETURN_IF_ERROR(WriteBe64(view, kBackingFileOffsetAt, list_end));
  }
  // What stood in the list before and does no more.
  const uint64_t old_end =
      std::min(end_ == ExtensionAreaEnd::kMarker ? end_offset_ + kMarkerBytes
                                                 : end_offset_,
               area_end_);
  if (begin_ + bytes.size() < old_end) bytes.resize(old_end - begin_);
  RETURN_IF_ERROR(view.Pwrite(begin_, bytes));
  return true;
}

}  // namespace qcow2::repair
