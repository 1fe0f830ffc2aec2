#include <functional>
#include <string>
#include <vector>

#include "checker/passes.h"
#include "checker/test_image.h"
#include "engine/format/bitmap_directory.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/header_extension.h"
#include "engine/storage/faulty_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Clusters of an image with two bitmaps of one data cluster each.
constexpr uint64_t kDirectory = 8;
constexpr uint64_t kTable = 9;
constexpr uint64_t kData = 11;

BitmapDirectoryEntry Bitmap(const std::string& name, uint64_t table) {
  BitmapDirectoryEntry entry;
  entry.table_offset = HostOffset(table * 4096);
  entry.table_size = 1;
  entry.granularity_bits = 9;
  entry.name = name;
  return entry;
}

struct BitmapImage {
  TestImage image;
  std::vector<BitmapDirectoryEntry> entries = {Bitmap("first", kTable),
                                               Bitmap("second", kTable + 1)};
  std::optional<BitmapExtension> extension;

  BitmapImage() {
    image.header.autoclear_features = kAutoclearBitmaps;
    image.WriteBe64(image.OffsetOf(kTable), image.OffsetOf(kData));
    image.WriteBe64(image.OffsetOf(kTable + 1), image.OffsetOf(kData + 1));
  }

  PassRun Check(bool deep = false) {
    const std::vector<std::byte> directory = EncodeBitmapDirectory(entries);
    image.Write(image.OffsetOf(kDirectory), directory);
    if (!extension) {
      extension = BitmapExtension{static_cast<uint32_t>(entries.size()), 0,
                                  directory.size(),
                                  HostOffset(image.OffsetOf(kDirectory))};
    }
    image.AddExtension(kExtensionBitmaps, extension->Encode());
    CheckOptions options;
    options.deep = deep;
    return PassRun(
        image.file(),
        [](CheckState& state) {
          if (RunHeaderPass(state)) RunBitmapPass(state);
        },
        options);
  }
};

TEST(BitmapPassTest, SoundBitmaps) {
  const PassRun run = BitmapImage().Check(true);
  EXPECT_THAT(run.Codes(), IsEmpty());
  const ImageModel& model = run.state().model;
  EXPECT_EQ(model.bitmap_count, 2);
  std::vector<uint32_t> owners;
  for (size_t i = 3; i < model.regions.size(); ++i) {
    owners.push_back(model.regions[i].owner);
  }
  EXPECT_THAT(owners, ElementsAre(kOwnerBitmapDirectory, kOwnerBitmapTable,
                                  kOwnerBitmapData, kOwnerBitmapTable,
                                  kOwnerBitmapData));
}

TEST(BitmapPassTest, StaleBitmapsHaveNoRegions) {
  BitmapImage bitmaps;
  bitmaps.image.header.autoclear_features = 0;
  const PassRun run = bitmaps.Check();
  EXPECT_THAT(run.Codes(), ElementsAre("bitmaps-stale"));
  EXPECT_EQ(run.Only(Problem::kBitmapsStale)->actual, 2);
  EXPECT_EQ(run.state().model.regions.size(), 3);
  EXPECT_EQ(run.state().model.stale_regions.size(), 5);
}

TEST(BitmapPassTest, AdjoiningDataIsOneRegionAndSharedDataTwo) {
  BitmapImage bitmaps;
  bitmaps.image.header.size = 0x3000000;
  bitmaps.image.header.l1_size = 24;
  bitmaps.entries[0].table_size = 3;
  bitmaps.entries[1].table_size = 3;
  for (const uint64_t table : {kTable, kTable + 1}) {
    for (uint64_t i = 0; i < 3; ++i) {
      bitmaps.image.WriteBe64(bitmaps.image.OffsetOf(table) + 8 * i,
                              bitmaps.image.OffsetOf(kData + i));
    }
  }
  const PassRun run = bitmaps.Check();
  EXPECT_THAT(run.Codes(), IsEmpty());
  const auto& regions = run.state().model.regions;
  ASSERT_EQ(regions.size(), 8);
  for (const size_t i : {5, 7}) {
    EXPECT_EQ(regions[i].owner, kOwnerBitmapData);
    EXPECT_EQ(regions[i].offset_bytes, kData * 4096);
    EXPECT_EQ(regions[i].length_bytes, 3 * 4096);
  }
}

struct BitmapCase {
  std::string name;
  std::function<void(BitmapImage&)> damage;
  std::string code;
  std::string message;
};

class BitmapCaseTest : public ::testing::TestWithParam<BitmapCase> {};

TEST_P(BitmapCaseTest, IsTheOnlyFinding) {
  BitmapImage bitmaps;
  GetParam().damage(bitmaps);
  const PassRun run = bitmaps.Check(true);
  EXPECT_THAT(run.Codes(), ElementsAre(GetParam().code));
  const auto finding = run.Only(*FindProblem(GetParam().code));
  ASSERT_TRUE(finding);
  EXPECT_THAT(DescribeFinding(*finding), HasSubstr(GetParam().message));
}

BitmapExtension Extension(uint32_t bitmaps, uint64_t size, uint64_t offset) {
  return {bitmaps, 0, size, HostOffset(offset)};
}

std::vector<BitmapCase> BitmapCases() {
  return {
      {"Reserved",
       [](BitmapImage& b) {
         b.extension = Extension(2, 64, 0x8000);
         b.extension->reserved = 1;
       },
       "bitmap-extension", "its reserved field is not zero"},
      {"DirectoryUnaligned",
       [](BitmapImage& b) { b.extension = Extension(2, 64, 0x8008); },
       "bitmap-extension", "not cluster aligned"},
      {"DirectoryTooLarge",
       [](BitmapImage& b) { b.extension = Extension(2, 1 << 26, 0x8000); },
       "bitmap-extension", "67108864 bytes long, more than 67107840"},
      {"DirectoryPastEnd",
       [](BitmapImage& b) { b.extension = Extension(2, 64, 0x80000); },
       "bitmap-directory-past-end", "at 0x80000 reaches past"},
      {"Count", [](BitmapImage& b) { b.extension = Extension(3, 64, 0x8000); },
       "bitmap-count", "holds 2 entries, the extension says 3"},
      {"EntryPastDirectory",
       [](BitmapImage& b) { b.extension = Extension(1, 56, 0x8000); },
       "bitmap-directory-entry", "entry 1 is not valid: it is 32 bytes long"},
      {"Flags", [](BitmapImage& b) { b.entries[1].flags = 8; },
       "bitmap-directory-entry",
       "entry 1, bitmap \"second\" is not valid: reserved flags are set"},
      {"Type", [](BitmapImage& b) { b.entries[0].type = 2; },
       "bitmap-directory-entry", "its type 2 is unknown"},
      {"TableUnaligned",
       [](BitmapImage& b) { b.entries[0].table_offset = HostOffset(0x9200); },
       "bitmap-directory-entry", "its table offset is not cluster aligned"},
      {"TableTooLarge",
       [](BitmapImage& b) { b.entries[0].table_size = 0xffffffff; },
       "bitmap-directory-entry", "more than 134217728 entries"},
      {"TablePastEnd",
       [](BitmapImage& b) { b.entries[0].table_offset = HostOffset(0x80000); },
       "bitmap-table-past-end", "its table at 0x80000 reaches past"},
      {"EntryReserved",
       [](BitmapImage& b) { b.image.WriteBe64(0x9000, 0xb002); },
       "bitmap-table-entry", "entry 0, bitmap \"first\" is 0xb002: reserved"},
      {"EntryUnaligned",
       [](BitmapImage& b) { b.image.WriteBe64(0x9000, 0xb200); },
       "bitmap-table-entry", "the offset is not cluster aligned"},
      {"DataPastEnd",
       [](BitmapImage& b) { b.image.WriteBe64(0x9000, 0x80000); },
       "bitmap-data-past-end", "names bitmap data at 0x80000, past"},
      {"Size", [](BitmapImage& b) { b.entries[0].table_size = 2; },
       "bitmap-size", "2 entries, disk size and granularity need 1"},
      {"Duplicate", [](BitmapImage& b) { b.entries[1].name = "first"; },
       "bitmap-duplicate-name",
       "entry 1 has the same name as bitmap 0: \"first\""},
      {"InUse",
       [](BitmapImage& b) {
         b.entries[0].flags = kBitmapInUse;
         b.entries[0].table_size = 2;
       },
       "bitmap-in-use", "bitmap \"first\" is marked as in use"},
      // The disk's 0x3000 bytes are 24 bits of 512 bytes each.
      {"Tail", [](BitmapImage& b) { b.image.WriteText(0xb003, "\x01"); },
       "bitmap-tail", "bitmap data at 0x9000, cluster 0, bitmap \"first\""},
  };
}

INSTANTIATE_TEST_SUITE_P(AllRows, BitmapCaseTest,
                         ::testing::ValuesIn(BitmapCases()),
                         [](const auto& info) { return info.param.name; });

TEST(BitmapPassTest, ABadCountHidesNoBitmaps) {
  for (const uint32_t count : {0u, 65536u}) {
    BitmapImage bitmaps;
    bitmaps.extension = Extension(count, 64, 0x8000);
    const PassRun run = bitmaps.Check();
    EXPECT_THAT(run.Codes(), ElementsAre("bitmap-extension", "bitmap-count"));
    EXPECT_EQ(run.state().model.bitmap_count, 2);
  }
}

TEST(BitmapPassTest, BadSectors) {
  BitmapImage bitmaps;
  bitmaps.Check();  // writes the directory
  FaultyFile file(bitmaps.image.file());
  file.FailReadsIn({bitmaps.image.OffsetOf(kTable), 8});
  file.FailReadsIn({bitmaps.image.OffsetOf(kDirectory) + 3000, 1});
  const PassRun run(static_cast<const File&>(file), [](CheckState& state) {
    if (RunHeaderPass(state)) RunBitmapPass(state);
  });
  EXPECT_THAT(run.Codes(), ElementsAre("range-unreadable"));
  EXPECT_EQ(run.Only(Problem::kRangeUnreadable)->expected, 0x9000);
  EXPECT_TRUE(run.state().model.references_incomplete);
  // The other bitmap's table and data are there.
  EXPECT_EQ(run.state().model.regions.size(), 7);
}

// Tables that lie on top of each other may claim any amount of work.
TEST(BitmapPassTest, OverlappingTablesAreNotReadForEver) {
  BitmapImage bitmaps;
  bitmaps.entries.clear();
  for (int i = 0; i < 40; ++i) {
    bitmaps.entries.push_back(Bitmap("bitmap " + std::to_string(i), kTable));
    bitmaps.entries.back().flags = kBitmapInUse;
    bitmaps.entries.back().table_size = 512;
  }
  const PassRun run = bitmaps.Check();
  EXPECT_THAT(run.Codes(), ElementsAre("bitmap-in-use"));
  EXPECT_THAT(run.state().errors,
              ElementsAre(HasSubstr("from bitmap 16 on were not read")));
  EXPECT_TRUE(run.state().model.references_incomplete);
}

}  // namespace
}  // namespace qcow2::checker
