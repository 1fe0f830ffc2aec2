// Planning the repair of bitmaps: each kind of damage to two of them, and what
// they are afterwards.
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "checker/test_image.h"
#include "engine/format/bitmap_directory.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/header_extension.h"
#include "gtest/gtest.h"
#include "repair/testing.h"

namespace qcow2::repair {
namespace {

using checker::BytesOf;
using checker::Problem;
using checker::TestImage;

// Where the structures of two bitmaps are, in clusters.
constexpr uint64_t kDirectory = 8;
constexpr uint64_t kFirstTable = 9;
constexpr uint64_t kFirstData = 10;
constexpr uint64_t kSecondTable = 12;
constexpr uint64_t kPastEnd = 0x100000;

BitmapDirectoryEntry BitmapAt(uint64_t table, std::string name) {
  BitmapDirectoryEntry entry;
  entry.table_offset = HostOffset(table);
  entry.table_size = 1;
  entry.name = std::move(name);
  return entry;
}

// Two bitmaps with a table each; the first has data, too.
struct BitmapImage {
  BitmapImage() {
    entries = {BitmapAt(image.OffsetOf(kFirstTable), "nightly"),
               BitmapAt(image.OffsetOf(kSecondTable), "weekly")};
    image.WriteBe64(image.OffsetOf(kFirstTable), image.OffsetOf(kFirstData));
    image.WriteText(image.OffsetOf(kFirstData), "\1");
    for (const uint64_t cluster :
         {kDirectory, kFirstTable, kFirstData, kSecondTable}) {
      image.SetCount(cluster, 1);
    }
    extension.directory_offset = HostOffset(image.OffsetOf(kDirectory));
    image.header.autoclear_features = kAutoclearBitmaps;
  }

  // Frees what the first bitmap fills, for cases in which it is not reached: a
  // bitmap table looks like an L2 table, and such a leak is kept.
  void FreeFirst() {
    image.SetCount(kFirstTable, 0);
    image.SetCount(kFirstData, 0);
  }

  // Writes directory and extension; the latter as set, but for what is zero.
  TestImage& Finish() {
    const std::vector<std::byte> directory = EncodeBitmapDirectory(entries);
    image.Write(image.OffsetOf(kDirectory), directory);
    if (extension.nb_bitmaps == 0) {
      extension.nb_bitmaps = static_cast<uint32_t>(entries.size());
    }
    if (extension.directory_size == 0) {
      extension.directory_size = directory.size();
    }
    image.AddExtension(0x11111111, BytesOf("kept"));
    image.AddExtension(kExtensionBitmaps, extension.Encode());
    image.AddExtension(0x33333333, BytesOf("kept"));
    return image;
  }

  TestImage image;
  BitmapExtension extension;
  std::vector<BitmapDirectoryEntry> entries;
};

std::vector<BitmapDirectoryEntry> BitmapsOf(const File& file) {
  const uint64_t place = PlaceOf(file, kExtensionBitmaps);
  std::vector<BitmapDirectoryEntry> entries;
  if (place == 0) return entries;
  const auto extension = BitmapExtension::Decode(BytesAt(file, place + 8, 24));
  for (LocatedBitmap& bitmap :
       DecodeBitmapDirectory(BytesAt(file, extension.directory_offset.value(),
                                     extension.directory_size),
                             ~uint64_t{0})) {
    entries.push_back(std::move(bitmap.entry));
  }
  EXPECT_EQ(entries.size(), extension.nb_bitmaps);
  return entries;
}

void ExpectOthersKept(const File& file) {
  EXPECT_EQ(BytesAt(file, PlaceOf(file, 0x11111111) + 8, 4), BytesOf("kept"));
  EXPECT_EQ(BytesAt(file, PlaceOf(file, 0x33333333) + 8, 4), BytesOf("kept"));
}

TEST(BitmapStepTest, SoundBitmapsAreLeftAlone) {
  BitmapImage bitmaps;
  const Planned planned = PlanDeeply(bitmaps.Finish().file());
  ExpectClean(planned.repair.before);
  EXPECT_TRUE(planned.view->DirtyRanges().empty());
}

TEST(BitmapStepTest, StaleBitmapsGo) {
  BitmapImage bitmaps;
  bitmaps.image.header.autoclear_features = 0;
  const Planned planned =
      ExpectMended(bitmaps.Finish(), Problem::kBitmapsStale);
  EXPECT_EQ(PlaceOf(*planned.view, kExtensionBitmaps), 0);
  ExpectOthersKept(*planned.view);
}

TEST(BitmapStepTest, DirectoryThatCanBeFoundIsFound) {
  struct Wrong {
    Problem problem;
    std::function<void(BitmapExtension&)> apply;
  };
  const Wrong cases[] = {
      {Problem::kBitmapExtension, [](BitmapExtension& e) { e.reserved = 1; }},
      {Problem::kBitmapExtension,
       [](BitmapExtension& e) { e.directory_size = uint64_t{1} << 40; }},
      {Problem::kBitmapCount,
       [](BitmapExtension& e) { e.nb_bitmaps = 1u << 31; }},
      {Problem::kBitmapExtension,
       [](BitmapExtension& e) {
         e.directory_offset = HostOffset(e.directory_offset.value() + 8);
       }},
      {Problem::kBitmapCount, [](BitmapExtension& e) { e.nb_bitmaps = 3; }},
      {Problem::kBitmapCount,
       [](BitmapExtension& e) { e.directory_size = 32; }},
      {Problem::kBitmapDirectoryEntry,
       [](BitmapExtension& e) { e.directory_size = 40; }},
  };
  for (const Wrong& wrong : cases) {
    BitmapImage bitmaps;
    wrong.apply(bitmaps.extension);
    const Planned planned = ExpectMended(bitmaps.Finish(), wrong.problem);
    EXPECT_EQ(BitmapsOf(*planned.view), bitmaps.entries);
    EXPECT_EQ(
        Be64At(*planned.view, PlaceOf(*planned.view, kExtensionBitmaps) + 24),
        bitmaps.image.OffsetOf(kDirectory));
    ExpectOthersKept(*planned.view);
  }
}

TEST(BitmapStepTest, LostDirectoryGoesWithItsExtension) {
  BitmapImage bitmaps;
  bitmaps.FreeFirst();
  bitmaps.extension.directory_offset = HostOffset(kPastEnd);
  const Planned planned =
      ExpectMended(bitmaps.Finish(), Problem::kBitmapDirectoryPastEnd);
  EXPECT_EQ(PlaceOf(*planned.view, kExtensionBitmaps), 0);
  EXPECT_EQ(HeaderOf(*planned.view).autoclear_features, 0);
  ExpectOthersKept(*planned.view);
}

TEST(BitmapStepTest, BitmapThatCannotBeUsedIsDroppedAlone) {
  struct Wrong {
    Problem problem;
    std::function<void(BitmapDirectoryEntry&)> apply;
  };
  const Wrong cases[] = {
      {Problem::kBitmapDirectoryEntry,
       [](BitmapDirectoryEntry& e) { e.granularity_bits = 40; }},
      {Problem::kBitmapDirectoryEntry,
       [](BitmapDirectoryEntry& e) { e.type = 2; }},
      {Problem::kBitmapTablePastEnd,
       [](BitmapDirectoryEntry& e) { e.table_offset = HostOffset(kPastEnd); }},
  };
  for (const Wrong& wrong : cases) {
    BitmapImage bitmaps;
    wrong.apply(bitmaps.entries[0]);
    if (wrong.problem == Problem::kBitmapTablePastEnd) bitmaps.FreeFirst();
    const Planned planned = ExpectMended(bitmaps.Finish(), wrong.problem);
    EXPECT_EQ(BitmapsOf(*planned.view),
              std::vector<BitmapDirectoryEntry>{bitmaps.entries[1]});
    ExpectOthersKept(*planned.view);
  }
}

TEST(BitmapStepTest, BitmapInDoubtIsMarkedAsInUse) {
  BitmapImage size;
  size.entries[1].table_size = 2;
  Planned planned = ExpectMended(size.Finish(), Problem::kBitmapSize);
  size.entries[1].flags = kBitmapInUse;
  EXPECT_EQ(BitmapsOf(*planned.view), size.entries);

  BitmapImage flags;
  flags.entries[1].flags = 0x80 | kBitmapAuto;
  planned = ExpectMended(flags.Finish(), Problem::kBitmapDirectoryEntry);
  flags.entries[1].flags = kBitmapInUse | kBitmapAuto;
  EXPECT_EQ(BitmapsOf(*planned.view), flags.entries);
}

TEST(BitmapStepTest, SecondOfANameGetsAnother) {
  BitmapImage bitmaps;
  bitmaps.entries[1].name = "nightly";
  const Planned planned =
      ExpectMended(bitmaps.Finish(), Problem::kBitmapDuplicateName);
  bitmaps.entries[1].name = "nightly-2";
  bitmaps.entries[0].flags = bitmaps.entries[1].flags = kBitmapInUse;
  EXPECT_EQ(BitmapsOf(*planned.view), bitmaps.entries);
}

TEST(BitmapStepTest, DamagedPartOfABitmapBecomesAllChanged) {
  for (const auto& [word, problem] :
       {std::pair(uint64_t{1} << 57, Problem::kBitmapTableEntry),
        std::pair(kPastEnd, Problem::kBitmapDataPastEnd)}) {
    BitmapImage bitmaps;
    bitmaps.image.WriteBe64(bitmaps.image.OffsetOf(kFirstTable), word);
    const Planned planned = ExpectMended(bitmaps.Finish(), problem);
    EXPECT_EQ(BitmapsOf(*planned.view), bitmaps.entries);
    EXPECT_EQ(Be64At(*planned.view, bitmaps.image.OffsetOf(kFirstTable)), 1);
  }
}

TEST(BitmapStepTest, BitmapTableThatIsSomethingElseIsNotWrittenTo) {
  BitmapImage bitmaps;
  // The L2 table: its entries make no bitmap table.
  bitmaps.entries[1].table_offset = HostOffset(bitmaps.image.OffsetOf(kL2));
  TestImage& image = bitmaps.Finish();
  const std::vector<std::byte> before =
      BytesAt(image.file(), image.OffsetOf(kL2), image.cluster_size());
  const Planned planned = PlanDeeply(image.file());
  EXPECT_EQ(BitmapsOf(*planned.view),
            std::vector<BitmapDirectoryEntry>{bitmaps.entries[0]});
  EXPECT_EQ(BytesAt(*planned.view, image.OffsetOf(kL2), image.cluster_size()),
            before);
}

// The table has been mended by the time it turns out that the extension, which
// an entry that cannot be kept changes, cannot be written.
TEST(BitmapStepTest, WhatCannotBeDoneAsAWholeIsNotBegun) {
  BitmapImage bitmaps;
  bitmaps.image.WriteBe64(bitmaps.image.OffsetOf(kFirstTable),
                          uint64_t{1} << 57);
  bitmaps.entries[1].granularity_bits = 127;
  bitmaps.image.header.backing_file_offset = HostOffset(3500);
  bitmaps.image.header.backing_file_size = 1000;
  TestImage& image = bitmaps.Finish();
  const Planned planned = PlanDeeply(image.file());
  EXPECT_TRUE(planned.repair.before.Found(Problem::kBackingNameOutside));
  EXPECT_TRUE(planned.repair.after.Found(Problem::kBitmapTableEntry));
  EXPECT_EQ(EditOf(planned, Problem::kBitmapTableEntry), nullptr);
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kFirstTable)),
            uint64_t{1} << 57);
}

TEST(BitmapStepTest, BitsPastTheEndOfTheDiskAreCleared) {
  BitmapImage bitmaps;
  // The disk has 12 KiB: one bit of 64 KiB.
  bitmaps.image.WriteText(bitmaps.image.OffsetOf(kFirstData), "\x7f\x01");
  const Planned planned = ExpectMended(bitmaps.Finish(), Problem::kBitmapTail);
  EXPECT_EQ(BitmapsOf(*planned.view), bitmaps.entries);
  EXPECT_EQ(BytesAt(*planned.view, bitmaps.image.OffsetOf(kFirstData), 2),
            (std::vector<std::byte>{std::byte{1}, std::byte{0}}));
}

}  // namespace
}  // namespace qcow2::repair
