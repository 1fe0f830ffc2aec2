// Separating owners of shared clusters: every pair of owners in one small
// image that has all kinds of structures, and what the guest reads afterwards.
#include "repair/overlap_step.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checker/check.h"
#include "checker/graph.h"
#include "checker/test_image.h"
#include "engine/format/bitmap_directory.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/byte_order.h"
#include "engine/format/entry_flags.h"
#include "engine/format/header_extension.h"
#include "engine/format/l1_entry.h"
#include "engine/format/l2_entry.h"
#include "engine/format/luks_extension.h"
#include "engine/format/refcount_block.h"
#include "engine/format/snapshot_table.h"
#include "engine/storage/faulty_file.h"
#include "engine/storage/overlay_file.h"
#include "gtest/gtest.h"
#include "repair/planner.h"
#include "repair/table_places.h"

namespace qcow2::repair {
namespace {

using checker::CheckStatus;
using checker::Finding;
using checker::Problem;
using checker::TestImage;

constexpr uint64_t kRefcountBlock = 2;
constexpr uint64_t kL1 = 3;
constexpr uint64_t kL2 = 4;
constexpr uint64_t kData = 5;  // to 7
constexpr uint64_t kSnapshotTable = 8;
constexpr uint64_t kSnapshotL1 = 9;
constexpr uint64_t kSnapshotL2 = 10;
constexpr uint64_t kSnapshotData = 11;
constexpr uint64_t kBitmapDirectory = 12;
constexpr uint64_t kBitmapTable = 13;
constexpr uint64_t kBitmapData = 14;
constexpr uint64_t kLuksHeader = 15;
constexpr uint64_t kUsedClusters = 16;
constexpr uint64_t kClusters = 32;

constexpr uint64_t kClusterSize = 4096;

// TestImage with a snapshot, a bitmap and, if asked for, a LUKS header; where
// each lies is above. All clusters of data and of what is never looked into
// hold bytes of their own.
class FullImage : public TestImage {
 public:
  explicit FullImage(bool luks = false) {
    Truncate(OffsetOf(kClusters));
    header.size = 8 * kClusterSize;
    header.l1_size = 2;
    for (uint64_t c = kData; c < kUsedClusters; ++c) Fill(c);
    AddSnapshots({kSnapshotL1});
    WriteBe64(OffsetOf(kSnapshotL2), OffsetOf(kSnapshotData));
    AddBitmap();
    if (luks) AddLuks();
    SetCounts(luks ? kUsedClusters : kLuksHeader);
  }

  // Bytes that occur nowhere else; as words, offsets past the end of the file.
  void Fill(uint64_t cluster) {
    std::vector<std::byte> bytes(kClusterSize);
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>(cluster * 16 + i % 13);
    }
    Write(OffsetOf(cluster), bytes);
  }
  void Clear(uint64_t cluster) {
    Write(OffsetOf(cluster), std::vector<std::byte>(kClusterSize));
  }

  // A snapshot for each L1 table at one of `l1_clusters`; the first is made,
  // naming kSnapshotL2.
  void AddSnapshots(const std::vector<uint64_t>& l1_clusters) {
    std::vector<SnapshotEntry> entries;
    for (const uint64_t cluster : l1_clusters) {
      SnapshotEntry entry;
      entry.l1_table_offset = HostOffset(OffsetOf(cluster));
      entry.l1_size = 2;
      entry.extra_data.resize(16);
      StoreBe64(&entry.extra_data[8], header.size);
      entry.id = std::to_string(entries.size() + 1);
      entry.name = "s" + entry.id;
      entries.push_back(entry);
    }
    Clear(kSnapshotTable);
    Write(OffsetOf(kSnapshotTable), EncodeSnapshotTable(entries));
    Clear(kSnapshotL1);
    WriteBe64(OffsetOf(kSnapshotL1), OffsetOf(kSnapshotL2));
    Clear(kSnapshotL2);
    WriteBe64(OffsetOf(kSnapshotL2), OffsetOf(kSnapshotData));
    header.snapshots_offset = HostOffset(OffsetOf(kSnapshotTable));
    header.nb_snapshots = static_cast<uint32_t>(entries.size());
  }

  void SetCounts(uint64_t used) {
    std::vector<std::byte> block(kClusterSize);
    for (uint64_t c = 0; c < used; ++c) {
      SetRefcount(block, kRefcountOrderV2, c, 1);
    }
    Write(OffsetOf(kRefcountBlock), block);
  }

 private:
  void AddBitmap() {
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

  void AddLuks() {
    LuksExtension extension;
    extension.offset = HostOffset(OffsetOf(kLuksHeader));
    extension.length = kClusterSize;
    AddExtension(kExtensionLuks, extension.Encode());
    header.crypt_method = kCryptLuks;
  }
};

uint64_t Be64At(const File& file, uint64_t offset) {
  std::vector<std::byte> bytes(8);
  EXPECT_TRUE(ReadZeroFilled(file, offset, bytes).ok());
  return LoadBe64(bytes.data());
}

std::vector<std::byte> BytesAt(const File& file, uint64_t offset,
                               uint64_t length) {
  std::vector<std::byte> bytes(length);
  EXPECT_TRUE(ReadZeroFilled(file, offset, bytes).ok());
  return bytes;
}

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

// Expects that all that could be read of `image` reads the same in `view`.
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

struct Planned {
  PlannedRepair repair;
  std::unique_ptr<OverlayFile> view;
};

Planned PlanFor(const File& image, bool can_grow = true) {
  Planned planned;
  planned.view = *OverlayFile::Create(image);
  RepairOptions options;
  options.can_grow = can_grow;
  options.check.jobs = 1;
  absl::StatusOr<PlannedRepair> repair =
      PlanRepair(image, "image", *planned.view, options);
  EXPECT_TRUE(repair.ok()) << repair.status();
  if (repair.ok()) planned.repair = *std::move(repair);
  return planned;
}

std::string Problems(const checker::CheckReport& report) {
  std::string text;
  for (const Finding& finding : report.problems) {
    text += DescribeWhere(finding) + ": " + DescribeFinding(finding) + "\n";
  }
  return text;
}

std::string Edits(const Plan& plan) {
  std::string text;
  for (const Edit& edit : plan.edits()) {
    text += edit.where + ": " + edit.before + ": " + edit.after + "\n";
  }
  return text;
}

bool HasOverlap(const checker::CheckReport& report) {
  return std::any_of(report.problems.begin(), report.problems.end(),
                     [](const Finding& f) {
                       return f.problem == Problem::kOverlapMetadata ||
                              f.problem == Problem::kOverlapGuestData ||
                              f.problem == Problem::kL2TableReferencedTwice;
                     });
}

// The step alone, run until it changes nothing more.
struct StepRun {
  explicit StepRun(const File& image) : view(*OverlayFile::Create(image)) {
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

  std::unique_ptr<OverlayFile> view;
  checker::CheckReport before;
  checker::CheckReport after;
  Plan plan;
  // Those in which something was changed.
  int rounds = 0;
};

// The owners are separated, nothing reads differently, and another plan finds
// nothing more to do.
void ExpectSeparated(const File& image, const Planned& planned) {
  EXPECT_TRUE(HasOverlap(planned.repair.before))
      << Problems(planned.repair.before);
  EXPECT_FALSE(HasOverlap(planned.repair.after))
      << Problems(planned.repair.after);
  EXPECT_TRUE(planned.repair.stopped.empty()) << planned.repair.stopped;
  ExpectReadsTheSame(image, *planned.view);
  if (testing::Test::HasFailure()) {
    ADD_FAILURE() << Problems(planned.repair.before) << "\n"
                  << Edits(planned.repair.plan);
  }
  const Planned again = PlanFor(*planned.view);
  EXPECT_TRUE(again.repair.plan.empty());
  EXPECT_TRUE(again.view->DirtyRanges().empty());
}

void ExpectSeparatedAndClean(const File& image, const Planned& planned) {
  ExpectSeparated(image, planned);
  EXPECT_EQ(planned.repair.after.status, CheckStatus::kClean)
      << Problems(planned.repair.after);
}

TEST(OverlapStepTest, TheImageOfTheTestsIsCleanAndIsLeftAlone) {
  FullImage image;
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(planned.repair.before.status, CheckStatus::kClean)
      << Problems(planned.repair.before);
  EXPECT_TRUE(planned.repair.plan.empty());
  EXPECT_EQ(Reading(image.file(), *image.file().Size()).bytes().size(), 5u);
}

// Something whose place can be set, and the cluster it lands on.
struct Mover {
  std::string name;
  void (*put)(FullImage& image, uint64_t offset);
};

constexpr uint64_t kExtensionsBegin = 112;

const Mover kMovers[] = {
    {"ActiveL1", [](FullImage& i,
                    uint64_t o) { i.header.l1_table_offset = HostOffset(o); }},
    {"SnapshotTable",
     [](FullImage& i, uint64_t o) {
       i.header.snapshots_offset = HostOffset(o);
     }},
    {"SnapshotL1",
     [](FullImage& i, uint64_t o) {
       i.WriteBe64(i.OffsetOf(kSnapshotTable), o);
     }},
    {"BitmapDirectory",
     [](FullImage& i, uint64_t o) {
       i.WriteBe64(kExtensionsBegin + 8 + 16, o);
     }},
    {"BitmapTable",
     [](FullImage& i, uint64_t o) {
       i.WriteBe64(i.OffsetOf(kBitmapDirectory), o);
     }},
    {"BitmapData",
     [](FullImage& i, uint64_t o) {
       i.WriteBe64(i.OffsetOf(kBitmapTable), o);
     }},
    {"ActiveL2",
     [](FullImage& i, uint64_t o) {
       i.WriteBe64(i.OffsetOf(kL1) + 8, o | kCopiedFlag);
     }},
    {"SnapshotL2",
     [](FullImage& i, uint64_t o) {
       i.WriteBe64(i.OffsetOf(kSnapshotL1) + 8, o);
     }},
    {"GuestData",
     [](FullImage& i, uint64_t o) {
       i.WriteBe64(i.OffsetOf(kL2) + 40, o | kCopiedFlag);
     }},
    {"SnapshotData",
     [](FullImage& i, uint64_t o) {
       i.WriteBe64(i.OffsetOf(kSnapshotL2) + 80, o);
     }},
    {"CompressedData",
     [](FullImage& i, uint64_t o) {
       // Sectors from the middle of the cluster on.
       i.WriteBe64(i.OffsetOf(kL2) + 40,
                   kCompressedFlag | uint64_t{1} << 58 | (o + 1111));
     }},
    {"CompressedDataOfTwoClusters",
     [](FullImage& i, uint64_t o) {
       i.WriteBe64(i.OffsetOf(kL2) + 40,
                   kCompressedFlag | uint64_t{3} << 58 | (o + 3333));
     }},
};

struct Target {
  std::string name;
  uint64_t cluster;
};

const Target kTargets[] = {
    {"Header", 0},
    {"ActiveL1", kL1},
    {"ActiveL2", kL2},
    {"SnapshotTable", kSnapshotTable},
    {"SnapshotL1", kSnapshotL1},
    {"SnapshotL2", kSnapshotL2},
    {"BitmapDirectory", kBitmapDirectory},
    {"BitmapTable", kBitmapTable},
    {"BitmapData", kBitmapData},
};

class PairTest : public testing::TestWithParam<std::tuple<Mover, Target>> {};

// Whatever is put on whatever: they end apart, unless nothing names the other
// any more.
TEST_P(PairTest, OwnersEndApartAndReadTheSame) {
  const auto& [mover, target] = GetParam();
  FullImage image;
  mover.put(image, image.OffsetOf(target.cluster));
  const File& file = image.file();
  const StepRun run(file);
  EXPECT_EQ(run.rounds, HasOverlap(run.before) ? 1 : 0);
  EXPECT_EQ(run.plan.sources().empty(), !HasOverlap(run.before));
  EXPECT_EQ(run.plan.empty(), !HasOverlap(run.before));
  EXPECT_FALSE(HasOverlap(run.after)) << Problems(run.after);
  ExpectReadsTheSame(file, *run.view);
}

INSTANTIATE_TEST_SUITE_P(
    All, PairTest,
    testing::Combine(testing::ValuesIn(kMovers), testing::ValuesIn(kTargets)),
    [](const testing::TestParamInfo<PairTest::ParamType>& info) {
      return std::get<0>(info.param).name + "On" + std::get<1>(info.param).name;
    });

TEST(OverlapStepTest, GuestDataOnTheActiveL1TableIsCopiedOut) {
  FullImage image;
  image.WriteBe64(image.OffsetOf(kL2) + 40, image.OffsetOf(kL1));
  const Planned planned = PlanFor(image.file());
  ExpectSeparatedAndClean(image.file(), planned);
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL2) + 40) & kL2OffsetMask,
            image.OffsetOf(kLuksHeader));
  ASSERT_FALSE(planned.repair.plan.edits().empty());
  const Edit& edit = planned.repair.plan.edits().front();
  EXPECT_EQ(edit.problem, Problem::kOverlapGuestData);
  EXPECT_EQ(edit.action, checker::RepairAction::kSeparateOwners);
  EXPECT_EQ(edit.where, "host cluster 3 (offset 0x3000)");
  EXPECT_EQ(edit.before,
            "shared by active L1 and guest data (guest offset 0x5000)");
  EXPECT_EQ(edit.after, "guest data (guest offset 0x5000) is at 0xf000");
  EXPECT_EQ(planned.repair.plan.sources(),
            std::vector<ByteRange>({{image.OffsetOf(kL1), kClusterSize}}));
}

TEST(OverlapStepTest, AnL2TableThatMapsItselfKeepsBothMeanings) {
  FullImage image;
  for (uint64_t i = 0; i < 3; ++i) {
    image.WriteBe64(image.OffsetOf(kL2) + i * 8, image.OffsetOf(kL2));
  }
  ExpectSeparatedAndClean(image.file(), PlanFor(image.file()));
}

TEST(OverlapStepTest, AnL1TableThatIsItsOwnL2TableKeepsAllMeanings) {
  FullImage image;
  image.WriteBe64(image.OffsetOf(kL1), image.OffsetOf(kL1));
  ExpectSeparated(image.file(), PlanFor(image.file()));
}

TEST(OverlapStepTest, SnapshotsThatShareAnL1TableGetOneEach) {
  FullImage image;
  image.AddSnapshots({kSnapshotL1, kSnapshotL1, kL1});
  const Planned planned = PlanFor(image.file());
  ExpectSeparatedAndClean(image.file(), planned);
  // The L2 table and its data may stay shared between snapshots.
  EXPECT_EQ(planned.repair.plan.sources().size(), 2u);
}

TEST(OverlapStepTest, AnL1TableThatReachesIntoAnotherStructureIsMovedWhole) {
  FullImage image;
  // Its second cluster is the L2 table of the snapshot, all but empty.
  image.WriteBe64(image.OffsetOf(kSnapshotTable) + 8,
                  (uint64_t{520} << 32) | (1 << 16) | 2);
  image.Clear(kSnapshotL2);
  const Planned planned = PlanFor(image.file());
  ExpectSeparatedAndClean(image.file(), planned);
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kSnapshotTable)),
            image.OffsetOf(kSnapshotL1));
}

TEST(OverlapStepTest, BitmapDataNamedTwiceIsCopied) {
  FullImage image;
  image.header.size = uint64_t{3} << 30;
  image.header.l1_size = 512;
  image.WriteBe64(image.OffsetOf(kBitmapDirectory) + 8, uint64_t{192} << 32);
  image.WriteBe64(image.OffsetOf(kBitmapTable) + 80,
                  image.OffsetOf(kBitmapData));
  const Planned planned = PlanFor(image.file());
  EXPECT_FALSE(HasOverlap(planned.repair.after));
  EXPECT_NE(Be64At(*planned.view, image.OffsetOf(kBitmapTable) + 80),
            image.OffsetOf(kBitmapData));
  ExpectReadsTheSame(image.file(), *planned.view);
}

// Two streams in one cluster, of which one goes on in metadata: only that one
// moves.
TEST(OverlapStepTest, CompressedDataMovesWithAllClustersItTouches) {
  FullImage image;
  const uint64_t stays = kCompressedFlag | image.OffsetOf(kData + 2);
  image.WriteBe64(image.OffsetOf(kL2) + 8, stays);
  image.WriteBe64(image.OffsetOf(kL2) + 16,
                  kCompressedFlag | uint64_t{5} << 58 |
                      (image.OffsetOf(kData + 2) + 2048 + 777));
  const Planned planned = PlanFor(image.file());
  ExpectSeparatedAndClean(image.file(), planned);
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL2) + 8), stays);
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL2) + 16),
            kCompressedFlag | uint64_t{5} << 58 |
                (image.OffsetOf(kLuksHeader) + 2048 + 777));
}

TEST(OverlapStepTest, AnL2TableNamedTwiceIsCopied) {
  FullImage image;
  image.header.l1_size = 4;
  image.header.size = 3 * 512 * kClusterSize;
  image.WriteBe64(image.OffsetOf(kL1) + 8, image.OffsetOf(kL2));
  image.WriteBe64(image.OffsetOf(kL1) + 16, image.OffsetOf(kL2));
  // No bitmap would fit a disk of that size.
  image.header.autoclear_features = 0;
  const Planned planned = PlanFor(image.file());
  ExpectSeparated(image.file(), planned);
  std::vector<uint64_t> tables;
  for (uint64_t i = 0; i < 3; ++i) {
    tables.push_back(Be64At(*planned.view, image.OffsetOf(kL1) + i * 8) &
                     kL1OffsetMask);
  }
  EXPECT_EQ(tables[0], image.OffsetOf(kL2));
  EXPECT_NE(tables[1], tables[0]);
  EXPECT_NE(tables[2], tables[0]);
  EXPECT_NE(tables[2], tables[1]);
  const std::vector<Edit>& edits = planned.repair.plan.edits();
  const auto found =
      std::find_if(edits.begin(), edits.end(), [](const Edit& candidate) {
        return candidate.problem == Problem::kL2TableReferencedTwice;
      });
  ASSERT_NE(found, edits.end());
  const Edit& edit = *found;
  EXPECT_EQ(edit.where, "active L1 table at 0x3000, entry 1");
  EXPECT_EQ(edit.before, "names the L2 table at 0x4000, as another entry does");
  EXPECT_EQ(edit.after, "names a copy of it at 0xf000");
}

// The snapshot took the same damage: the copies are shared as the table was.
TEST(OverlapStepTest, AnL2TableNamedTwiceIsCopiedOnceForAllSnapshots) {
  FullImage image;
  image.header.l1_size = 2;
  image.header.size = 2 * 512 * kClusterSize;
  image.header.autoclear_features = 0;
  image.AddSnapshots({kSnapshotL1});
  image.WriteBe64(image.OffsetOf(kSnapshotTable) + 8,
                  (uint64_t{2} << 32) | (1 << 16) | 2);
  for (const uint64_t l1 : {kL1, kSnapshotL1}) {
    image.WriteBe64(image.OffsetOf(l1), image.OffsetOf(kL2));
    image.WriteBe64(image.OffsetOf(l1) + 8, image.OffsetOf(kL2));
  }
  const Planned planned = PlanFor(image.file());
  ExpectSeparated(image.file(), planned);
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL1) + 8) & kL1OffsetMask,
            Be64At(*planned.view, image.OffsetOf(kSnapshotL1) + 8));
}

TEST(OverlapStepTest, ManyEntriesThatNameOneL2TableAllGetTheirOwn) {
  FullImage image;
  image.header.autoclear_features = 0;
  image.header.l1_size = 400;
  for (uint64_t i = 0; i < 400; ++i) {
    image.WriteBe64(image.OffsetOf(kL1) + i * 8, image.OffsetOf(kL2));
  }
  ExpectSeparated(image.file(), PlanFor(image.file()));
}

// The bytes of a cluster encrypted with LUKS mean something at their place
// only.
TEST(OverlapStepTest, WithLuksTheMetadataMoves) {
  for (const Target& target : kTargets) {
    if (target.cluster == 0) continue;
    FullImage image(/*luks=*/true);
    image.WriteBe64(image.OffsetOf(kL2) + 40, image.OffsetOf(target.cluster));
    const Planned planned = PlanFor(image.file());
    ExpectSeparated(image.file(), planned);
    const uint64_t l1 = Be64At(*planned.view, 40);
    const uint64_t l2 = Be64At(*planned.view, l1) & kL1OffsetMask;
    EXPECT_EQ(Be64At(*planned.view, l2 + 40) & kL2OffsetMask,
              image.OffsetOf(target.cluster))
        << target.name;
  }
}

TEST(OverlapStepTest, TheLuksHeaderMovesAway) {
  FullImage image(/*luks=*/true);
  image.WriteBe64(image.OffsetOf(kL2) + 40, image.OffsetOf(kLuksHeader));
  const Planned planned = PlanFor(image.file());
  ExpectSeparated(image.file(), planned);
  const uint64_t place = Be64At(*planned.view, kExtensionsBegin + 8 + 24 + 8);
  EXPECT_NE(place, image.OffsetOf(kLuksHeader));
  EXPECT_TRUE(BytesAt(*planned.view, place, kClusterSize) ==
              BytesAt(image.file(), image.OffsetOf(kLuksHeader), kClusterSize));
}

// Neither the header nor the guest's cluster can move; what hangs on the
// header stays with it, for writing there would change what the guest reads.
TEST(OverlapStepTest, WithLuksAGuestClusterOnTheHeaderIsLeft) {
  FullImage image(/*luks=*/true);
  image.WriteBe64(image.OffsetOf(kL2) + 40,
                  kCompressedFlag | uint64_t{1} << 58 | 512);
  image.WriteBe64(image.OffsetOf(kL2) + 48, image.OffsetOf(kL1));
  const StepRun run(image.file());
  EXPECT_TRUE(HasOverlap(run.after));
  EXPECT_EQ(run.rounds, 0);
  EXPECT_TRUE(run.view->DirtyRanges().empty());
}

TEST(OverlapStepTest, WithoutRoomTheFindingsStay) {
  FullImage image;
  image.Truncate(image.OffsetOf(kLuksHeader));
  image.WriteBe64(image.OffsetOf(kL2) + 40, image.OffsetOf(kL1));
  image.WriteBe64(image.OffsetOf(kSnapshotL2) + 8, image.OffsetOf(kL2));
  const Planned planned = PlanFor(image.file(), /*can_grow=*/false);
  EXPECT_TRUE(HasOverlap(planned.repair.after));
  EXPECT_EQ(planned.repair.plan.notes(),
            std::vector<std::string>({"clusters with more than one owner stay "
                                      "as they are: there is no room for the "
                                      "copies"}));
  EXPECT_TRUE(planned.repair.plan.sources().empty());
  ExpectSeparated(image.file(), PlanFor(image.file()));
}

TEST(OverlapStepTest, OverlapsWithRefcountStructuresAloneAreNotTouched) {
  FullImage image;
  image.WriteBe64(image.OffsetOf(kL2) + 40, image.OffsetOf(kRefcountBlock));
  const StepRun run(image.file());
  EXPECT_TRUE(HasOverlap(run.after));
  EXPECT_EQ(run.rounds, 0);
  EXPECT_TRUE(run.view->DirtyRanges().empty());
}

// Neither can be copied, and who shares with them cannot either.
TEST(OverlapStepTest, WhatCannotBeReadIsLeft) {
  FullImage image;
  // Far enough from the tables that no one reads it along with them.
  constexpr uint64_t kBad = kClusters - 1;
  image.WriteBe64(image.OffsetOf(kBitmapTable), image.OffsetOf(kBad));
  image.WriteBe64(image.OffsetOf(kL2) + 40, image.OffsetOf(kBad));
  image.WriteBe64(image.OffsetOf(kL2) + 48, image.OffsetOf(kBitmapTable));
  FaultyFile file(image.file());
  file.FailReadsIn({image.OffsetOf(kBad) + 512, 512});
  const StepRun run(file);
  EXPECT_EQ(run.rounds, 1);
  EXPECT_TRUE(HasOverlap(run.after));
  EXPECT_EQ(Be64At(*run.view, image.OffsetOf(kL2) + 40), image.OffsetOf(kBad));
  EXPECT_NE(Be64At(*run.view, image.OffsetOf(kL2) + 48),
            image.OffsetOf(kBitmapTable));
}

TEST(OverlapStepTest, NothingIsDoneWhileMetadataCannotBeRead) {
  FullImage image;
  image.WriteBe64(image.OffsetOf(kL2) + 40, image.OffsetOf(kBitmapData));
  FaultyFile file(image.file());
  file.FailReadsIn({image.OffsetOf(kSnapshotL2) + 512, 512});
  const StepRun run(file);
  EXPECT_TRUE(HasOverlap(run.before));
  EXPECT_EQ(run.rounds, 0);
  EXPECT_TRUE(run.view->DirtyRanges().empty());
}

// Snapshots whose L1 tables lie across each other: some of it can be taken
// apart, more than that is refused, with a word in the plan.
TEST(OverlapStepTest, NoMoreIsMovedThanMemoryShouldHold) {
  for (const uint64_t snapshots : {2, 40}) {
    FullImage image;
    std::vector<uint64_t> clusters;
    for (uint64_t i = 0; i < snapshots; ++i) clusters.push_back(kClusters);
    image.AddSnapshots(clusters);
    // Each 32 MiB long.
    for (uint64_t i = 0; i < snapshots; ++i) {
      image.WriteBe64(image.OffsetOf(kSnapshotTable) + i * 64 + 8,
                      (uint64_t{1} << 22 << 32) | (1 << 16) | (i < 9 ? 2 : 3));
    }
    image.Truncate(image.OffsetOf(kClusters) + (uint64_t{32} << 20));
    const StepRun run(image.file());
    EXPECT_EQ(run.before.image.snapshots, snapshots);
    EXPECT_TRUE(HasOverlap(run.before));
    const bool few = snapshots == 2;
    EXPECT_EQ(run.rounds, few ? 1 : 0);
    EXPECT_EQ(HasOverlap(run.after), !few);
    EXPECT_EQ(run.plan.notes().empty(), few);
  }
}

}  // namespace
}  // namespace qcow2::repair
