#include "checker/bitmap_table_reader.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "checker/pass_findings.h"

namespace qcow2::checker {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{64} << 10;
// Runs of data clusters kept for all bitmaps together, some 100 MiB of them.
constexpr uint64_t kMaxDataRegions = uint64_t{1} << 21;

// The end of the first stretch of `file` from `offset` on that holds nothing
// but zeros for sure, at most `end`; `offset` if there may be data.
uint64_t SkipHole(const File& file, uint64_t offset, uint64_t end) {
  const absl::StatusOr<ByteRange> data = file.NextData(offset);
  if (!data.ok()) return offset;
  if (data->length == 0) return end;
  return std::clamp(data->offset, offset, end);
}

}  // namespace

std::string FieldForBitmap(std::string_view name) {
  if (name.empty()) return "";
  return "bitmap \"" + std::string(name.substr(0, kMaxBitmapNameBytes)) + "\"";
}

BitmapTableReader::BitmapTableReader(CheckState& state)
    : state_(state),
      bytes_left_(state.model.FileClusters()
                  << state.model.geometry->cluster_bits()),
      regions_left_(kMaxDataRegions) {}

Finding BitmapTableReader::About(Problem problem, uint64_t table_index) const {
  Finding finding;
  finding.problem = problem;
  finding.location.structure = Structure::kBitmapTable;
  finding.location.table_offset = table_offset_;
  finding.location.index = table_index;
  finding.location.field = FieldForBitmap(name_);
  return finding;
}

bool BitmapTableReader::WithinBudget(uint64_t bytes) {
  if (bytes <= bytes_left_) {
    bytes_left_ -= bytes;
    return true;
  }
  if (!gave_up_reading_) {
    gave_up_reading_ = true;
    state_.model.references_incomplete = true;
    state_.errors.push_back(
        "bitmap tables from bitmap " + std::to_string(index_) +
        " on were not read: together they are longer than the file");
  }
  return false;
}

// Whether there is a table to read; adds its region.
bool BitmapTableReader::Locate(uint64_t index,
                               const BitmapDirectoryEntry& entry) {
  const ImageModel& model = state_.model;
  index_ = index;
  name_ = entry.name;
  table_offset_ = entry.table_offset.value();
  const uint64_t length = entry.table_size * kBitmapTableEntrySize;
  if (length == 0 || table_offset_ == 0 ||
      !model.geometry->IsAligned(table_offset_) ||
      entry.table_size > kMaxBitmapTableEntries) {
    state_.model.references_incomplete |= length != 0;
    return false;
  }
  if (model.ReachesPastEnd(table_offset_, length)) {
    Finding finding = About(Problem::kBitmapTablePastEnd, 0);
    finding.location.index.reset();
    finding.actual = table_offset_;
    finding.expected = model.file_size_bytes;
    finding.host = RunOf(*model.geometry, table_offset_, length);
    state_.sink.Add(std::move(finding));
    state_.model.references_incomplete = true;
    if (!IsAddressable(table_offset_, length)) {
      // QEMU tries to read the table and gives up.
      state_.sink.AddQemuCounts({.refused = true});
    }
  }
  AddRegion(state_, {kOwnerBitmapTable, table_offset_, length, index});
  return true;
}

void BitmapTableReader::Run(uint64_t index, const BitmapDirectoryEntry& entry,
                            bool entry_valid) {
  if (!Locate(index, entry)) return;
  last_entry_ = BitmapTableEntry();
  run_ = MetadataRegion{};
  // Past the end of the file there are zeros, which name nothing.
  const uint64_t length = entry.table_size * kBitmapTableEntrySize;
  const uint64_t file_size = state_.model.file_size_bytes;
  if (table_offset_ >= file_size) return;
  const uint64_t readable = std::min(length, file_size - table_offset_);
  if (!WithinBudget(readable)) return;
  state_.reader.Expect(readable);

  std::vector<std::byte> piece;
  uint64_t position = 0;
  while (position < readable && !state_.reader.Cancelled()) {
    const uint64_t data =
        SkipHole(state_.reader.file(), table_offset_ + position,
                 table_offset_ + readable) -
        table_offset_;
    if (data == readable) break;
    if (data - position >= kPieceBytes) {
      position = data / kBitmapTableEntrySize * kBitmapTableEntrySize;
    }
    piece.resize(std::min(kPieceBytes,
                          (readable - position + kBitmapTableEntrySize - 1) /
                              kBitmapTableEntrySize * kBitmapTableEntrySize));
    ReportUnreadable(state_, About(Problem::kRangeUnreadable, 0).location,
                     state_.reader.Read(table_offset_ + position, piece));
    ReadEntries(position / kBitmapTableEntrySize, piece);
    position += piece.size();
  }
  EndRun();
  if (entry_valid && state_.options.deep && !entry.in_use()) JudgeTail(entry);
}

void BitmapTableReader::ReadEntries(uint64_t first,
                                    std::span<const std::byte> bytes) {
  for (uint64_t i = 0; i < bytes.size() / kBitmapTableEntrySize; ++i) {
    const auto entry =
        BitmapTableEntry::Decode(&bytes[i * kBitmapTableEntrySize]);
    if (entry.raw() <= kBitmapTableAllOnes) continue;
    ReadEntry(first + i, entry);
    last_entry_ = entry;
    last_entry_index_ = first + i;
  }
}

void BitmapTableReader::ReadEntry(uint64_t table_index,
                                  BitmapTableEntry entry) {
  const ImageModel& model = state_.model;
  const uint32_t issues = BitmapTableEntryIssues(entry, *model.geometry);
  if (issues != 0) {
    Finding finding = About(Problem::kBitmapTableEntry, table_index);
    finding.actual = entry.raw();
    finding.detail = (issues & kBitmapTableOffsetUnaligned) != 0
                         ? "the offset is not cluster aligned"
                         : "reserved bits are set";
    state_.sink.Add(std::move(finding));
  }
  if (!entry.has_cluster()) return;
  if ((issues & kBitmapTableOffsetUnaligned) != 0) {
    state_.model.references_incomplete = true;
    return;
  }
  const uint64_t offset = entry.offset().value();
  const uint64_t cluster_size = model.geometry->cluster_size();
  if (model.ReachesPastEnd(offset, cluster_size)) {
    Finding finding = About(Problem::kBitmapDataPastEnd, table_index);
    finding.actual = offset;
    finding.expected = model.file_size_bytes;
    finding.host = RunOf(*model.geometry, offset, cluster_size);
    state_.sink.Add(std::move(finding));
    return;
  }
  TakeData(offset);
}

void BitmapTableReader::TakeData(uint64_t offset) {
  const uint64_t cluster_size = state_.model.geometry->cluster_size();
  if (run_.length_bytes != 0 &&
      run_.offset_bytes + run_.length_bytes == offset) {
    run_.length_bytes += cluster_size;
    return;
  }
  EndRun();
  run_ = {kOwnerBitmapData, offset, cluster_size, index_};
}

void BitmapTableReader::EndRun() {
  if (run_.length_bytes == 0) return;
  if (regions_left_ > 0) {
    --regions_left_;
    AddRegion(state_, run_);
  } else if (!gave_up_collecting_) {
    gave_up_collecting_ = true;
    state_.model.references_incomplete = true;
    state_.errors.push_back("bitmap data of bitmap " + std::to_string(index_) +
                            " and later ones was not followed: it is in more "
                            "pieces than are kept");
  }
  run_ = MetadataRegion{};
}

// The bits behind the one for the end of the disk must be zero.
void BitmapTableReader::JudgeTail(const BitmapDirectoryEntry& entry) {
  const Geometry& geometry = *state_.model.geometry;
  const uint64_t size = state_.model.header.size;
  if (!last_entry_.has_cluster() || size == 0 ||
      last_entry_index_ != entry.table_size - 1 ||
      BitmapTableEntryIssues(last_entry_, geometry) != 0 ||
      entry.table_size !=
          BitmapTableEntriesFor(size, entry.granularity_bits, geometry)) {
    return;
  }
  const uint64_t bits = ((size - 1) >> entry.granularity_bits) + 1;
  const uint64_t bits_before =
      (uint64_t{entry.table_size} - 1) * geometry.cluster_size() * 8;
  const uint64_t used = bits - bits_before;
  std::vector<std::byte> data(geometry.cluster_size());
  Finding finding = About(Problem::kBitmapTail, entry.table_size - 1);
  finding.location.structure = Structure::kBitmapData;
  ReportUnreadable(state_, finding.location,
                   state_.reader.Read(last_entry_.offset().value(), data));
  for (uint64_t byte = used / 8; byte < data.size(); ++byte) {
    // The first bit of a byte is its least significant one.
    const auto mask =
        static_cast<std::byte>(byte == used / 8 ? 0xff << used % 8 : 0xff);
    if ((data[byte] & mask) == std::byte{0}) continue;
    finding.host = RunOf(geometry, last_entry_.offset().value(), data.size());
    finding.actual = (bits_before + byte * 8) +
                     static_cast<uint64_t>(std::countr_zero(
                         std::to_integer<unsigned>(data[byte] & mask)));
    finding.expected = bits;
    state_.sink.Add(std::move(finding));
    return;
  }
}

}  // namespace qcow2::checker
