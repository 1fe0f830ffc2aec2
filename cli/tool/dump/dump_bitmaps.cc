// The bitmap directory and the table of each bitmap.
#include <algorithm>

#include "checker/printable.h"
#include "cli/tool/dump/dump_state.h"
#include "cli/units.h"
#include "engine/format/bitmap_directory.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/bitmap_table_entry.h"
#include "engine/format/header_extension.h"

namespace qcow2::tool {
namespace {

using checker::Hex;

constexpr IssueText kIssues[] = {
    {kBitmapCutShort, "the entry is cut short"},
    {kBitmapTableUnaligned, "bitmap_table_offset: not cluster aligned"},
    {kBitmapTableMissing, "there is no table"},
    {kBitmapTableTooLarge, "bitmap_table_size: too large"},
    {kBitmapReservedFlags, "flags: reserved bits are set"},
    {kBitmapUnknownType, "type: unknown"},
    {kBitmapBadGranularity, "granularity_bits: not in 9..31"},
    {kBitmapNameEmpty, "the name is empty"},
    {kBitmapNameTooLong, "the name is longer than 1023 bytes"},
    {kBitmapIncompatibleExtraData,
     "extra data that may change the meaning of the bitmap"},
};

constexpr IssueText kTableIssues[] = {
    {kBitmapTableReservedBitsSet, "reserved bits are set"},
    {kBitmapTableOffsetUnaligned, "not cluster aligned"},
};

constexpr IssueText kFlags[] = {
    {kBitmapInUse, "in use"},
    {kBitmapAuto, "auto"},
    {kBitmapExtraDataCompatible, "extra data compatible"},
};

std::string FlagNames(uint32_t flags) {
  const std::string names = JoinIssues(flags, kFlags);
  return names.empty() ? "none" : names;
}

void TellDirectoryFields(const BitmapDirectoryEntry& entry,
                         const FieldTeller& tell) {
  tell.Hexadecimal("bitmap_table_offset", 0, 8, entry.table_offset.value(),
                   "where its table is; cluster aligned");
  tell.Number("bitmap_table_size", 8, 4, entry.table_size, "entries of it");
  tell.Hexadecimal("flags", 12, 4, entry.flags, FlagNames(entry.flags));
  tell.Number(
      "type", 16, 1, entry.type,
      entry.type == kBitmapTypeDirtyTracking ? "dirty tracking" : "unknown");
  tell.Number("granularity_bits", 17, 1, entry.granularity_bits,
              entry.granularity_bits < 63
                  ? cli::HumanBytes(uint64_t{1} << entry.granularity_bits) +
                        " of the guest a bit"
                  : "");
  tell.Number("name_size", 18, 2, entry.name.size() + entry.missing_name,
              "bytes of the name");
  tell.Number("extra_data_size", 20, 4, entry.extra_data_size(),
              "bytes of extra data");
  if (!entry.extra_data.empty()) {
    tell.Bytes("extra data", kBitmapFixedSize, entry.extra_data, "");
  }
  tell.Text("name", kBitmapFixedSize + entry.extra_data_size(),
            entry.name.size(), entry.name, "");
}

void TellBitmapTableEntry(DumpState& state, uint64_t table, uint64_t index,
                          uint64_t count, BitmapTableEntry entry) {
  DumpEntry told;
  told.index = index;
  told.count = count;
  told.offset = table + index * kBitmapTableEntrySize;
  told.raw = entry.raw();
  told.meaning = entry.all_ones() ? "all ones" : "all zeros";
  if (entry.has_cluster()) {
    told.meaning = "bits at " + Hex(entry.offset().value());
    told.details["host_offset"] = entry.offset().value();
  }
  told.details["type"] = entry.has_cluster() ? "stored"
                         : entry.all_ones()  ? "all-ones"
                                             : "all-zeros";
  const std::string problem =
      JoinIssues(BitmapTableEntryIssues(entry, *state.geometry), kTableIssues);
  if (!problem.empty()) {
    told.meaning += "  ! " + problem;
    told.details["problem"] = problem;
  }
  state.sink.Entry(told);
}

void DumpBitmapTable(DumpState& state, const BitmapDirectoryEntry& bitmap) {
  const uint64_t offset = bitmap.table_offset.value();
  DumpStructure structure;
  structure.kind = "bitmap-table";
  structure.title = "Table of bitmap \"" + bitmap.name + "\"";
  structure.offset = offset;
  structure.length = uint64_t{bitmap.table_size} * kBitmapTableEntrySize;
  structure.details["bitmap"] = bitmap.name;
  state.sink.Begin(structure);
  TellTable(
      state,
      {offset, bitmap.table_size, kBitmapTableEntrySize,
       kMaxBitmapTableEntries},
      [&](uint64_t index, uint64_t count, std::span<const std::byte> bytes) {
        TellBitmapTableEntry(state, offset, index, count,
                             BitmapTableEntry::Decode(bytes.data()));
        return !state.sink.stopped();
      });
  state.sink.End();
}

void DumpDirectoryEntry(DumpState& state, uint64_t index,
                        const LocatedBitmap& bitmap, uint64_t directory) {
  DumpStructure structure;
  structure.kind = "bitmap";
  structure.title = "Bitmap directory entry " + std::to_string(index);
  structure.offset = directory + bitmap.offset;
  structure.length = bitmap.entry.padded_size_bytes();
  structure.details["index"] = index;
  state.sink.Begin(structure);
  TellDirectoryFields(bitmap.entry, {state, structure.offset});
  TellIssues(BitmapIssues(bitmap.entry, *state.geometry), kIssues, state.sink);
  state.sink.End();
}

}  // namespace

void DumpBitmapDirectory(DumpState& state) {
  const HeaderExtensions extensions = DecodeHeaderExtensions(
      state.first_bytes, state.header.header_length,
      ExtensionAreaEndOffset(state.header, state.geometry->cluster_size()));
  const HeaderExtension* const extension = extensions.Find(kExtensionBitmaps);
  if (extension == nullptr) return;
  const BitmapExtension place = BitmapExtension::Decode(extension->data);
  const uint64_t offset = place.directory_offset.value();
  SilentSink silent(state.sink);
  DumpState quiet = WithSink(state, silent);
  const std::vector<std::byte> directory = ReadBytes(
      quiet, offset, std::min(place.directory_size, kMaxBitmapDirectoryBytes));
  const std::vector<LocatedBitmap> bitmaps =
      DecodeBitmapDirectory(directory, std::min(place.nb_bitmaps, kMaxBitmaps));
  for (uint64_t i = 0; i < bitmaps.size(); ++i) {
    if (state.sink.stopped()) return;
    DumpDirectoryEntry(state, i, bitmaps[i], offset);
    DumpBitmapTable(state, bitmaps[i].entry);
  }
}

}  // namespace qcow2::tool
