// What an image is, with the keys and values of `qemu-img info`.
#ifndef CLI_TOOL_IMAGE_INFO_H_
#define CLI_TOOL_IMAGE_INFO_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "engine/format/luks_header.h"
#include "engine/image/image_chain_names.h"
#include "engine/storage/posix_file.h"

namespace qcow2::tool {

using Json = nlohmann::ordered_json;

// Reads the header area, the snapshot table and the bitmap directory of the
// image at `path`, or of a raw disk its length. Errors are those of opening and
// of a header that cannot be used.
absl::StatusOr<Json> ImageInfo(const std::string& path, DiskFormat format);
// The same of a file that is open.
absl::StatusOr<Json> ImageInfo(const PosixFile& file, DiskFormat format);

// The key slots of a LUKS header, as ImageInfo has them.
Json KeySlotsJson(const LuksHeader& header);

// What ImageInfo returned, for people.
std::string InfoText(const Json& info);
// The part of it about the list of snapshots.
std::string SnapshotsText(const Json& snapshots);

}  // namespace qcow2::tool

#endif  // CLI_TOOL_IMAGE_INFO_H_
