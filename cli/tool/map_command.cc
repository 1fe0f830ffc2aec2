// qcow2-tool map: which bytes of the guest's disk are where.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "checker/printable.h"
#include "cli/tool/commands.h"
#include "cli/tool/disk_options.h"
#include "cli/tool/text_output.h"
#include "engine/image/snapshot_disk.h"
#include "engine/status_macros.h"

namespace qcow2::tool {
namespace {

struct MapOptions {
  std::string image;
  DiskOptions disk;
  bool json = false;
  std::optional<uint64_t> start;
  std::optional<uint64_t> length;
};

// A stretch of the disk, as qemu-img tells it.
struct MapLine {
  uint64_t start = 0;
  uint64_t length = 0;
  uint64_t depth = 0;    // of the layer: 0 for the image itself
  bool present = false;  // the layer says it, rather than that none does
  bool zero = false;
  bool data = false;
  std::optional<uint64_t> offset;  // in `file`
  std::string file;
};

// The line for an extent of an image, or of a snapshot in it.
MapLine LineOf(const MappedExtent& extent, const ImageCore& core) {
  MapLine line;
  line.length = extent.length_bytes;
  line.present = extent.kind != MappedKind::kUnallocated;
  line.zero = extent.kind == MappedKind::kZeros;
  line.data = line.present && !line.zero;
  const bool placed =
      extent.kind == MappedKind::kHost || (line.zero && extent.host_offset > 0);
  // Encrypted bytes are no use where they lie.
  if (placed && core.cipher == nullptr) {
    line.offset = extent.host_offset;
    line.file =
        core.data_file != nullptr ? core.data_file->name() : core.file->name();
  }
  return line;
}

// What one layer says of the range; `length` is cut to what is alike.
absl::StatusOr<MapLine> AskLayer(GuestDisk& disk, uint64_t offset,
                                 uint64_t length) {
  if (auto* const image = dynamic_cast<Image*>(&disk)) {
    ASSIGN_OR_RETURN(const MappedExtent extent, image->Map(offset, length));
    return LineOf(extent, image->core());
  }
  if (auto* const snapshot = dynamic_cast<SnapshotDisk*>(&disk)) {
    ASSIGN_OR_RETURN(const MappedExtent extent, snapshot->Map(offset, length));
    return LineOf(extent, snapshot->core());
  }
  ASSIGN_OR_RETURN(const GuestExtent extent, disk.ExtentAt(offset, length));
  MapLine line;
  line.length = extent.length_bytes;
  line.present = true;
  line.zero = extent.kind == GuestExtentKind::kZeros;
  line.data = !line.zero;
  line.offset = offset;
  line.file = disk.name();
  return line;
}

// Follows the chain of backing disks down to whoever says something.
absl::StatusOr<MapLine> MapAt(GuestDisk& top, uint64_t offset,
                              uint64_t length) {
  GuestDisk* disk = &top;
  for (uint64_t depth = 0;; ++depth) {
    length = std::min(length, disk->size_bytes() - offset);
    ASSIGN_OR_RETURN(MapLine line, AskLayer(*disk, offset, length));
    line.start = offset;
    line.depth = depth;
    if (line.present) return line;
    length = line.length;
    GuestDisk* const below = disk->backing();
    // Behind the end of a shorter backing disk there are zeros.
    if (below == nullptr || offset >= below->size_bytes()) {
      line.zero = true;
      return line;
    }
    disk = below;
  }
}

bool Continues(const MapLine& line, const MapLine& next) {
  return line.depth == next.depth && line.present == next.present &&
         line.zero == next.zero && line.data == next.data &&
         line.file == next.file &&
         line.offset.has_value() == next.offset.has_value() &&
         (!line.offset || *line.offset + line.length == *next.offset);
}

// Told stretches that are as long as they can be.
class MapPrinter {
 public:
  MapPrinter(bool json, TextOutput& output) : json_(json), output_(output) {
    if (json_) {
      output_.Append("[");
    } else {
      output_.Append(Row("Offset", "Length", "Mapped to") + "File\n");
    }
  }
  void Add(const MapLine& line) {
    if (pending_.length > 0 && Continues(pending_, line)) {
      pending_.length += line.length;
      return;
    }
    Drain();
    pending_ = line;
  }
  void Finish() {
    Drain();
    if (json_) output_.Append("]\n");
  }

 private:
  static std::string Row(const std::string& a, const std::string& b,
                         const std::string& c) {
    char text[96];
    std::snprintf(text, sizeof text, "%-16s%-16s%-16s", a.c_str(), b.c_str(),
                  c.c_str());
    return text;
  }
  void Drain() {
    if (pending_.length == 0) return;
    json_ ? PrintJson(pending_) : PrintText(pending_);
    pending_ = {};
  }
  void PrintJson(const MapLine& line) {
    const auto word = [](bool value) { return value ? "true" : "false"; };
    output_.Append(absl::StrCat(
        first_ ? "" : ",\n", "{ \"start\": ", line.start,
        ", \"length\": ", line.length, ", \"depth\": ", line.depth,
        ", \"present\": ", word(line.present), ", \"zero\": ", word(line.zero),
        ", \"data\": ", word(line.data)));
    if (line.offset)
      output_.Append(absl::StrCat(", \"offset\": ", *line.offset));
    output_.Append("}");
    first_ = false;
  }
  // Only what is stored as it is read.
  void PrintText(const MapLine& line) {
    if (!line.data || line.zero) return;
    output_.Append(
        Row(checker::Hex(line.start), checker::Hex(line.length),
            line.offset ? checker::Hex(*line.offset) : std::string("-")) +
        checker::Printable(line.file) + "\n");
  }

  const bool json_;
  TextOutput& output_;
  MapLine pending_;  // of no length: none
  bool first_ = true;
};

absl::StatusOr<int> RunMap(const MapOptions& options, const Console& console) {
  ASSIGN_OR_RETURN(const std::unique_ptr<GuestDisk> disk,
                   OpenForReading(options.image, options.disk));
  const uint64_t size = disk->size_bytes();
  uint64_t offset = std::min(options.start.value_or(0), size);
  const uint64_t end =
      offset + std::min(options.length.value_or(size), size - offset);
  TextOutput output(console.standard_output);
  MapPrinter printer(options.json, output);
  while (offset < end && !output.failed()) {
    if (console.cancelled()) return absl::CancelledError("cancelled");
    ASSIGN_OR_RETURN(const MapLine line, MapAt(*disk, offset, end - offset));
    printer.Add(line);
    offset += line.length;
  }
  printer.Finish();
  RETURN_IF_ERROR(output.Finish());
  return kExitDone;
}

}  // namespace

void AddMapCommand(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<MapOptions>();
  CLI::App* const command = AddCommand(
      app,
      {"map", "[OPTION]... IMAGE", "Show where the disk's bytes are stored",
       "The whole chain of backing files is looked at. JSON has the keys of "
       "`qemu-img map --output=json`.",
       "  qcow2-tool map disk.qcow2\n"
       "  qcow2-tool map --output=json disk.qcow2\n"},
      chosen,
      [options](const Console& console) { return RunMap(*options, console); });
  AddArgument(*command, "IMAGE", options->image);
  AddOutputFormat(*command, options->json);
  AddBytes(*command, "--start-offset", "First byte; 0 (default)",
           options->start);
  AddBytes(*command, "--max-length", "How many; all (default)",
           options->length);
  AddSnapshotOption(*command, "-l,--snapshot", options->disk.snapshot);
  AddReadDiskOptions(*command, options->disk);
}

}  // namespace qcow2::tool
