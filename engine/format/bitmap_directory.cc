#include "engine/format/bitmap_directory.h"

#include "engine/format/byte_order.h"
#include "engine/format/tail_fields.h"

namespace qcow2 {

BitmapDirectoryEntry BitmapDirectoryEntry::Decode(
    std::span<const std::byte> bytes) {
  BitmapDirectoryEntry entry;
  entry.table_offset = HostOffset(LoadBe64Padded(bytes, 0));
  entry.table_size = LoadBe32Padded(bytes, 8);
  entry.flags = LoadBe32Padded(bytes, 12);
  entry.type = static_cast<uint8_t>(LoadBePadded(bytes, 16, 1));
  entry.granularity_bits = static_cast<uint8_t>(LoadBePadded(bytes, 17, 1));
  const uint16_t name_size = LoadBe16Padded(bytes, 18);
  const uint32_t extra_size = LoadBe32Padded(bytes, 20);

  std::span<const std::byte> rest = bytes;
  const auto fixed = TakeFront(rest, kBitmapFixedSize);
  const auto extra = TakeFront(rest, extra_size);
  entry.extra_data.assign(extra.begin(), extra.end());
  entry.name = TakeText(rest, name_size);

  entry.missing_fixed = kBitmapFixedSize - fixed.size();
  entry.missing_extra = static_cast<uint32_t>(extra_size - extra.size());
  entry.missing_name = static_cast<uint16_t>(name_size - entry.name.size());
  return entry;
}

std::vector<std::byte> BitmapDirectoryEntry::Encode() const {
  std::vector<std::byte> out(kBitmapFixedSize);
  StoreBe64(&out[0], table_offset.value());
  StoreBe32(&out[8], table_size);
  StoreBe32(&out[12], flags);
  out[16] = static_cast<std::byte>(type);
  out[17] = static_cast<std::byte>(granularity_bits);
  StoreBe16(&out[18], static_cast<uint16_t>(name.size() + missing_name));
  StoreBe32(&out[20], static_cast<uint32_t>(extra_data_size()));
  out.resize(kBitmapFixedSize - missing_fixed);
  out.insert(out.end(), extra_data.begin(), extra_data.end());
  AppendText(name, out);
  return out;
}

uint64_t BitmapDirectoryEntry::size_bytes() const {
  return kBitmapFixedSize + extra_data_size() + name.size() + missing_name;
}

uint64_t BitmapDirectoryEntry::padded_size_bytes() const {
  return RoundUpTo8(size_bytes());
}

bool BitmapDirectoryEntry::complete() const {
  return missing_fixed == 0 && missing_extra == 0 && missing_name == 0;
}

std::vector<LocatedBitmap> DecodeBitmapDirectory(
    std::span<const std::byte> bytes, uint64_t count) {
  std::vector<LocatedBitmap> directory;
  uint64_t offset = 0;
  while (directory.size() < count && offset < bytes.size()) {
    directory.push_back(
        {offset, BitmapDirectoryEntry::Decode(bytes.subspan(offset))});
    if (!directory.back().entry.complete()) break;
    offset += directory.back().entry.padded_size_bytes();
  }
  return directory;
}

std::vector<std::byte> EncodeBitmapDirectory(
    std::span<const BitmapDirectoryEntry> entries) {
  std::vector<std::byte> out;
  for (const BitmapDirectoryEntry& entry : entries) {
    const std::vector<std::byte> bytes = entry.Encode();
    out.insert(out.end(), bytes.begin(), bytes.end());
    out.resize(RoundUpTo8(out.size()));
  }
  return out;
}

uint64_t BitmapTableEntriesFor(uint64_t virtual_size_bytes,
                               uint32_t granularity_bits,
                               const Geometry& geometry) {
  if (virtual_size_bytes == 0) return 0;
  // A cluster of bits covers 2^shift guest bytes.
  const uint32_t shift = granularity_bits + geometry.cluster_bits() + 3;
  return shift >= 64 ? 1 : ((virtual_size_bytes - 1) >> shift) + 1;
}

uint32_t BitmapIssues(const BitmapDirectoryEntry& entry,
                      const Geometry& geometry) {
  const uint64_t name_size = entry.name.size() + entry.missing_name;
  uint32_t issues = 0;
  if (!entry.complete()) issues |= kBitmapCutShort;
  if (!geometry.IsAligned(entry.table_offset.value())) {
    issues |= kBitmapTableUnaligned;
  }
  if (entry.table_offset.value() == 0 || entry.table_size == 0) {
    issues |= kBitmapTableMissing;
  }
  if (entry.table_size > kMaxBitmapTableEntries) {
    issues |= kBitmapTableTooLarge;
  }
  if ((entry.flags & ~kKnownBitmapFlags) != 0) issues |= kBitmapReservedFlags;
  if (entry.type != kBitmapTypeDirtyTracking) issues |= kBitmapUnknownType;
  if (entry.granularity_bits < kMinBitmapGranularityBits ||
      entry.granularity_bits > kMaxBitmapGranularityBits) {
    issues |= kBitmapBadGranularity;
  }
  if (name_size == 0) issues |= kBitmapNameEmpty;
  if (name_size > kMaxBitmapNameBytes) issues |= kBitmapNameTooLong;
  if (entry.extra_data_size() != 0 &&
      (entry.flags & kBitmapExtraDataCompatible) == 0) {
    issues |= kBitmapIncompatibleExtraData;
  }
  return issues;
}

}  // namespace qcow2
