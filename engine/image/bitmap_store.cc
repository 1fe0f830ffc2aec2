#include "engine/image/bitmap_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/byte_order.h"
#include "engine/format/header_extension.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

bool LiesInFile(uint64_t offset, uint64_t length, uint64_t file_size) {
  return offset < file_size && length <= file_size - offset;
}

// The bits of table entry `index` that stand for something on a disk of
// `bit_count` bits.
uint64_t BitsOfCluster(uint64_t index, uint64_t bit_count,
                       const Geometry& geometry) {
  const uint64_t bits = geometry.cluster_size() * 8;
  return std::min(bits, bit_count - std::min(bit_count, index * bits));
}

}  // namespace

bool HasConsistentBitmaps(const Metadata& metadata) {
  return (metadata.header().autoclear_features & kAutoclearBitmaps) != 0 &&
         metadata.area().Find(kExtensionBitmaps) != nullptr;
}

const LocatedBitmap* BitmapDirectory::Find(std::string_view name) const {
  const auto found = std::find_if(
      bitmaps.begin(), bitmaps.end(),
      [name](const LocatedBitmap& b) { return b.entry.name == name; });
  return found == bitmaps.end() ? nullptr : &*found;
}

ClusterRun StoredDirectoryRun(const Metadata& metadata) {
  if (!HasConsistentBitmaps(metadata)) return {HostCluster(0), 0};
  const Geometry& geometry = metadata.geometry();
  const StoredExtension& stored = *metadata.area().Find(kExtensionBitmaps);
  const BitmapExtension extension = BitmapExtension::Decode(stored.data);
  if (BitmapExtensionIssues(extension, stored.data.size(), geometry) != 0) {
    return {HostCluster(0), 0};
  }
  return {geometry.ClusterOf(extension.directory_offset),
          geometry.ClustersFor(extension.directory_size)};
}

absl::StatusOr<BitmapDirectory> LoadBitmapDirectory(Metadata& metadata) {
  BitmapDirectory directory;
  if (!HasConsistentBitmaps(metadata)) return directory;
  const StoredExtension& stored = *metadata.area().Find(kExtensionBitmaps);
  const BitmapExtension extension = BitmapExtension::Decode(stored.data);
  ASSIGN_OR_RETURN(const uint64_t file_size, metadata.file().Size());
  const uint64_t offset = extension.directory_offset.value();
  directory.intact = BitmapExtensionIssues(extension, stored.data.size(),
                                           metadata.geometry()) == 0 &&
                     LiesInFile(offset, extension.directory_size, file_size);
  if (!directory.intact) return directory;
  directory.offset = extension.directory_offset;
  std::vector<std::byte> bytes(extension.directory_size);
  RETURN_IF_ERROR(ReadZeroFilled(metadata.file(), offset, bytes));
  directory.bitmaps = DecodeBitmapDirectory(bytes, extension.nb_bitmaps);
  directory.intact = directory.bitmaps.size() == extension.nb_bitmaps &&
                     directory.bitmaps.back().entry.complete();
  return directory;
}

bool IsUsable(const BitmapDirectoryEntry& entry, uint64_t disk_size_bytes,
              const Geometry& geometry) {
  return BitmapIssues(entry, geometry) == 0 &&
         entry.table_size == BitmapTableEntriesFor(disk_size_bytes,
                                                   entry.granularity_bits,
                                                   geometry) &&
         entry.table_size <= kMaxBitmapBytes >> geometry.cluster_bits();
}

absl::StatusOr<std::optional<std::vector<uint64_t>>> ReadBitmapTable(
    Metadata& metadata, const BitmapDirectoryEntry& entry) {
  const Geometry& geometry = metadata.geometry();
  const uint64_t length = uint64_t{entry.table_size} * kBitmapTableEntrySize;
  ASSIGN_OR_RETURN(const uint64_t file_size, metadata.file().Size());
  if (entry.table_size > kMaxBitmapBytes >> geometry.cluster_bits() ||
      !geometry.IsAligned(entry.table_offset.value()) ||
      !LiesInFile(entry.table_offset.value(), length, file_size)) {
    return std::nullopt;
  }
  std::vector<std::byte> bytes(length);
  RETURN_IF_ERROR(
      ReadZeroFilled(metadata.file(), entry.table_offset.value(), bytes));
  std::vector<uint64_t> table(entry.table_size);
  for (uint64_t i = 0; i < table.size(); ++i) {
    const auto bits =
        BitmapTableEntry::Decode(bytes.data() + i * kBitmapTableEntrySize);
    if (BitmapTableEntryIssues(bits, geometry) != 0 ||
        (bits.has_cluster() &&
         !LiesInFile(bits.offset().value(), 1, file_size))) {
      return std::nullopt;
    }
    table[i] = bits.raw();
  }
  return table;
}

absl::Status ReadBits(Metadata& metadata, BitmapTableEntry entry,
                      std::span<std::byte> bits) {
  if (entry.has_cluster()) {
    return ReadZeroFilled(metadata.file(), entry.offset().value(), bits);
  }
  std::fill(bits.begin(), bits.end(),
            entry.all_ones() ? std::byte{0xff} : std::byte{0});
  return absl::OkStatus();
}

BitmapChange::BitmapChange(Metadata& metadata, const BitmapDirectory& before)
    : metadata_(metadata),
      geometry_(metadata.geometry()),
      old_directory_(StoredDirectoryRun(metadata)) {
  for (const LocatedBitmap& located : before.bitmaps) {
    entries_.push_back(located.entry);
  }
}

BitmapChange::~BitmapChange() {
  for (const ClusterRun& run : taken_) {
    metadata_.FreeLater(run, FreeReason::kOther);
  }
}

BitmapDirectoryEntry* BitmapChange::Find(std::string_view name) {
  const auto found =
      std::find_if(entries_.begin(), entries_.end(),
                   [name](const auto& e) { return e.name == name; });
  return found == entries_.end() ? nullptr : &*found;
}

absl::StatusOr<HostOffset> BitmapChange::WriteClusters(
    std::span<const std::byte> bytes) {
  ClusterRun run{HostCluster(0), geometry_.ClustersFor(bytes.size())};
  ASSIGN_OR_RETURN(run.first, metadata_.AllocateTable(run.clusters));
  taken_.push_back(run);
  const HostOffset offset = geometry_.OffsetOf(run.first);
  std::vector<std::byte> clusters(bytes.begin(), bytes.end());
  clusters.resize(run.clusters << geometry_.cluster_bits());
  RETURN_IF_ERROR(metadata_.GuardWrite({offset.value(), clusters.size()}));
  metadata_.NoteDataWritten();
  RETURN_IF_ERROR(metadata_.file().Pwrite(offset.value(), clusters));
  return offset;
}

absl::StatusOr<BitmapTableEntry> BitmapChange::WriteBits(
    std::span<const std::byte> bits) {
  const auto all = [bits](std::byte value) {
    return std::all_of(bits.begin(), bits.end(),
                       [value](std::byte b) { return b == value; });
  };
  if (all(std::byte{0})) return BitmapTableEntry();
  if (all(std::byte{0xff})) return BitmapTableEntry(kBitmapTableAllOnes);
  ASSIGN_OR_RETURN(const HostOffset offset, WriteClusters(bits));
  return BitmapTableEntry(offset.value());
}

void BitmapChange::FreeTable(const BitmapDirectoryEntry& entry) {
  given_up_.push_back({geometry_.ClusterOf(entry.table_offset),
                       geometry_.ClustersFor(uint64_t{entry.table_size} *
                                             kBitmapTableEntrySize)});
}

void BitmapChange::FreeBits(BitmapTableEntry entry) {
  if (!entry.has_cluster()) return;
  given_up_.push_back({geometry_.ClusterOf(entry.offset()), 1});
}

absl::Status BitmapChange::ReplaceTable(BitmapDirectoryEntry& entry,
                                        std::span<const uint64_t> table) {
  std::vector<std::byte> bytes(table.size() * kBitmapTableEntrySize);
  for (uint64_t i = 0; i < table.size(); ++i) {
    StoreBe64(bytes.data() + i * kBitmapTableEntrySize, table[i]);
  }
  ASSIGN_OR_RETURN(const HostOffset offset, WriteClusters(bytes));
  if (entry.table_size != 0) FreeTable(entry);
  entry.table_offset = offset;
  entry.table_size = static_cast<uint32_t>(table.size());
  return absl::OkStatus();
}

absl::Status BitmapChange::GiveUp(const BitmapDirectoryEntry& entry) {
  if (entry.table_offset.value() == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto table, ReadBitmapTable(metadata_, entry));
  if (!table.has_value()) return absl::OkStatus();
  for (const uint64_t raw : *table) FreeBits(BitmapTableEntry(raw));
  FreeTable(entry);
  return absl::OkStatus();
}

absl::Status BitmapChange::Clear(BitmapDirectoryEntry& entry,
                                 uint64_t disk_size_bytes) {
  if (entry.table_size != 0) RETURN_IF_ERROR(GiveUp(entry));
  entry.table_size = 0;
  const std::vector<uint64_t> zeros(BitmapTableEntriesFor(
      disk_size_bytes, entry.granularity_bits, geometry_));
  return ReplaceTable(entry, zeros);
}

absl::Status BitmapChange::SetAll(BitmapDirectoryEntry& entry,
                                  uint64_t disk_size_bytes) {
  if (entry.table_size != 0) RETURN_IF_ERROR(GiveUp(entry));
  entry.table_size = 0;
  const uint64_t bit_count =
      DirtyBits(disk_size_bytes, entry.granularity_bits).bit_count();
  std::vector<uint64_t> table(BitmapTableEntriesFor(
      disk_size_bytes, entry.granularity_bits, geometry_));
  for (uint64_t i = 0; i < table.size(); ++i) {
    std::vector<std::byte> bits(geometry_.cluster_size(), std::byte{0xff});
    ClearBitsFrom(bits, BitsOfCluster(i, bit_count, geometry_));
    ASSIGN_OR_RETURN(const BitmapTableEntry dirty, WriteBits(bits));
    table[i] = dirty.raw();
  }
  return ReplaceTable(entry, table);
}

absl::StatusOr<bool> BitmapChange::Merge(BitmapDirectoryEntry& entry,
                                         const DirtyBits& dirty) {
  ASSIGN_OR_RETURN(auto table, ReadBitmapTable(metadata_, entry));
  if (!table.has_value()) return false;
  bool changed = false;
  std::vector<std::byte> bits(geometry_.cluster_size());
  for (uint64_t i = 0; i < table->size(); ++i) {
    const uint64_t first = i << geometry_.cluster_bits();
    const BitmapTableEntry before((*table)[i]);
    if (before.all_ones() || !dirty.Touches(first, bits.size())) continue;
    RETURN_IF_ERROR(ReadBits(metadata_, before, bits));
    const std::vector<std::byte> old_bits = bits;
    dirty.OrInto(first, bits);
    if (bits == old_bits) continue;
    ClearBitsFrom(bits, BitsOfCluster(i, dirty.bit_count(), geometry_));
    ASSIGN_OR_RETURN(const BitmapTableEntry after, WriteBits(bits));
    FreeBits(before);
    (*table)[i] = after.raw();
    changed = true;
  }
  if (changed) RETURN_IF_ERROR(ReplaceTable(entry, *table));
  return true;
}

absl::StatusOr<bool> BitmapChange::Resize(BitmapDirectoryEntry& entry,
                                          uint64_t before, uint64_t after) {
  ASSIGN_OR_RETURN(auto table, ReadBitmapTable(metadata_, entry));
  if (!table.has_value()) return false;
  const uint64_t needed =
      BitmapTableEntriesFor(after, entry.granularity_bits, geometry_);
  for (uint64_t i = needed; i < table->size(); ++i) {
    FreeBits(BitmapTableEntry((*table)[i]));
  }
  table->resize(needed);
  // The bits behind those that stay must be clear, whatever they were.
  const uint64_t kept =
      DirtyBits(std::min(before, after), entry.granularity_bits).bit_count();
  const uint64_t last = kept / (geometry_.cluster_size() * 8);
  if (last < needed) {
    const BitmapTableEntry old_entry((*table)[last]);
    std::vector<std::byte> bits(geometry_.cluster_size());
    RETURN_IF_ERROR(ReadBits(metadata_, old_entry, bits));
    const std::vector<std::byte> old_bits = bits;
    ClearBitsFrom(bits, BitsOfCluster(last, kept, geometry_));
    if (bits != old_bits) {
      ASSIGN_OR_RETURN(const BitmapTableEntry new_entry, WriteBits(bits));
      FreeBits(old_entry);
      (*table)[last] = new_entry.raw();
    }
  }
  RETURN_IF_ERROR(ReplaceTable(entry, *table));
  return true;
}

absl::StatusOr<HeaderArea> BitmapChange::AreaWith(
    HostOffset offset, uint64_t size_bytes, uint64_t disk_size_bytes) const {
  HeaderArea next = metadata_.area();
  next.header.size = disk_size_bytes;
  // To the front: see HeaderArea::Set.
  next.Remove(kExtensionBitmaps);
  next.header.autoclear_features &= ~kAutoclearBitmaps;
  if (entries_.empty()) return next;
  BitmapExtension extension;
  extension.nb_bitmaps = static_cast<uint32_t>(entries_.size());
  extension.directory_offset = offset;
  extension.directory_size = size_bytes;
  next.Set(kExtensionBitmaps, extension.Encode());
  next.header.autoclear_features |= kAutoclearBitmaps;
  // In a small first cluster the names of features have to make room.
  if (!next.Encode().ok()) next.Remove(kExtensionFeatureNames);
  RETURN_IF_ERROR(next.Encode().status());
  return next;
}

absl::StatusOr<HeaderArea> BitmapChange::WriteDirectory(
    uint64_t disk_size_bytes) {
  const std::vector<std::byte> bytes = EncodeBitmapDirectory(entries_);
  if (entries_.size() > kMaxBitmaps ||
      bytes.size() > kMaxBitmapDirectoryBytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        metadata_.file().name(), ": a directory of ", entries_.size(),
        " bitmaps and ", bytes.size(), " bytes is larger than the format has"));
  }
  HostOffset offset;
  if (!bytes.empty()) {
    ASSIGN_OR_RETURN(offset, WriteClusters(bytes));
  }
  new_directory_ = {geometry_.ClusterOf(offset),
                    geometry_.ClustersFor(bytes.size())};
  RETURN_IF_ERROR(metadata_.FlushCounts());
  // Not before: an allocation may have moved the refcount table.
  return AreaWith(offset, bytes.size(), disk_size_bytes);
}

void BitmapChange::Committed() {
  metadata_.guard().Remove(kOverlapBitmapDirectory, old_directory_);
  metadata_.guard().Add(kOverlapBitmapDirectory, new_directory_);
  taken_.clear();
  given_up_.push_back(old_directory_);
  for (const ClusterRun& run : given_up_) {
    metadata_.FreeLater(run, FreeReason::kOther);
  }
}

absl::Status BitmapChange::Commit(uint64_t disk_size_bytes) {
  ASSIGN_OR_RETURN(HeaderArea next, WriteDirectory(disk_size_bytes));
  RETURN_IF_ERROR(metadata_.SwitchHeader(std::move(next)));
  Committed();
  return absl::OkStatus();
}

}  // namespace qcow2
