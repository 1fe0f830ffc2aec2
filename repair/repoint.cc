#include "repair/repoint.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "checker/l2_entry_judge.h"
#include "engine/format/bitmap_table_entry.h"
#include "engine/format/byte_order.h"
#include "engine/format/header_extension.h"
#include "engine/format/l1_entry.h"
#include "engine/format/l2_entry.h"
#include "engine/status_macros.h"
#include "repair/header_fields.h"
#include "repair/table_places.h"

namespace qcow2::repair {
namespace {

// In the data of the two extensions that name something.
constexpr uint64_t kDirectoryOffsetPosition = 16;
constexpr uint64_t kLuksOffsetPosition = 0;
constexpr uint64_t kExtensionHeadBytes = 8;

class Repointer {
 public:
  Repointer(const checker::Graph& graph, const OverlapClaims& claims,
            const Relocations& moved, File& view)
      : graph_(graph),
        model_(graph.model),
        geometry_(*graph.model.geometry),
        claims_(claims),
        moved_(moved),
        view_(view) {}

  absl::Status Run();

 private:
  absl::Status WriteWord(uint64_t offset, uint64_t word);
  // Where a structure that the header names is by now.
  uint64_t PlaceOf(uint32_t owner, uint64_t before) const;
  uint64_t PlaceOf(const checker::L1Table& table) const;
  absl::Status RepointHeader();
  absl::Status RepointExtension(uint32_t type, uint64_t position,
                                uint64_t offset);
  absl::Status RepointSnapshots();
  absl::Status RepointBitmaps();
  absl::Status RepointBitmapData();
  absl::Status RepointL1Tables();
  absl::Status RepointL1Table(const checker::L1Table& table);
  absl::Status RepointL2Tables();
  absl::Status RepointL2Table(uint64_t place);
  // The entry as it has to be, which is itself if it names nothing that moved.
  L2Entry Shifted(L2Entry entry) const;

  const checker::Graph& graph_;
  const checker::ImageModel& model_;
  const Geometry& geometry_;
  const OverlapClaims& claims_;
  const Relocations& moved_;
  File& view_;
  // Of the L2 tables that L1 entries are re-pointed from, by old offset.
  absl::flat_hash_map<uint64_t, uint32_t> l2_indexes_;
};

absl::Status Repointer::WriteWord(uint64_t offset, uint64_t word) {
  std::array<std::byte, 8> bytes;
  StoreBe64(bytes.data(), word);
  return view_.Pwrite(offset, bytes);
}

uint64_t Repointer::PlaceOf(uint32_t owner, uint64_t before) const {
  const auto found = moved_.named_by_header.find(owner);
  return found == moved_.named_by_header.end() ? before : found->second;
}

uint64_t Repointer::PlaceOf(const checker::L1Table& table) const {
  if (table.active) {
    return PlaceOf(checker::kOwnerActiveL1, table.offset_bytes);
  }
  const auto found = moved_.snapshot_l1_tables.find(table.snapshot_index);
  return found == moved_.snapshot_l1_tables.end() ? table.offset_bytes
                                                  : found->second;
}

absl::Status Repointer::RepointExtension(uint32_t type, uint64_t position,
                                         uint64_t offset) {
  std::vector<std::byte> first(geometry_.cluster_size());
  RETURN_IF_ERROR(ReadZeroFilled(view_, 0, first));
  const HeaderExtensions extensions = DecodeHeaderExtensions(
      first, HeaderExtensionsBegin(model_.header, first),
      ExtensionAreaEndOffset(model_.header, geometry_.cluster_size()));
  const HeaderExtension* extension = extensions.Find(type);
  if (extension == nullptr || extension->length < position + 8) {
    return absl::InternalError("a header extension is not where it was found");
  }
  return WriteWord(extension->offset + kExtensionHeadBytes + position, offset);
}

// Field by field, since a step before may have mended others.
absl::Status Repointer::RepointHeader() {
  for (const auto& [owner, offset] : moved_.named_by_header) {
    if (owner == checker::kOwnerActiveL1) {
      RETURN_IF_ERROR(WriteWord(kL1TableOffsetAt, offset));
    } else if (owner == checker::kOwnerSnapshotTable) {
      RETURN_IF_ERROR(WriteWord(kSnapshotsOffsetAt, offset));
    } else if (owner == checker::kOwnerBitmapDirectory) {
      RETURN_IF_ERROR(RepointExtension(kExtensionBitmaps,
                                       kDirectoryOffsetPosition, offset));
    } else if (owner == checker::kOwnerLuksHeader) {
      RETURN_IF_ERROR(
          RepointExtension(kExtensionLuks, kLuksOffsetPosition, offset));
    }
  }
  return absl::OkStatus();
}

absl::Status Repointer::RepointSnapshots() {
  const uint64_t table = PlaceOf(checker::kOwnerSnapshotTable,
                                 model_.header.snapshots_offset.value());
  for (const auto& [index, offset] : moved_.snapshot_l1_tables) {
    RETURN_IF_ERROR(WriteWord(
        table + claims_.snapshots.entries[index].position_bytes, offset));
  }
  return absl::OkStatus();
}

absl::Status Repointer::RepointBitmaps() {
  if (moved_.bitmap_tables.empty()) return absl::OkStatus();
  const uint64_t directory =
      PlaceOf(checker::kOwnerBitmapDirectory,
              model_.bitmap_extension->directory_offset.value());
  for (const auto& [index, offset] : moved_.bitmap_tables) {
    RETURN_IF_ERROR(WriteWord(
        directory + claims_.bitmaps.entries[index].position_bytes, offset));
  }
  return absl::OkStatus();
}

absl::Status Repointer::RepointBitmapData() {
  for (const auto& [entry, offset] : moved_.bitmap_data) {
    const auto table = moved_.bitmap_tables.find(entry.first);
    const uint64_t place =
        (table == moved_.bitmap_tables.end()
             ? claims_.bitmaps.entries[entry.first].named_offset_bytes
             : table->second) +
        entry.second * kBitmapTableEntrySize;
    std::array<std::byte, kBitmapTableEntrySize> bytes;
    RETURN_IF_ERROR(ReadZeroFilled(view_, place, bytes));
    const uint64_t word = LoadBe64(bytes.data());
    RETURN_IF_ERROR(
        WriteWord(place, (word & ~kBitmapTableOffsetMask) | offset));
  }
  return absl::OkStatus();
}

absl::Status Repointer::RepointL1Table(const checker::L1Table& table) {
  const uint64_t place = PlaceOf(table);
  absl::flat_hash_set<uint32_t> met;
  return ForEachWord(
      view_, place, table.entries, [&](uint64_t index, uint64_t word) {
        const auto named = l2_indexes_.find(word & kL1OffsetMask);
        if (named == l2_indexes_.end()) return absl::OkStatus();
        const bool again = !met.insert(named->second).second;
        const auto copy =
            moved_.repeated_l2_tables.find({named->second, index});
        const auto moved = moved_.l2_tables.find(named->second);
        uint64_t offset = named->first;
        if (again && copy != moved_.repeated_l2_tables.end()) {
          offset = copy->second;
        } else if (moved != moved_.l2_tables.end()) {
          offset = moved->second;
        }
        if (offset == named->first) return absl::OkStatus();
        return WriteWord(place + index * kL1EntrySize,
                         (word & ~kL1OffsetMask) | offset);
      });
}

absl::Status Repointer::RepointL1Tables() {
  if (moved_.l2_tables.empty() && moved_.repeated_l2_tables.empty()) {
    return absl::OkStatus();
  }
  for (const auto& [index, offset] : moved_.l2_tables) {
    l2_indexes_[graph_.l2_tables[index].offset_bytes] = index;
  }
  for (const auto& [which, offset] : moved_.repeated_l2_tables) {
    l2_indexes_[graph_.l2_tables[which.l2_table].offset_bytes] = which.l2_table;
  }
  for (const checker::L1Table& table : model_.l1_tables) {
    RETURN_IF_ERROR(RepointL1Table(table));
  }
  return absl::OkStatus();
}

L2Entry Repointer::Shifted(L2Entry entry) const {
  const checker::EntryReference reference =
      checker::ReferenceOf(model_, entry, /*qemu_compatible=*/false);
  if (reference.length_bytes == 0) return entry;
  const uint32_t bits = geometry_.cluster_bits();
  const uint64_t last =
      (reference.offset_bytes + reference.length_bytes - 1) >> bits;
  for (uint64_t c = reference.offset_bytes >> bits; c <= last; ++c) {
    const auto shift = moved_.guest_shifts.find(c);
    // The offset is in the low bits of both kinds of entry, and the new one
    // fits there: no carry reaches other fields.
    if (shift != moved_.guest_shifts.end()) {
      return L2Entry(entry.raw() + shift->second, entry.bitmap());
    }
  }
  return entry;
}

absl::Status Repointer::RepointL2Table(uint64_t place) {
  std::vector<std::byte> table(geometry_.cluster_size());
  RETURN_IF_ERROR(ReadZeroFilled(view_, place, table));
  const uint64_t size = geometry_.l2_entry_size();
  // Entries from `first` to `end` changed: one write, as all of them may.
  uint64_t first = geometry_.l2_entries();
  uint64_t end = 0;
  for (uint64_t i = 0; i < geometry_.l2_entries(); ++i) {
    const L2Entry entry = L2Entry::Decode(&table[i * size], geometry_);
    const L2Entry shifted = Shifted(entry);
    if (shifted == entry) continue;
    shifted.Encode(&table[i * size], geometry_);
    first = std::min(first, i);
    end = i + 1;
  }
  if (first >= end) return absl::OkStatus();
  return view_.Pwrite(place + first * size,
                      std::span<const std::byte>(table).subspan(
                          first * size, (end - first) * size));
}

absl::Status Repointer::RepointL2Tables() {
  if (moved_.guest_shifts.empty()) return absl::OkStatus();
  for (uint32_t i = 0; i < graph_.l2_tables.size(); ++i) {
    if (!claims_.names_shared_cluster[i]) continue;
    const auto moved = moved_.l2_tables.find(i);
    RETURN_IF_ERROR(RepointL2Table(moved == moved_.l2_tables.end()
                                       ? graph_.l2_tables[i].offset_bytes
                                       : moved->second));
  }
  for (const auto& [which, place] : moved_.repeated_l2_tables) {
    if (!claims_.names_shared_cluster[which.l2_table]) continue;
    RETURN_IF_ERROR(RepointL2Table(place));
  }
  return absl::OkStatus();
}

absl::Status Repointer::Run() {
  RETURN_IF_ERROR(RepointHeader());
  RETURN_IF_ERROR(RepointSnapshots());
  RETURN_IF_ERROR(RepointBitmaps());
  RETURN_IF_ERROR(RepointBitmapData());
  RETURN_IF_ERROR(RepointL1Tables());
  return RepointL2Tables();
}

}  // namespace

absl::Status Repoint(const checker::Graph& graph, const OverlapClaims& claims,
                     const Relocations& moved, File& view) {
  return Repointer(graph, claims, moved, view).Run();
}

}  // namespace qcow2::repair
