#include "tests/repair/guest_reader.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/codec/inflate.h"
#include "engine/format/byte_order.h"
#include "engine/format/geometry.h"
#include "engine/format/header.h"
#include "engine/format/snapshot_table.h"
#include "engine/storage/memory_file.h"

namespace qcow2 {
namespace {

using State = GuestUnit::State;

constexpr uint64_t kMaxClusterBytes = uint64_t{1} << kMaxClusterBits;
constexpr uint64_t kOffsetBits = 0x00fffffffffffe00;

// Of a disk no more is read than this: the images here are small, and an L1
// table that claims to be long maps whatever comes behind it.
constexpr uint64_t kMaxDiskBytes = uint64_t{64} << 20;

class Reader {
 public:
  Reader(const File& image, std::span<const std::byte> data_file,
         const Header& header, const Geometry& geometry)
      : image_(image),
        image_size_(image.Size().value_or(0)),
        data_file_(data_file),
        header_(header),
        geometry_(geometry) {}

  void ReadDisk(uint64_t l1_offset, uint64_t l1_entries, GuestDisk& disk);

 private:
  static std::vector<std::byte> Slice(const File& file, uint64_t offset,
                                      uint64_t length) {
    std::vector<std::byte> bytes(length);
    (void)ReadZeroFilled(file, offset, bytes);
    return bytes;
  }
  static std::vector<std::byte> Slice(std::span<const std::byte> file,
                                      uint64_t offset, uint64_t length);
  uint64_t Word(uint64_t offset) const {
    return LoadBe64(Slice(image_, offset, 8).data());
  }
  void ReadCluster(uint64_t entry, uint64_t bitmap, uint64_t guest_cluster,
                   GuestDisk& disk);
  GuestUnit UnitOf(uint64_t entry, uint64_t bitmap, uint64_t subcluster);
  GuestUnit Compressed(uint64_t entry);
  GuestUnit HostData(uint64_t offset, uint64_t subcluster) const;

  const File& image_;
  const uint64_t image_size_;
  std::span<const std::byte> data_file_;
  const Header& header_;
  const Geometry& geometry_;
  Decompressor decompressor_;
};

std::vector<std::byte> Reader::Slice(std::span<const std::byte> file,
                                     uint64_t offset, uint64_t length) {
  std::vector<std::byte> bytes(length);
  if (offset < file.size()) {
    const auto part =
        file.subspan(offset, std::min<uint64_t>(length, file.size() - offset));
    std::copy(part.begin(), part.end(), bytes.begin());
  }
  return bytes;
}

GuestUnit Reader::HostData(uint64_t offset, uint64_t subcluster) const {
  const uint64_t unit = geometry_.subcluster_size();
  const uint64_t at = offset + subcluster * unit;
  return {State::kData, header_.has_external_data_file()
                            ? Slice(data_file_, at, unit)
                            : Slice(image_, at, unit)};
}

GuestUnit Reader::Compressed(uint64_t entry) {
  if (header_.has_external_data_file()) return {State::kUnreadable, {}};
  const uint32_t offset_bits = 62 - (geometry_.cluster_bits() - 8);
  const uint64_t offset = entry & ((uint64_t{1} << offset_bits) - 1);
  const uint64_t sectors = ((entry & ~(uint64_t{3} << 62)) >> offset_bits) + 1;
  const auto stored = Slice(image_, offset, sectors * 512 - offset % 512);
  GuestUnit unit{State::kData, {}};
  unit.bytes.resize(geometry_.cluster_size());
  const auto type = static_cast<CompressionType>(header_.compression_type);
  if (!decompressor_.InflateExactly(type, stored, unit.bytes).ok()) {
    return {State::kUnreadable, {}};
  }
  return unit;
}

GuestUnit Reader::UnitOf(uint64_t entry, uint64_t bitmap, uint64_t subcluster) {
  const uint64_t offset = entry & kOffsetBits;
  const bool in_data_file =
      header_.has_external_data_file() && (entry >> 63) != 0;
  const bool has_place = offset != 0 || in_data_file;
  if (offset % geometry_.cluster_size() != 0) return {State::kUnreadable, {}};
  if (!geometry_.extended_l2()) {
    if ((entry & 1) != 0) {
      return {header_.version < 3 ? State::kUnreadable : State::kZeros, {}};
    }
    return has_place ? HostData(offset, 0) : GuestUnit{};
  }
  const uint64_t allocated = bitmap & 0xffffffff;
  const uint64_t zero = bitmap >> 32;
  if (has_place ? (allocated & zero) != 0 : allocated != 0) {
    return {State::kUnreadable, {}};
  }
  if ((allocated >> subcluster & 1) != 0) return HostData(offset, subcluster);
  return {(zero >> subcluster & 1) != 0 ? State::kZeros : State::kUnallocated,
          {}};
}

void Reader::ReadCluster(uint64_t entry, uint64_t bitmap,
                         uint64_t guest_cluster, GuestDisk& disk) {
  const uint64_t units = geometry_.cluster_size() / disk.unit_bytes;
  GuestUnit whole;
  const bool compressed = (entry >> 62 & 1) != 0;
  if (compressed) whole = Compressed(entry);
  for (uint64_t i = 0; i < units; ++i) {
    GuestUnit unit = compressed ? whole : UnitOf(entry, bitmap, i);
    if (compressed && unit.state == State::kData) {
      unit.bytes = Slice(whole.bytes, i * disk.unit_bytes, disk.unit_bytes);
    }
    const bool zeros =
        unit.state == State::kZeros ||
        (unit.state == State::kData &&
         std::all_of(unit.bytes.begin(), unit.bytes.end(),
                     [](std::byte byte) { return byte == std::byte{0}; }));
    if (zeros) unit = {State::kZeros, {}};
    if (unit.state == State::kUnallocated) continue;
    if (zeros && !disk.has_backing) continue;
    disk.units[guest_cluster * units + i] = std::move(unit);
  }
}

void Reader::ReadDisk(uint64_t l1_offset, uint64_t l1_entries,
                      GuestDisk& disk) {
  disk.unit_bytes = geometry_.subcluster_size();
  disk.window_bytes = geometry_.l2_coverage();
  disk.has_backing = header_.backing_file_offset.value() != 0;
  disk.mapped_bytes = std::min(disk.size_bytes, l1_entries * disk.window_bytes);
  std::vector<std::byte> entries;
  for (uint64_t i = 0; i < l1_entries; ++i) {
    if (disk.units.size() * disk.unit_bytes > kMaxDiskBytes) break;
    if (l1_offset + i * 8 >= image_size_) break;
    const uint64_t table = Word(l1_offset + i * 8) & kOffsetBits;
    if (table == 0) continue;
    const uint64_t first = i * geometry_.l2_entries();
    for (uint64_t j = 0; j < geometry_.l2_entries(); ++j) {
      if (table % geometry_.cluster_size() != 0) {
        const uint64_t units = geometry_.cluster_size() / disk.unit_bytes;
        for (uint64_t k = 0; k < units; ++k) {
          disk.units[(first + j) * units + k] = {State::kUnreadable, {}};
        }
        continue;
      }
      const uint64_t at = table + j * geometry_.l2_entry_size();
      if (at >= image_size_) break;
      if (j == 0) entries = Slice(image_, table, geometry_.cluster_size());
      const std::byte* raw = entries.data() + j * geometry_.l2_entry_size();
      const uint64_t entry = LoadBe64(raw);
      const uint64_t bitmap = geometry_.extended_l2() ? LoadBe64(raw + 8) : 0;
      if ((entry | bitmap) != 0) ReadCluster(entry, bitmap, first + j, disk);
    }
  }
}

// As for the disk: a size that cannot be meant is not followed.
constexpr uint64_t kMaxL1Entries = uint64_t{1} << 22;

std::string ReadingOf(const GuestUnit& unit) {
  switch (unit.state) {
    case State::kData:
      return "other data";
    case State::kZeros:
      return "zeros";
    case State::kUnallocated:
      return "unallocated";
    case State::kUnreadable:
      return "nothing";
  }
  return "";
}

void AddWrong(WrongRange range, std::vector<WrongRange>& wrong) {
  if (!wrong.empty()) {
    WrongRange& last = wrong.back();
    if (last.snapshot == range.snapshot && last.reads == range.reads &&
        last.offset_bytes + last.length_bytes == range.offset_bytes) {
      last.length_bytes += range.length_bytes;
      return;
    }
  }
  wrong.push_back(std::move(range));
}

// The disk of `disks` that is meant by `wanted`; `used` are taken.
const GuestDisk* Partner(const GuestDisk& wanted,
                         const std::vector<GuestDisk>& disks,
                         std::set<const GuestDisk*>& used) {
  const auto take = [&](auto matches) -> const GuestDisk* {
    for (const GuestDisk& disk : disks) {
      if (!used.contains(&disk) && matches(disk)) {
        used.insert(&disk);
        return &disk;
      }
    }
    return nullptr;
  };
  const GuestDisk* found = take([&](const GuestDisk& disk) {
    return disk.id == wanted.id && disk.name == wanted.name;
  });
  if (found != nullptr) return found;
  // Its ID or its name may be what was damaged.
  found = take([&](const GuestDisk& disk) {
    return disk.l1_offset_bytes == wanted.l1_offset_bytes;
  });
  if (found != nullptr) return found;
  found = take([&](const GuestDisk& disk) { return disk.id == wanted.id; });
  if (found != nullptr) return found;
  return take([&](const GuestDisk& disk) { return disk.name == wanted.name; });
}

// As findings and plans name it.
std::string LabelOf(const GuestDisk& disk) {
  return disk.name.empty() ? disk.id : disk.name;
}

void CompareDisk(const GuestDisk& expected, const GuestDisk* actual,
                 std::vector<WrongRange>& wrong) {
  static const GuestUnit none;
  const bool alike =
      actual != nullptr && actual->unit_bytes == expected.unit_bytes;
  std::set<uint64_t> indexes;
  for (const auto& [index, unit] : expected.units) indexes.insert(index);
  if (alike) {
    for (const auto& [index, unit] : actual->units) indexes.insert(index);
  }
  const uint64_t size = expected.size_bytes;
  const uint64_t mapped = expected.mapped_bytes;
  const std::string name = LabelOf(expected);
  const std::string name_now = actual == nullptr ? name : LabelOf(*actual);
  if (!alike) AddWrong({name, name_now, 0, mapped, "nothing"}, wrong);
  for (const uint64_t index : indexes) {
    const uint64_t offset = index * expected.unit_bytes;
    uint64_t length = expected.unit_bytes;
    if (offset < size) {
      if (!alike) continue;
      length = std::min(length, size - offset);
    } else if (!expected.units.contains(index) ||
               offset / expected.window_bytes * expected.window_bytes < size) {
      continue;
    }
    const auto at = expected.units.find(index);
    const GuestUnit* want = at == expected.units.end() ? &none : &at->second;
    if (want->state == State::kUnreadable) continue;
    const GuestUnit* is = &none;
    if (alike) {
      const auto now = actual->units.find(index);
      if (now != actual->units.end()) is = &now->second;
    }
    const bool same = want->state == is->state &&
                      std::equal(want->bytes.begin(),
                                 want->bytes.begin() +
                                     static_cast<ptrdiff_t>(std::min<uint64_t>(
                                         length, want->bytes.size())),
                                 is->bytes.begin());
    if (alike && same) continue;
    std::string reads = alike ? ReadingOf(*is) : "nothing";
    if (reads == "unallocated") {
      reads = expected.has_backing ? "the backing file" : "zeros";
    }
    AddWrong({name, name_now, offset, length, std::move(reads)}, wrong);
  }
}

}  // namespace

std::vector<GuestDisk> ReadGuestDisks(const File& image,
                                      std::span<const std::byte> data_file) {
  std::vector<GuestDisk> disks;
  const uint64_t size = image.Size().value_or(0);
  std::vector<std::byte> bytes(std::min(size, kMaxClusterBytes));
  (void)ReadZeroFilled(image, 0, bytes);
  const Header header = Header::Decode(bytes);
  const auto geometry =
      Geometry::Create(header.cluster_bits, std::min(header.refcount_order, 6u),
                       header.has_extended_l2());
  if (header.magic != kMagic || !geometry.ok() ||
      header.l1_size > kMaxL1Entries) {
    return disks;
  }
  Reader reader(image, data_file, header, *geometry);
  GuestDisk active;
  active.l1_offset_bytes = header.l1_table_offset.value();
  active.size_bytes = header.size;
  reader.ReadDisk(header.l1_table_offset.value(), header.l1_size, active);
  disks.push_back(std::move(active));
  const uint64_t table = header.snapshots_offset.value();
  if (header.nb_snapshots == 0 || table >= size) return disks;
  // A name that the end of the file cuts off goes on with zeros.
  const uint64_t end = geometry->ClustersFor(size) * geometry->cluster_size();
  bytes.resize(std::min(end - table, kMaxSnapshotTableBytes));
  (void)ReadZeroFilled(image, table, bytes);
  for (const LocatedSnapshot& located : DecodeSnapshotTable(
           bytes, std::min<uint64_t>(header.nb_snapshots, kMaxSnapshots))) {
    const SnapshotEntry& entry = located.entry;
    GuestDisk disk;
    disk.id = entry.id;
    disk.name = entry.name;
    disk.l1_offset_bytes = entry.l1_table_offset.value();
    disk.size_bytes = entry.disk_size().value_or(header.size);
    if (entry.l1_size <= kMaxL1Entries &&
        geometry->IsAligned(entry.l1_table_offset.value())) {
      reader.ReadDisk(entry.l1_table_offset.value(), entry.l1_size, disk);
    }
    disks.push_back(std::move(disk));
  }
  return disks;
}

std::vector<GuestDisk> ReadGuestDisks(const std::vector<std::byte>& image,
                                      std::span<const std::byte> data_file) {
  return ReadGuestDisks(MemoryFile(image), data_file);
}

std::vector<WrongRange> CompareDisks(const std::vector<GuestDisk>& expected,
                                     const std::vector<GuestDisk>& actual) {
  std::vector<WrongRange> wrong;
  std::set<const GuestDisk*> used;
  for (const GuestDisk& disk : expected) {
    CompareDisk(disk, Partner(disk, actual, used), wrong);
  }
  return wrong;
}

std::string FirstDifference(const GuestDisk& disk,
                            std::span<const std::byte> bytes) {
  const uint64_t end = std::min<uint64_t>(bytes.size(), disk.size_bytes);
  for (uint64_t at = 0; at < end; at += disk.unit_bytes) {
    const auto is =
        bytes.subspan(at, std::min<uint64_t>(disk.unit_bytes, end - at));
    const auto found = disk.units.find(at / disk.unit_bytes);
    const bool same =
        found == disk.units.end()
            ? std::all_of(is.begin(), is.end(),
                          [](std::byte byte) { return byte == std::byte{0}; })
            : found->second.state == State::kUnreadable ||
                  std::equal(is.begin(), is.end(), found->second.bytes.begin());
    if (!same) return absl::StrFormat("differs in the unit at %#x", at);
  }
  return "";
}

uint64_t BytesIn(const std::vector<WrongRange>& ranges) {
  uint64_t bytes = 0;
  for (const WrongRange& range : ranges) bytes += range.length_bytes;
  return bytes;
}

std::string Describe(const WrongRange& range) {
  return absl::StrFormat(
      "%#x+%#x%s%s reads %s", range.offset_bytes, range.length_bytes,
      range.snapshot.empty() ? "" : " of ", range.snapshot, range.reads);
}

}  // namespace qcow2
