#include "engine/format/snapshot_table.h"

#include "engine/format/byte_order.h"
#include "engine/format/header.h"
#include "engine/format/tail_fields.h"

namespace qcow2 {
namespace {

// The 64-bit field at `offset` of the extra data, if it is all there.
std::optional<uint64_t> ExtraField(const SnapshotEntry& entry,
                                   uint64_t offset) {
  if (entry.extra_data.size() < offset + 8) return std::nullopt;
  return LoadBe64(&entry.extra_data[offset]);
}

}  // namespace

SnapshotEntry SnapshotEntry::Decode(std::span<const std::byte> bytes) {
  SnapshotEntry entry;
  entry.l1_table_offset = HostOffset(LoadBe64Padded(bytes, 0));
  entry.l1_size = LoadBe32Padded(bytes, 8);
  const uint16_t id_size = LoadBe16Padded(bytes, 12);
  const uint16_t name_size = LoadBe16Padded(bytes, 14);
  entry.date_seconds = LoadBe32Padded(bytes, 16);
  entry.date_nanoseconds = LoadBe32Padded(bytes, 20);
  entry.vm_clock_nanoseconds = LoadBe64Padded(bytes, 24);
  entry.vm_state_size_32 = LoadBe32Padded(bytes, 32);
  const uint32_t extra_size = LoadBe32Padded(bytes, 36);

  std::span<const std::byte> rest = bytes;
  const auto fixed = TakeFront(rest, kSnapshotFixedSize);
  const auto extra = TakeFront(rest, extra_size);
  entry.extra_data.assign(extra.begin(), extra.end());
  entry.id = TakeText(rest, id_size);
  entry.name = TakeText(rest, name_size);

  entry.missing_fixed = kSnapshotFixedSize - fixed.size();
  entry.missing_extra = static_cast<uint32_t>(extra_size - extra.size());
  entry.missing_id = static_cast<uint16_t>(id_size - entry.id.size());
  entry.missing_name = static_cast<uint16_t>(name_size - entry.name.size());
  return entry;
}

std::vector<std::byte> SnapshotEntry::Encode() const {
  std::vector<std::byte> out(kSnapshotFixedSize);
  StoreBe64(&out[0], l1_table_offset.value());
  StoreBe32(&out[8], l1_size);
  StoreBe16(&out[12], static_cast<uint16_t>(id.size() + missing_id));
  StoreBe16(&out[14], static_cast<uint16_t>(name.size() + missing_name));
  StoreBe32(&out[16], date_seconds);
  StoreBe32(&out[20], date_nanoseconds);
  StoreBe64(&out[24], vm_clock_nanoseconds);
  StoreBe32(&out[32], vm_state_size_32);
  StoreBe32(&out[36], static_cast<uint32_t>(extra_data_size()));
  out.resize(kSnapshotFixedSize - missing_fixed);
  out.insert(out.end(), extra_data.begin(), extra_data.end());
  AppendText(id, out);
  AppendText(name, out);
  return out;
}

uint64_t SnapshotEntry::size_bytes() const {
  return kSnapshotFixedSize + extra_data_size() + id.size() + missing_id +
         name.size() + missing_name;
}

uint64_t SnapshotEntry::padded_size_bytes() const {
  return RoundUpTo8(size_bytes());
}

bool SnapshotEntry::complete() const {
  return missing_fixed == 0 && missing_extra == 0 && missing_id == 0 &&
         missing_name == 0;
}

uint64_t SnapshotEntry::vm_state_size() const {
  return ExtraField(*this, 0).value_or(vm_state_size_32);
}

std::optional<uint64_t> SnapshotEntry::disk_size() const {
  return ExtraField(*this, 8);
}

std::optional<uint64_t> SnapshotEntry::instruction_count() const {
  return ExtraField(*this, 16);
}

std::vector<LocatedSnapshot> DecodeSnapshotTable(
    std::span<const std::byte> bytes, uint64_t count) {
  std::vector<LocatedSnapshot> table;
  uint64_t offset = 0;
  while (table.size() < count && offset < bytes.size()) {
    table.push_back({offset, SnapshotEntry::Decode(bytes.subspan(offset))});
    if (!table.back().entry.complete()) break;
    offset += table.back().entry.padded_size_bytes();
  }
  return table;
}

std::vector<std::byte> EncodeSnapshotTable(
    std::span<const SnapshotEntry> entries) {
  std::vector<std::byte> out;
  for (const SnapshotEntry& entry : entries) {
    const std::vector<std::byte> bytes = entry.Encode();
    out.insert(out.end(), bytes.begin(), bytes.end());
    out.resize(RoundUpTo8(out.size()));
  }
  return out;
}

uint32_t SnapshotIssues(const SnapshotEntry& entry, const Geometry& geometry,
                        uint32_t version) {
  uint32_t issues = 0;
  if (!entry.complete()) issues |= kSnapshotCutShort;
  if (!geometry.IsAligned(entry.l1_table_offset.value())) {
    issues |= kSnapshotL1Unaligned;
  }
  if (uint64_t{entry.l1_size} * 8 > kMaxL1Bytes) issues |= kSnapshotL1TooLarge;
  if (version >= 3 && entry.extra_data_size() < kSnapshotExtraSizeV3) {
    issues |= kSnapshotExtraTooShort;
  }
  if (entry.extra_data_size() > kMaxSnapshotExtraBytes) {
    issues |= kSnapshotExtraTooLong;
  }
  if (entry.id.size() + entry.missing_id == 0) issues |= kSnapshotIdEmpty;
  return issues;
}

}  // namespace qcow2
