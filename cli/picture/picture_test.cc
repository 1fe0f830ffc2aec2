// Pictures of small images, from the image to what is drawn.
#include "cli/picture/picture.h"

#include <optional>
#include <string>
#include <vector>

#include "checker/check.h"
#include "checker/test_image.h"
#include "cli/picture/describe.h"
#include "cli/picture/guest_partitions.h"
#include "cli/picture/svg_map.h"
#include "engine/format/entry_flags.h"
#include "engine/format/snapshot_table.h"
#include "engine/storage/memory_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

using checker::ClusterClass;
using checker::TestImage;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

struct Drawn {
  checker::CheckReport report;
  Picture picture;
};

Drawn Draw(const MemoryFile& file, GuestPartitions partitions = {}) {
  checker::OwnershipMap ownership;
  checker::CheckOptions options;
  options.ownership = &ownership;
  Drawn drawn;
  drawn.report = checker::CheckImage(file, "memory", options);
  drawn.picture = MakePicture(ownership, drawn.report, std::move(partitions));
  return drawn;
}

std::string OnOneLine(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "|";
  return text;
}

std::vector<std::string> LinesOf(const Picture& picture) {
  std::vector<std::string> lines;
  for (const DamageLine& line : DescribePartitionDamage(picture)) {
    lines.push_back(line.text);
  }
  return lines;
}

TEST(PictureTest, SegmentsAreTheWholeFile) {
  TestImage image;
  const Picture picture = Draw(image.file()).picture;
  EXPECT_FALSE(picture.empty);
  ASSERT_TRUE(picture.complete);
  uint64_t next = 0;
  std::vector<ClusterClass> classes;
  for (const Segment& segment : picture.segments) {
    EXPECT_EQ(segment.first_cluster, next);
    next += segment.clusters;
    classes.push_back(segment.cluster_class);
  }
  EXPECT_EQ(next, picture.file_clusters);
  EXPECT_THAT(classes,
              ElementsAre(ClusterClass::kHeader, ClusterClass::kRefcountTable,
                          ClusterClass::kRefcountBlock, ClusterClass::kActiveL1,
                          ClusterClass::kActiveL2, ClusterClass::kGuestData,
                          ClusterClass::kFree));
  EXPECT_EQ(picture.totals[static_cast<size_t>(ClusterClass::kFree)], 8u);
  EXPECT_THAT(picture.damaged, IsEmpty());
  EXPECT_THAT(DescribeLimits(picture), IsEmpty());
}

// The second guest cluster is the L1 table.
TestImage Overlapping() {
  TestImage image;
  image.SetL2(1, image.OffsetOf(TestImage::kL1) | kCopiedFlag);
  image.SetCount(TestImage::kData + 1, 0);
  return image;
}

TEST(PictureTest, OverlapIsMarkedWithItsOwnersAndFindings) {
  TestImage image = Overlapping();
  const Drawn drawn = Draw(image.file());
  const Picture& picture = drawn.picture;
  const auto [first, last] =
      SegmentsIn(picture, TestImage::kL1, TestImage::kL1 + 1);
  ASSERT_EQ(last, first + 1);
  const Segment& segment = picture.segments[first];
  EXPECT_EQ(segment.cluster_class, ClusterClass::kActiveL1);
  EXPECT_EQ(segment.marks & kMarkBad, kMarkBad);
  EXPECT_THAT(segment.owners, SizeIs(2));
  ASSERT_THAT(segment.findings, Not(IsEmpty()));
  EXPECT_THAT(
      OnOneLine(DescribeStretch(picture, TestImage::kL1, TestImage::kL1 + 1)),
      AllOf(HasSubstr("cluster 3 (offset 0x3000)"), HasSubstr("active L1|"),
            HasSubstr("guest data: 4 KiB at 0x1000 of the disk"),
            HasSubstr("OVERLAP, DAMAGED"), HasSubstr("finding")));
  EXPECT_EQ(picture.overlapping_clusters, 1u);
}

TEST(PictureTest, SaysWhichPartitionIsHit) {
  TestImage image = Overlapping();
  GuestPartitions partitions;
  partitions.table = "MBR";
  partitions.partitions = {{1, 512, 0x1000 - 512, "Linux"},
                           {2, 0x1000, 0x800, "Linux swap"}};
  const Picture picture = Draw(image.file(), partitions).picture;
  ASSERT_THAT(picture.damaged, SizeIs(1));
  EXPECT_EQ(picture.damaged[0].offset_bytes, 0x1000u);
  EXPECT_EQ(picture.damaged[0].length_bytes, 0x1000u);
  ASSERT_THAT(picture.partition_damage, SizeIs(3));
  EXPECT_EQ(picture.partition_damage[0].bytes, 0u);
  EXPECT_EQ(picture.partition_damage[1].bytes, 0x800u);
  EXPECT_EQ(picture.partition_damage[2].bytes, 0x800u);
  EXPECT_THAT(
      LinesOf(picture),
      ElementsAre("partition 1 (Linux), 3.5 KiB: not hit",
                  "partition 2 (Linux swap), 2 KiB: HIT: 2 KiB damaged (2 KiB "
                  "at 0x1000 of the disk)",
                  "outside all partitions: HIT: 2 KiB damaged (2 KiB at "
                  "0x1800 of the disk)"));
}

TEST(PictureTest, CompositionIsExactWhereThereAreSegments) {
  TestImage image;
  const Picture picture = Draw(image.file()).picture;
  const Composition all = CompositionOf(picture, 0, picture.file_clusters);
  EXPECT_EQ(all.clusters[static_cast<size_t>(ClusterClass::kGuestData)], 3);
  EXPECT_EQ(all.clusters[static_cast<size_t>(ClusterClass::kFree)], 8);
  EXPECT_EQ(all.marks, 0u);
  const GuestShare share = GuestShareOf(picture, 0x800, 0x1800);
  EXPECT_DOUBLE_EQ(share.stored, 1);
  EXPECT_EQ(share.compressed, 0);
}

// A picture whose bins are all there is.
Picture Aggregated() {
  checker::OwnershipMap map;
  map.cluster_size_bytes = 4096;
  map.file_clusters = 100;
  map.bin_clusters = 50;
  map.bins.resize(3);
  const auto data = static_cast<size_t>(ClusterClass::kGuestData);
  const auto free = static_cast<size_t>(ClusterClass::kFree);
  map.bins[0].clusters[data] = 50;
  map.bins[1].clusters[data] = 10;
  map.bins[1].clusters[free] = 40;
  map.guest_size_bytes = uint64_t{100} * 4096;
  map.guest_bin_clusters = 50;
  map.guest_bins.resize(3);
  map.guest_bins[0].stored = 25;
  map.disk_names = {""};
  // Known all the same.
  checker::OwnedRun run;
  run.first_cluster = 50;
  run.clusters = 10;
  run.owner = checker::kOwnerGuestData;
  run.cluster_class = ClusterClass::kGuestData;
  run.guest_length_bytes = uint64_t{10} * 4096;
  map.owned = {run};
  return MakePicture(map, {}, {});
}

TEST(PictureTest, BinsFillWhatSegmentsLeave) {
  const Picture picture = Aggregated();
  EXPECT_FALSE(picture.complete);
  const auto data = static_cast<size_t>(ClusterClass::kGuestData);
  const auto free = static_cast<size_t>(ClusterClass::kFree);
  const Composition rest = CompositionOf(picture, 60, 100);
  EXPECT_DOUBLE_EQ(rest.clusters[free], 40);
  EXPECT_DOUBLE_EQ(rest.clusters[data], 0);
  const Composition both = CompositionOf(picture, 25, 75);
  EXPECT_DOUBLE_EQ(both.clusters[data], 35);
  EXPECT_DOUBLE_EQ(both.clusters[free], 15);
  EXPECT_DOUBLE_EQ(GuestShareOf(picture, 0, uint64_t{50} * 4096).stored, 0.5);
  EXPECT_DOUBLE_EQ(
      GuestShareOf(picture, uint64_t{50} * 4096, uint64_t{100} * 4096).stored,
      0);
  EXPECT_THAT(DescribeLimits(picture),
              Contains(HasSubstr("stretches of 200 KiB")));
}

TEST(PictureTest, SaysWhatIsNotExact) {
  Picture picture = Aggregated();
  picture.all_metadata = true;
  EXPECT_THAT(DescribeLimits(picture),
              Contains(HasSubstr("Metadata is drawn exactly; so is what lies "
                                 "around damage.")));
  picture.all_metadata = false;
  picture.exact_omitted = true;
  EXPECT_THAT(DescribeLimits(picture),
              Contains(AllOf(HasSubstr("around damage only"),
                             HasSubstr("too many for all"))));
}

// Leaks that are not listed are no damage that is not shown.
TEST(PictureTest, DamageIsIncompleteWhereCorruptionsAreNotListed) {
  checker::OwnershipMap map;
  map.cluster_size_bytes = 4096;
  map.bins.resize(1);
  map.guest_bins.resize(1);
  map.disk_names = {""};
  checker::CheckReport report;
  report.status = checker::CheckStatus::kLeaks;
  report.problems_omitted = 7;
  report.counts.leaks = 7;
  EXPECT_FALSE(MakePicture(map, report, {}).damage_incomplete);
  report.counts.corruptions = 1;
  EXPECT_TRUE(MakePicture(map, report, {}).damage_incomplete);
}

// However many share a cluster, an owner that is longer stays one.
TEST(PictureTest, DataBehindManyOwnersOfOneClusterIsNotFree) {
  checker::OwnershipMap map;
  map.cluster_size_bytes = 4096;
  map.file_clusters = 200;
  map.bins.resize(1);
  map.guest_bins.resize(1);
  map.complete = true;
  map.disk_names = {""};
  checker::OwnedRun run;
  run.owner = checker::kOwnerGuestData;
  run.cluster_class = ClusterClass::kGuestData;
  run.first_cluster = 10;
  run.clusters = 1;
  run.guest_length_bytes = 4096;
  map.owned.assign(1000, run);
  run.clusters = 100;
  run.guest_length_bytes = 100 * 4096;
  map.owned.push_back(run);
  const Picture picture = MakePicture(map, {}, {});
  EXPECT_EQ(picture.totals[static_cast<size_t>(ClusterClass::kGuestData)],
            100u);
  const auto [first, last] = SegmentsIn(picture, 10, 12);
  ASSERT_EQ(last, first + 2);
  EXPECT_EQ(picture.segments[first].more_owners, 1001 - Segment::kMaxOwners);
  EXPECT_THAT(picture.segments[first + 1].owners, SizeIs(1));
}

// A flag that costs a copy at most is no damage to the guest.
TEST(PictureTest, AMissingCopiedFlagTakesNothingFromTheGuest) {
  TestImage image;
  image.SetL2(0, image.OffsetOf(TestImage::kData));
  const Drawn drawn = Draw(image.file());
  EXPECT_EQ(drawn.report.counts.corruptions, 1u);
  EXPECT_THAT(drawn.picture.damaged, IsEmpty());
  EXPECT_EQ(drawn.picture.damaged_clusters, 0u);
  EXPECT_THAT(LinesOf(drawn.picture), ElementsAre("the disk: not hit"));
}

// Three snapshots of their own, two of one name and one of none, and damage in
// the first cluster of each.
TEST(PictureTest, SnapshotsAreToldApartByTheirPlaces) {
  TestImage image;
  const std::string name(230, 'n');
  std::vector<SnapshotEntry> entries;
  constexpr uint64_t kTable = TestImage::kFree;
  for (uint64_t i = 0; i < 2; ++i) {
    const uint64_t l1 = kTable + 1 + 3 * i;
    image.WriteBe64(image.OffsetOf(l1), image.OffsetOf(l1 + 1));
    image.WriteBe64(image.OffsetOf(l1 + 1), image.OffsetOf(l1 + 2));
    for (uint64_t used = l1; used < l1 + 2; ++used) image.SetCount(used, 1);
    entries.push_back(checker::SnapshotOf(3 * image.cluster_size(),
                                          image.OffsetOf(l1),
                                          std::to_string(i + 1), name));
  }
  image.PutSnapshots(kTable, entries);
  image.SetCount(kTable, 1);
  const Picture same = Draw(image.file()).picture;
  EXPECT_THAT(same.damaged, IsEmpty());
  ASSERT_THAT(same.damaged_snapshots, SizeIs(2));
  for (const SnapshotDamage& snapshot : same.damaged_snapshots) {
    EXPECT_EQ(snapshot.name, name);
    EXPECT_EQ(snapshot.bytes, image.cluster_size());
  }
  for (SnapshotEntry& entry : entries) {
    entry.id.clear();
    entry.name.clear();
  }
  image.PutSnapshots(kTable, entries);
  const Picture nameless = Draw(image.file()).picture;
  EXPECT_THAT(nameless.damaged, IsEmpty());
  EXPECT_THAT(nameless.damaged_snapshots, SizeIs(2));
}

TEST(PictureTest, SaysThatSnapshotsShareWhatIsHit) {
  TestImage image;
  const uint64_t l1 = TestImage::kFree + 1;
  image.PutSnapshots(TestImage::kFree,
                     {checker::SnapshotOf(3 * image.cluster_size(),
                                          image.OffsetOf(l1), "1", "monday")});
  image.WriteBe64(image.OffsetOf(l1), image.OffsetOf(TestImage::kL2));
  image.SetCount(TestImage::kData, 0);
  EXPECT_THAT(LinesOf(Draw(image.file()).picture),
              ElementsAre(HasSubstr("the disk: HIT"),
                          HasSubstr("up to 1 more L1 entry names")));
}

// What is behind the end of the disk is saved machine state; the disk is not
// hit by what happens to it.
TEST(PictureTest, DamagedMachineStateIsNoDamageOfTheDisk) {
  TestImage image;
  image.SetL2(20, image.OffsetOf(TestImage::kFree) | kCopiedFlag);
  const Drawn drawn = Draw(image.file());
  EXPECT_GT(drawn.report.counts.corruptions, 0u);
  EXPECT_THAT(drawn.picture.damaged, IsEmpty());
  EXPECT_THAT(LinesOf(drawn.picture), ElementsAre("the disk: not hit"));
}

TEST(PictureTest, RangesThatAreNotListedAreSaidToBeThere) {
  checker::OwnershipMap map;
  map.cluster_size_bytes = 4096;
  map.guest_size_bytes = uint64_t{100} * 4096;
  map.bins.resize(1);
  map.guest_bins.resize(1);
  map.disk_names = {""};
  map.disk_snapshots = {std::nullopt};
  checker::CheckReport report;
  report.status = checker::CheckStatus::kCorrupt;
  const auto line = [&] {
    return LinesOf(MakePicture(map, report, {})).front();
  };
  for (uint64_t i = 0; i < 8; ++i) {
    map.hits.push_back({i * 8192, 4096, i, 0});
  }
  EXPECT_THAT(line(), Not(HasSubstr("...")));
  map.hits.push_back({uint64_t{80} * 4096, 4096, 9, 0});
  EXPECT_THAT(line(), HasSubstr(" ... of the disk"));
}

TEST(PictureTest, ImageWithoutGeometryHasNoMapButAReason) {
  TestImage image;
  image.header.cluster_bits = 63;
  const Picture picture = Draw(image.file()).picture;
  EXPECT_TRUE(picture.empty);
  EXPECT_THAT(SvgDocument(picture, "x", "y"), HasSubstr("There is no map"));
}

TEST(GuestPartitionsTest, ReadsThePartitionsThroughTheMapping) {
  TestImage image;
  std::vector<std::byte> sector(512);
  sector[446 + 4] = std::byte{0x83};
  sector[446 + 8] = std::byte{1};
  sector[446 + 12] = std::byte{7};
  sector[510] = std::byte{0x55};
  sector[511] = std::byte{0xaa};
  image.Write(image.OffsetOf(TestImage::kData), sector);
  const GuestPartitions partitions = ReadGuestPartitions(image.file());
  EXPECT_EQ(partitions.table, "MBR");
  ASSERT_THAT(partitions.partitions, SizeIs(1));
  EXPECT_EQ(partitions.partitions[0].number, 1u);
  EXPECT_EQ(partitions.partitions[0].offset_bytes, 512u);
  EXPECT_EQ(partitions.partitions[0].length_bytes, 7u * 512);
  EXPECT_EQ(partitions.partitions[0].description, "Linux");
}

TEST(GuestPartitionsTest, SaysWhyNothingIsKnown) {
  TestImage image;
  EXPECT_THAT(ReadGuestPartitions(image.file()).notes,
              ElementsAre("the disk has no partition table"));
  image.header.crypt_method = 1;
  EXPECT_THAT(ReadGuestPartitions(image.file()).notes,
              ElementsAre(HasSubstr("the partitions are not known: ")));
}

TEST(SvgMapTest, ShowsOverlapLegendAndPartitions) {
  TestImage image = Overlapping();
  GuestPartitions partitions;
  partitions.table = "GPT";
  partitions.partitions = {{7, 0x1000, 0x2000, "Linux, 'root'"}};
  const Picture picture = Draw(image.file(), partitions).picture;
  const std::string svg = SvgDocument(picture, "disk.qcow2", "CORRUPT");
  EXPECT_THAT(svg, HasSubstr("<title>cluster 3 (offset 0x3000); active L1; "));
  EXPECT_THAT(svg, HasSubstr("overlap: 4 KiB"));
  EXPECT_THAT(svg, HasSubstr("active L2 table: 4 KiB"));
  EXPECT_THAT(svg,
              HasSubstr("partition 7 (Linux, &#39;root&#39;), 8 KiB: HIT"));
  EXPECT_THAT(svg, HasSubstr("class=\"part hit\""));
}

// A name that grows as markup is said once a cell, and not to its end.
TEST(SvgMapTest, TitlesAreShort) {
  TestImage image;
  image.PutSnapshots(TestImage::kFree,
                     {checker::SnapshotOf(3 * image.cluster_size(),
                                          image.OffsetOf(TestImage::kFree + 1),
                                          "1", std::string(200, '"'))});
  image.WriteBe64(image.OffsetOf(TestImage::kFree + 1),
                  image.OffsetOf(TestImage::kL1));
  const std::string svg =
      SvgDocument(Draw(image.file()).picture, "disk.qcow2", "CORRUPT");
  size_t titles = 0;
  size_t at = 0;
  while ((at = svg.find("<title>", at)) != std::string::npos) {
    const size_t end = svg.find("</title>", at);
    EXPECT_LE(end - at, 700u);
    at = end;
    ++titles;
  }
  EXPECT_GE(titles, 3u);
  EXPECT_THAT(svg, HasSubstr("&quot;..."));
}

// What comes from an image or a path stays text.
TEST(SvgMapTest, HostileNamesAreText) {
  constexpr char kName[] = "</text><script>alert('1')</script>&\"\x1b[2J\xff";
  TestImage image;
  image.PutSnapshots(
      TestImage::kFree,
      {checker::SnapshotOf(3 * image.cluster_size(),
                           image.OffsetOf(TestImage::kFree + 1), "1", kName)});
  image.SetCount(TestImage::kFree, 1);
  image.SetCount(TestImage::kFree + 1, 1);
  GuestPartitions partitions;
  partitions.table = kName;
  partitions.partitions = {{1, 0, 0x3000, kName}};
  partitions.notes = {kName};
  const Picture picture = Draw(image.file(), partitions).picture;
  const std::string svg = SvgDocument(picture, kName, kName);
  EXPECT_THAT(svg, Not(HasSubstr("<script")));
  EXPECT_THAT(svg, Not(HasSubstr("\x1b")));
  EXPECT_THAT(svg, Not(HasSubstr("\xff")));
  EXPECT_THAT(svg, HasSubstr("&lt;script&gt;"));
  // The L1 table says whose it is.
  EXPECT_THAT(svg, HasSubstr("of snapshot &#39;&lt;/text&gt;"));
}

}  // namespace
}  // namespace qcow2::cli
