#include "tests/differential/damage.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <span>

#include "absl/strings/str_format.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/byte_order.h"
#include "engine/format/geometry.h"
#include "engine/format/header.h"
#include "engine/format/l1_entry.h"
#include "engine/format/refcount_table_entry.h"
#include "engine/format/snapshot_table.h"

namespace qcow2 {
namespace {

class MetadataFinder {
 public:
  explicit MetadataFinder(const std::vector<std::byte>& image)
      : image_(image),
        header_(Header::Decode(image)),
        geometry_(*Geometry::Create(header_.cluster_bits,
                                    header_.refcount_order,
                                    header_.has_extended_l2())) {}

  std::vector<MetadataArea> Find();

 private:
  uint64_t WordAt(uint64_t offset) const {
    return offset + 8 <= image_.size() ? LoadBe64(image_.data() + offset) : 0;
  }
  void Add(const std::string& name, uint64_t offset, uint64_t length,
           uint64_t entry_bytes) {
    if (offset < image_.size()) {
      areas_.push_back({name, offset, std::min(length, image_.size() - offset),
                        entry_bytes});
    }
  }
  void AddL1(const std::string& name, uint64_t offset, uint64_t entries);
  void AddRefcounts();
  void AddSnapshots();

  const std::vector<std::byte>& image_;
  const Header header_;
  const Geometry geometry_;
  std::vector<MetadataArea> areas_;
  std::set<uint64_t> l2_tables_;
};

void MetadataFinder::AddL1(const std::string& name, uint64_t offset,
                           uint64_t entries) {
  Add(name, offset, entries * 8, 8);
  for (uint64_t i = 0; i < entries; ++i) {
    const uint64_t l2 = L1Entry(WordAt(offset + i * 8)).l2_offset().value();
    if (l2 == 0 || !l2_tables_.insert(l2).second) continue;
    Add("L2 table", l2, geometry_.cluster_size(), geometry_.l2_entry_size());
  }
}

void MetadataFinder::AddRefcounts() {
  const uint64_t table = header_.refcount_table_offset.value();
  const uint64_t entries =
      header_.refcount_table_clusters * geometry_.cluster_size() / 8;
  Add("refcount table", table, entries * 8, 8);
  for (uint64_t i = 0; i < entries; ++i) {
    const uint64_t block =
        RefcountTableEntry(WordAt(table + i * 8)).block_offset().value();
    if (block == 0) continue;
    // The counts of the clusters there are, rather than the zeros behind.
    const uint64_t counts = std::min(geometry_.refcount_block_entries(),
                                     geometry_.ClustersFor(image_.size()) + 4);
    Add("refcount block", block,
        std::max<uint64_t>(8, counts * geometry_.refcount_bits() / 8),
        std::max<uint64_t>(1, geometry_.refcount_bits() / 8));
  }
}

void MetadataFinder::AddSnapshots() {
  uint64_t at = header_.snapshots_offset.value();
  const uint64_t begin = at;
  for (uint32_t i = 0; i < header_.nb_snapshots; ++i) {
    const std::span<const std::byte> rest =
        std::span<const std::byte>(image_).subspan(at);
    const uint64_t l1_offset = LoadBe64(rest.data());
    const uint64_t l1_entries = LoadBe32(rest.data() + 8);
    AddL1("snapshot L1 table", l1_offset, l1_entries);
    const uint64_t id = LoadBe16(rest.data() + 12);
    const uint64_t name = LoadBe16(rest.data() + 14);
    const uint64_t extra = LoadBe32(rest.data() + 36);
    at += (40 + extra + id + name + 7) / 8 * 8;
  }
  if (at > begin) Add("snapshot table", begin, at - begin, 1);
}

std::vector<MetadataArea> MetadataFinder::Find() {
  Add("header", 0, 112, 4);
  Add("header extensions", header_.header_length, 64, 4);
  AddL1("L1 table", header_.l1_table_offset.value(), header_.l1_size);
  AddRefcounts();
  AddSnapshots();
  return std::move(areas_);
}

// One way to damage an area; says how.
class Damager {
 public:
  Damager(const std::vector<MetadataArea>& areas, uint64_t cluster_size,
          std::mt19937_64& random, std::vector<std::byte>& image)
      : areas_(areas),
        cluster_size_(cluster_size),
        random_(random),
        image_(image) {}

  std::string DamageOnce();

 private:
  uint64_t Below(uint64_t limit) { return random_() % limit; }
  // Mostly tables, now and then the header: most of its damage only makes the
  // image unusable.
  const MetadataArea& PickArea();
  // An entry of the area; prefers ones that are not zero.
  uint64_t PickEntry(const MetadataArea& area);
  uint64_t RandomOffset();
  std::string FlipBit(const MetadataArea& area);
  std::string Redirect(const MetadataArea& area);
  std::string CopyEntry(const MetadataArea& area);
  std::string RandomByte(const MetadataArea& area);
  std::string WipeArea(const MetadataArea& area);
  std::string OverwriteArea(const MetadataArea& area);
  std::string ChangeLength();

  const std::vector<MetadataArea>& areas_;
  const uint64_t cluster_size_;
  std::mt19937_64& random_;
  std::vector<std::byte>& image_;
};

const MetadataArea& Damager::PickArea() {
  for (;;) {
    const MetadataArea& area = areas_[Below(areas_.size())];
    const bool header = area.name.starts_with("header");
    if ((!header || Below(4) == 0) &&
        area.offset_bytes + area.length_bytes <= image_.size() &&
        area.length_bytes >= area.entry_bytes) {
      return area;
    }
    if (image_.size() < 4096) return areas_.front();
  }
}

uint64_t Damager::PickEntry(const MetadataArea& area) {
  const uint64_t entries = area.length_bytes / area.entry_bytes;
  uint64_t offset = area.offset_bytes;
  for (int i = 0; i < 20; ++i) {
    offset = area.offset_bytes + Below(entries) * area.entry_bytes;
    const auto begin = image_.begin() + static_cast<int64_t>(offset);
    if (std::any_of(begin, begin + static_cast<int64_t>(area.entry_bytes),
                    [](std::byte byte) { return byte != std::byte{0}; })) {
      break;
    }
  }
  return offset;
}

uint64_t Damager::RandomOffset() {
  const uint64_t clusters = image_.size() / cluster_size_ + 1;
  switch (Below(5)) {
    case 0:
      return Below(clusters + 3) * cluster_size_;
    case 1:
      return Below(clusters) * cluster_size_ + Below(cluster_size_) / 512 * 512;
    case 2:
      return (clusters + Below(1000)) * cluster_size_;
    case 3:
      return Below(uint64_t{1} << 56) / 512 * 512;
    default:
      return Below(clusters) * cluster_size_;
  }
}

std::string Damager::FlipBit(const MetadataArea& area) {
  const uint64_t bit = Below(area.entry_bytes * 8);
  const uint64_t offset = PickEntry(area) + bit / 8;
  image_[offset] ^= static_cast<std::byte>(1u << (bit % 8));
  return absl::StrFormat("flip bit %d of byte 0x%x (%s)", bit % 8, offset,
                         area.name);
}

std::string Damager::Redirect(const MetadataArea& area) {
  if (area.entry_bytes < 8) return RandomByte(area);
  const uint64_t at = PickEntry(area);
  const uint64_t value =
      RandomOffset() | (Below(2) == 0 ? uint64_t{1} << 63 : 0);
  StoreBe64(image_.data() + at, value);
  return absl::StrFormat("set 0x%x (%s) to 0x%x", at, area.name, value);
}

std::string Damager::CopyEntry(const MetadataArea& area) {
  const uint64_t from = PickEntry(area);
  const uint64_t to =
      area.offset_bytes +
      Below(area.length_bytes / area.entry_bytes) * area.entry_bytes;
  std::memmove(image_.data() + to, image_.data() + from, area.entry_bytes);
  return absl::StrFormat("copy 0x%x to 0x%x (%s)", from, to, area.name);
}

std::string Damager::RandomByte(const MetadataArea& area) {
  const uint64_t offset = PickEntry(area) + Below(area.entry_bytes);
  const auto value =
      static_cast<std::byte>(Below(4) == 0 ? Below(256) : Below(4));
  image_[offset] = value;
  return absl::StrFormat("set byte 0x%x (%s) to %d", offset, area.name,
                         static_cast<int>(value));
}

std::string Damager::WipeArea(const MetadataArea& area) {
  if (area.name == "header") return FlipBit(area);
  std::fill_n(image_.begin() + static_cast<int64_t>(area.offset_bytes),
              area.length_bytes, std::byte{0});
  return absl::StrFormat("wipe %s at 0x%x", area.name, area.offset_bytes);
}

std::string Damager::OverwriteArea(const MetadataArea& area) {
  if (area.name == "header") return FlipBit(area);
  const MetadataArea& source = PickArea();
  const uint64_t length = std::min(area.length_bytes, source.length_bytes);
  std::memmove(image_.data() + area.offset_bytes,
               image_.data() + source.offset_bytes, length);
  return absl::StrFormat("overwrite %s at 0x%x with %s", area.name,
                         area.offset_bytes, source.name);
}

std::string Damager::ChangeLength() {
  const uint64_t clusters = image_.size() / cluster_size_;
  if (clusters < 4 || Below(2) == 0) {
    image_.resize(image_.size() + Below(3 * cluster_size_));
  } else {
    image_.resize((clusters - Below(clusters / 2)) * cluster_size_ -
                  Below(cluster_size_));
  }
  return absl::StrFormat("change the length to 0x%x", image_.size());
}

std::string Damager::DamageOnce() {
  const uint64_t way = Below(40);
  if (way == 0) return ChangeLength();
  const MetadataArea& area = PickArea();
  if (way == 1) return WipeArea(area);
  if (way == 2) return OverwriteArea(area);
  if (way < 15) return FlipBit(area);
  if (way < 27) return Redirect(area);
  if (way < 33) return CopyEntry(area);
  return RandomByte(area);
}

}  // namespace

std::vector<MetadataArea> FindMetadata(const std::vector<std::byte>& image) {
  return MetadataFinder(image).Find();
}

std::string Damage(const std::vector<MetadataArea>& areas,
                   uint64_t cluster_size, std::mt19937_64& random,
                   std::vector<std::byte>& image) {
  Damager damager(areas, cluster_size, random, image);
  std::string words;
  const uint64_t times = 1 + random() % 4;
  for (uint64_t i = 0; i < times; ++i) {
    words += (i == 0 ? "" : "; ") + damager.DamageOnce();
  }
  return words;
}

}  // namespace qcow2
