#include "repair/overlap_testing.h"

#include <algorithm>
#include <map>
#include <string>

#include "checker/check.h"
#include "checker/graph.h"
#include "engine/format/bitmap_directory.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/geometry.h"
#include "engine/format/header_extension.h"
#include "engine/format/l1_entry.h"
#include "engine/format/l2_entry.h"
#include "engine/format/luks_extension.h"
#include "gtest/gtest.h"
#include "repair/overlap_step.h"
#include "repair/repair_context.h"
#include "repair/table_places.h"

namespace qcow2::repair {
namespace {

using checker::Problem;

// What can be read through the tables of an image, by a name of its place:
// guest clusters of every disk, and bitmap data. Entries that name nothing
// inside the first `size` bytes are left out.
class Reading {
 public:
  Reading(const File& file, uint64_t size) : file_(file), size_(size) {
    checker::Graph graph;
    checker::CheckOptions options;
    options.jobs = 1;
    options.graph = &graph;
    (void)checker::CheckImage(file, "image", options);
    for (const checker::L1Table& table : graph.model.l1_tables) {
      ReadDisk(*graph.model.geometry, table);
    }
    const absl::StatusOr<EntryPlaces> bitmaps =
        LocateBitmaps(file, graph.model);
    if ((graph.model.header.autoclear_features & 1) == 0) return;
    for (const TableEntryPlace& place : bitmaps->entries) {
      for (uint64_t i = 0; i < std::min<uint64_t>(place.named_entries, 8);
           ++i) {
        Keep("bitmap table entry " + std::to_string(i),
             Be64At(file, place.named_offset_bytes + i * 8) & kL1OffsetMask,
             kClusterSize);
      }
    }
  }

  const std::map<std::string, std::vector<std::byte>>& bytes() const {
    return bytes_;
  }

 private:
  void Keep(const std::string& name, uint64_t offset, uint64_t length) {
    if (offset == 0 && name[0] == 'b') return;
    if (offset + length > size_) return;
    bytes_[name] = BytesAt(file_, offset, length);
  }

  void ReadDisk(const Geometry& geometry, const checker::L1Table& table) {
    const std::string disk =
        table.active ? "active" : std::to_string(table.snapshot_index);
    for (uint64_t i = 0; i < std::min<uint64_t>(table.entries, 1024); ++i) {
      const uint64_t l2 =
          Be64At(file_, table.offset_bytes + i * 8) & kL1OffsetMask;
      if (l2 == 0 || l2 % kClusterSize != 0 || l2 + kClusterSize > size_) {
        continue;
      }
      for (uint64_t j = 0; j < geometry.l2_entries(); ++j) {
        const L2Entry entry(Be64At(file_, l2 + j * 8));
        const std::string name = disk + " disk, cluster " + std::to_string(i) +
                                 "/" + std::to_string(j);
        if (entry.is_compressed()) {
          const CompressedDescriptor data = entry.compressed(geometry);
          Keep(name + " compressed", data.offset.value(), data.length);
        } else if (entry.host_offset().value() % kClusterSize == 0 &&
                   entry.host_offset().value() != 0) {
          Keep(name, entry.host_offset().value(), kClusterSize);
        }
      }
    }
  }

  const File& file_;
  const uint64_t size_;
  std::map<std::string, std::vector<std::byte>> bytes_;
};

std::string Edits(const Plan& plan) {
  std::string text;
  for (const Edit& edit : plan.edits()) {
    text += edit.where + ": " + edit.before + ": " + edit.after + "\n";
  }
  return text;
}

}  // namespace

FullImage::FullImage(bool luks) {
  Truncate(OffsetOf(kClusters));
  header.size = 8 * kClusterSize;
  header.l1_size = 2;
  for (uint64_t c = kData; c < kUsedClusters; ++c) Mark(c);
  AddSnapshots({kSnapshotL1});
  AddBitmap();
  if (luks) AddLuks();
  const uint64_t used = luks ? kUsedClusters : kLuksHeader;
  for (uint64_t c = kFree; c < used; ++c) SetCount(c, 1);
}

void FullImage::AddSnapshots(const std::vector<uint64_t>& l1_clusters) {
  std::vector<SnapshotEntry> entries;
  for (const uint64_t cluster : l1_clusters) {
    const std::string id = std::to_string(entries.size() + 1);
    entries.push_back(
        checker::SnapshotOf(header.size, OffsetOf(cluster), id, "s" + id));
    entries.back().l1_size = 2;
  }
  Clear(kSnapshotTable);
  PutSnapshots(kSnapshotTable, entries);
  Clear(kSnapshotL1);
  WriteBe64(OffsetOf(kSnapshotL1), OffsetOf(kSnapshotL2));
  Clear(kSnapshotL2);
  WriteBe64(OffsetOf(kSnapshotL2), OffsetOf(kSnapshotData));
}

void FullImage::Mark(uint64_t cluster) {
  std::vector<std::byte> bytes(kClusterSize);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(cluster * 16 + i % 13);
  }
  Write(OffsetOf(cluster), bytes);
}

void FullImage::AddBitmap() {
  BitmapDirectoryEntry entry;
  entry.table_offset = HostOffset(OffsetOf(kBitmapTable));
  entry.table_size = 1;
  entry.granularity_bits = 9;
  entry.name = "b";
  const std::vector<std::byte> directory =
      EncodeBitmapDirectory(std::vector<BitmapDirectoryEntry>{entry});
  Clear(kBitmapDirectory);
  Write(OffsetOf(kBitmapDirectory), directory);
  Clear(kBitmapTable);
  WriteBe64(OffsetOf(kBitmapTable), OffsetOf(kBitmapData));
  BitmapExtension extension;
  extension.nb_bitmaps = 1;
  extension.directory_size = directory.size();
  extension.directory_offset = HostOffset(OffsetOf(kBitmapDirectory));
  AddExtension(kExtensionBitmaps, extension.Encode());
  header.autoclear_features = kAutoclearBitmaps;
}

void FullImage::AddLuks() {
  LuksExtension extension;
  extension.offset = HostOffset(OffsetOf(kLuksHeader));
  extension.length = kClusterSize;
  AddExtension(kExtensionLuks, extension.Encode());
  header.crypt_method = kCryptLuks;
}

size_t ReadableClusters(const File& file) {
  return Reading(file, *file.Size()).bytes().size();
}

void ExpectReadsTheSame(const File& image, const File& view) {
  const Reading before(image, *image.Size());
  const Reading after(view, *view.Size());
  EXPECT_FALSE(before.bytes().empty());
  for (const auto& [name, bytes] : before.bytes()) {
    const auto found = after.bytes().find(name);
    ASSERT_NE(found, after.bytes().end()) << name << " cannot be read any more";
    EXPECT_TRUE(found->second == bytes) << name << " reads differently";
  }
}

bool HasOverlap(const checker::CheckReport& report) {
  return report.Found(Problem::kOverlapMetadata) ||
         report.Found(Problem::kOverlapGuestData) ||
         report.Found(Problem::kL2TableReferencedTwice);
}

StepRun::StepRun(const File& image) : view(*OverlayFile::Create(image)) {
  RepairOptions options;
  options.check.jobs = 1;
  FreeClusters free_clusters(/*can_grow=*/true);
  const std::vector<checker::MetadataRegion> former_regions;
  std::map<uint64_t, uint64_t> placed_blocks;
  for (bool again = true; again && rounds < 4;) {
    checker::Graph graph;
    checker::CheckOptions check = options.check;
    check.memory_limit_bytes = 0;
    check.graph = &graph;
    after = checker::CheckImage(*view, "image", check);
    if (rounds == 0) before = after;
    RepairContext context{image,         *view,         options,
                          after,         graph,         former_regions,
                          free_clusters, placed_blocks, plan};
    const absl::StatusOr<bool> result = SeparateOverlaps(context);
    EXPECT_TRUE(result.ok()) << result.status();
    again = result.ok() && *result;
    if (again) ++rounds;
  }
}

void ExpectSeparated(const File& image, const Planned& planned) {
  EXPECT_TRUE(HasOverlap(planned.repair.before))
      << Describe(planned.repair.before);
  EXPECT_FALSE(HasOverlap(planned.repair.after))
      << Describe(planned.repair.after);
  EXPECT_TRUE(planned.repair.stopped.empty()) << planned.repair.stopped;
  ExpectReadsTheSame(image, *planned.view);
  if (testing::Test::HasFailure()) {
    ADD_FAILURE() << Describe(planned.repair.before) << "\n"
                  << Edits(planned.repair.plan);
  }
  ExpectNothingMore(*planned.view);
}

void ExpectSeparatedAndClean(const File& image, const Planned& planned) {
  ExpectSeparated(image, planned);
  ExpectClean(planned.repair.after);
}

}  // namespace qcow2::repair
