// Walks over the structures of an image and tells all they hold.
//
// Reads the file and nothing else. Asks no structure to be right: whatever the
// bytes are, they are decoded and shown, as far as the file has them.
#ifndef CLI_TOOL_DUMP_DUMP_IMAGE_H_
#define CLI_TOOL_DUMP_DUMP_IMAGE_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/tool/dump/dump_sink.h"
#include "engine/storage/file.h"

namespace qcow2::tool {

// What is dumped, as bits of a mask.
enum DumpPart : uint32_t {
  kDumpHeader = 1 << 0,
  kDumpExtensions = 1 << 1,
  kDumpL1 = 1 << 2,
  kDumpL2 = 1 << 3,
  kDumpRefcountTable = 1 << 4,
  kDumpRefcountBlocks = 1 << 5,
  kDumpSnapshots = 1 << 6,
  kDumpBitmaps = 1 << 7,
  kDumpAll = (1 << 8) - 1,
};

// The mask of a list like "header,l1". InvalidArgument names the part that is
// none.
absl::StatusOr<uint32_t> ParseDumpParts(std::string_view list);

// Tells `sink` of those parts of the image in `file`. What cannot be read or
// goes past the end of the file is told as a problem of its structure; an error
// is returned only where nothing can be found without it: a file without qcow2
// header, or an I/O error in it. Tables are read piece by piece; entries that
// are equal are told once, so that the result's length follows from what is in
// the file.
absl::Status DumpImage(const File& file, uint32_t parts, DumpSink& sink);

}  // namespace qcow2::tool

#endif  // CLI_TOOL_DUMP_DUMP_IMAGE_H_
