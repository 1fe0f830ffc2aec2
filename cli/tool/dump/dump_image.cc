#include "cli/tool/dump/dump_image.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/tool/dump/dump_state.h"
#include "engine/status_macros.h"

namespace qcow2::tool {
namespace {

struct PartRow {
  std::string_view name;
  uint32_t part;
  void (*dump)(DumpState& state);
};

// In the order of the dump.
constexpr PartRow kParts[] = {
    {"header", kDumpHeader, DumpHeaderFields},
    {"extensions", kDumpExtensions, DumpExtensions},
    {"l1", kDumpL1, DumpL1Tables},
    {"l2", kDumpL2, DumpL2Tables},
    {"refcount-table", kDumpRefcountTable, DumpRefcountTable},
    {"refcount-blocks", kDumpRefcountBlocks, DumpRefcountBlocks},
    {"snapshots", kDumpSnapshots, DumpSnapshotTable},
    {"bitmaps", kDumpBitmaps, DumpBitmapDirectory},
};

absl::StatusOr<uint32_t> ParsePart(std::string_view name) {
  if (name == "all") return uint32_t{kDumpAll};
  for (const PartRow& row : kParts) {
    if (row.name == name) return row.part;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", std::string(name),
                   "' is none of header, extensions, l1, l2, refcount-table, "
                   "refcount-blocks, snapshots, bitmaps and all"));
}

absl::Status ReadFirstBytes(DumpState& state) {
  ASSIGN_OR_RETURN(state.file_size, state.file.Size());
  state.first_bytes.resize(
      std::min(state.file_size, uint64_t{1} << kMaxClusterBits));
  ASSIGN_OR_RETURN(const size_t read, state.file.Pread(0, state.first_bytes));
  state.first_bytes.resize(read);
  state.header = Header::Decode(state.first_bytes);
  if (state.header.magic != kMagic) {
    return absl::InvalidArgumentError(
        absl::StrCat(state.file.name(), ": not a qcow2 image (magic 0x",
                     absl::Hex(state.header.magic, absl::kZeroPad8), ")"));
  }
  const absl::StatusOr<Geometry> geometry =
      Geometry::Create(state.header.cluster_bits, state.header.refcount_order,
                       state.header.has_extended_l2());
  if (!geometry.ok()) return absl::OkStatus();
  state.geometry = *geometry;
  state.first_bytes.resize(
      std::min<uint64_t>(state.first_bytes.size(), geometry->cluster_size()));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<uint32_t> ParseDumpParts(std::string_view list) {
  uint32_t parts = 0;
  while (true) {
    const size_t comma = list.find(',');
    ASSIGN_OR_RETURN(const uint32_t part, ParsePart(list.substr(0, comma)));
    parts |= part;
    if (comma == std::string_view::npos) return parts;
    list.remove_prefix(comma + 1);
  }
}

absl::Status DumpImage(const File& file, uint32_t parts, DumpSink& sink) {
  DumpState state = {file, sink, 0, {}, {}, {}};
  RETURN_IF_ERROR(ReadFirstBytes(state));
  for (const PartRow& row : kParts) {
    if ((parts & row.part) == 0 || sink.stopped()) continue;
    // Without sizes nothing but the header can be found.
    if (state.geometry || row.part == kDumpHeader) row.dump(state);
  }
  return absl::OkStatus();
}

}  // namespace qcow2::tool
