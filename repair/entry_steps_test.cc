// Planning the repair of L1 and L2 entries: each kind of damage to a small
// image, what the entry is afterwards, and what the plan says of it.
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checker/test_image.h"
#include "engine/codec/deflate.h"
#include "engine/format/byte_order.h"
#include "engine/format/entry_flags.h"
#include "engine/format/header_extension.h"
#include "engine/format/l2_entry.h"
#include "engine/format/snapshot_table.h"
#include "engine/storage/faulty_file.h"
#include "engine/storage/overlay_file.h"
#include "gtest/gtest.h"
#include "repair/planner.h"
#include "repair/proof.h"

namespace qcow2::repair {
namespace {

using checker::CheckReport;
using checker::CheckStatus;
using checker::Problem;
using checker::RepairAction;
using checker::TestImage;

// Where TestImage has its structures, in clusters.
constexpr uint64_t kRefcountBlock = 2;
constexpr uint64_t kL1 = 3;
constexpr uint64_t kL2 = 4;
constexpr uint64_t kData = 5;
constexpr uint64_t kFree = 8;

struct Planned {
  PlannedRepair repair;
  std::unique_ptr<OverlayFile> view;
};

Planned PlanFor(const File& image, Mode mode = Mode::kAll) {
  Planned planned;
  planned.view = *OverlayFile::Create(image);
  RepairOptions options;
  options.mode = mode;
  absl::StatusOr<PlannedRepair> repair =
      PlanRepair(image, "image", *planned.view, options);
  EXPECT_TRUE(repair.ok()) << repair.status();
  if (!repair.ok()) return planned;
  planned.repair = *std::move(repair);
  // Whatever is mended, the plan names what reads otherwise.
  const ProofResult proof = Prove(image, *planned.view, planned.repair);
  EXPECT_TRUE(proof.ok);
  for (const ProofFailure& failure : proof.failures) {
    ADD_FAILURE() << failure.message;
  }
  return planned;
}

std::string Problems(const CheckReport& report) {
  std::string text;
  for (const checker::Finding& finding : report.problems) {
    text += DescribeWhere(finding) + ": " + DescribeFinding(finding) + "\n";
  }
  return text;
}

uint64_t Be64At(const File& file, uint64_t offset) {
  std::vector<std::byte> bytes(8);
  EXPECT_TRUE(ReadZeroFilled(file, offset, bytes).ok());
  return LoadBe64(bytes.data());
}

void SetCount(TestImage& image, uint64_t cluster, uint16_t count) {
  const std::byte bytes[] = {std::byte(count >> 8), std::byte(count & 0xff)};
  image.Write(image.OffsetOf(kRefcountBlock) + cluster * 2, bytes);
}

const Edit* EditOf(const Planned& planned, Problem problem) {
  for (const Edit& edit : planned.repair.plan.edits()) {
    if (edit.problem == problem) return &edit;
  }
  return nullptr;
}

// "lost 4096+4096" ..., in order, of the active disk.
std::vector<std::string> Changes(const Planned& planned) {
  std::vector<std::string> texts;
  for (const GuestChange& change : planned.repair.plan.guest_changes()) {
    texts.push_back(
        (change.kind == GuestChange::Kind::kLost ? "lost " : "recovered ") +
        std::to_string(change.range.offset_bytes) + "+" +
        std::to_string(change.range.length_bytes) + change.range.snapshot);
  }
  return texts;
}

using Texts = std::vector<std::string>;

void ExpectCleanAndDone(const Planned& planned, Mode mode = Mode::kAll) {
  EXPECT_EQ(planned.repair.after.status, CheckStatus::kClean)
      << Problems(planned.repair.after);
  EXPECT_TRUE(planned.repair.stopped.empty());
  const Planned again = PlanFor(*planned.view, mode);
  EXPECT_TRUE(again.repair.plan.empty());
  EXPECT_TRUE(again.view->DirtyRanges().empty());
}

uint64_t L2At(const TestImage& image, const Planned& planned, uint64_t index) {
  return Be64At(*planned.view, image.OffsetOf(kL2) + 8 * index);
}

void SetL2(TestImage& image, uint64_t index, uint64_t raw) {
  image.WriteBe64(image.OffsetOf(kL2) + 8 * index, raw);
}

uint64_t DataEntry(const TestImage& image, uint64_t index) {
  return image.OffsetOf(kData + index) | kCopiedFlag;
}

// Far past the end of the file, at a distance of several bits from everything
// in it.
uint64_t PastEnd(const TestImage& image) {
  return image.OffsetOf(0x700000 + kData + 1);
}

struct Shape {
  uint32_t version;
  uint32_t cluster_bits;
};

class AnyShapeTest : public testing::TestWithParam<Shape> {
 protected:
  TestImage image_{GetParam().version, GetParam().cluster_bits};
};

TEST_P(AnyShapeTest, FlippedBitIsMendedToTheOrphan) {
  const uint64_t bit = uint64_t{1} << 40;
  SetL2(image_, 1, DataEntry(image_, 1) ^ bit);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(L2At(image_, planned, 1), DataEntry(image_, 1));
  const uint64_t size = image_.cluster_size();
  EXPECT_EQ(Changes(planned), Texts{"recovered " + std::to_string(size) + "+" +
                                    std::to_string(size)});
  const Edit* edit = EditOf(planned, Problem::kL2EntryPastEnd);
  ASSERT_NE(edit, nullptr);
  EXPECT_EQ(edit->action, RepairAction::kMendEntry);
  EXPECT_NE(edit->before.find("past the end of the file"), std::string::npos);
  EXPECT_NE(edit->where.find("entry 1"), std::string::npos);
  ExpectCleanAndDone(planned);
}

TEST_P(AnyShapeTest, FlippedBitOfAnL1EntryIsMendedToTheOrphanTable) {
  const uint64_t entry = image_.OffsetOf(kL2) | kCopiedFlag;
  image_.WriteBe64(image_.OffsetOf(kL1), entry ^ uint64_t{1} << 41);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(Be64At(*planned.view, image_.OffsetOf(kL1)), entry);
  EXPECT_EQ(Changes(planned),
            Texts{"recovered 0+" + std::to_string(3 * image_.cluster_size())});
  ExpectCleanAndDone(planned);
}

TEST_P(AnyShapeTest, ReservedBitsAreCleared) {
  SetL2(image_, 1, DataEntry(image_, 1) | uint64_t{1} << 57 | 0x10);
  const uint64_t entry = image_.OffsetOf(kL2) | kCopiedFlag;
  image_.WriteBe64(image_.OffsetOf(kL1), entry | uint64_t{1} << 59 | 1);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(L2At(image_, planned, 1), DataEntry(image_, 1));
  EXPECT_EQ(Be64At(*planned.view, image_.OffsetOf(kL1)), entry);
  EXPECT_EQ(Changes(planned), Texts{});
  EXPECT_NE(EditOf(planned, Problem::kL1EntryReserved), nullptr);
  EXPECT_NE(EditOf(planned, Problem::kL2EntryReserved), nullptr);
  ExpectCleanAndDone(planned);
}

TEST_P(AnyShapeTest, EntryPastTheEndReadsZerosAndIsNamedAsLost) {
  SetL2(image_, 1, PastEnd(image_));
  SetL2(image_, 2, PastEnd(image_) + image_.cluster_size());
  SetCount(image_, kData + 1, 0);
  SetCount(image_, kData + 2, 0);
  const Planned planned = PlanFor(image_.file());
  const uint64_t zeros = GetParam().version >= 3 ? kZeroFlag : 0;
  EXPECT_EQ(L2At(image_, planned, 1), zeros);
  EXPECT_EQ(L2At(image_, planned, 2), zeros);
  const uint64_t size = image_.cluster_size();
  EXPECT_EQ(Changes(planned), Texts{"lost " + std::to_string(size) + "+" +
                                    std::to_string(2 * size)});
  const Edit* edit = EditOf(planned, Problem::kL2EntryPastEnd);
  ASSERT_NE(edit, nullptr);
  EXPECT_EQ(edit->action, RepairAction::kZeroEntry);
  EXPECT_EQ(edit->count, 2);
  EXPECT_NE(edit->where.find("entries 1-2"), std::string::npos);
  ExpectCleanAndDone(planned);
}

TEST_P(AnyShapeTest, L1EntryPastTheEndIsClearedAndNamedAsLost) {
  image_.WriteBe64(image_.OffsetOf(kL1), PastEnd(image_));
  for (uint64_t i = kL2; i < kFree; ++i) SetCount(image_, i, 0);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(Be64At(*planned.view, image_.OffsetOf(kL1)), 0);
  EXPECT_EQ(Changes(planned),
            Texts{"lost 0+" + std::to_string(3 * image_.cluster_size())});
  ExpectCleanAndDone(planned);
}

INSTANTIATE_TEST_SUITE_P(Shapes, AnyShapeTest,
                         testing::Values(Shape{2, 9}, Shape{3, 9}, Shape{2, 12},
                                         Shape{3, 12}, Shape{3, 16},
                                         Shape{2, 21}, Shape{3, 21}),
                         [](const testing::TestParamInfo<Shape>& info) {
                           return "v" + std::to_string(info.param.version) +
                                  "_bits" +
                                  std::to_string(info.param.cluster_bits);
                         });

TEST(EntryStepsTest, UnalignedEntryIsMendedToTheOrphan) {
  TestImage image;
  SetL2(image, 1, DataEntry(image, 1) | 0xa00);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), DataEntry(image, 1));
  EXPECT_EQ(Changes(planned), Texts{"recovered 4096+4096"});
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, UnalignedL1EntryIsMendedToTheOrphanTable) {
  TestImage image;
  const uint64_t entry = image.OffsetOf(kL2) | kCopiedFlag;
  image.WriteBe64(image.OffsetOf(kL1), entry | 0x600);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL1)), entry);
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, UnalignedEntryWithoutOrphanStays) {
  TestImage image;
  SetL2(image, 1, DataEntry(image, 1) | 0xa00);
  SetCount(image, kData + 1, 0);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), DataEntry(image, 1) | 0xa00);
  EXPECT_EQ(EditOf(planned, Problem::kL2EntryUnaligned), nullptr);
  EXPECT_EQ(planned.repair.after.status, CheckStatus::kCorrupt);

  const Planned salvaged = PlanFor(image.file(), Mode::kSalvage);
  EXPECT_EQ(L2At(image, salvaged, 1), kZeroFlag);
  EXPECT_EQ(Changes(salvaged), Texts{"lost 4096+4096"});
  ExpectCleanAndDone(salvaged, Mode::kSalvage);
}

TEST(EntryStepsTest, UnalignedL1EntryWithoutOrphanStays) {
  TestImage image;
  const uint64_t entry = image.OffsetOf(kL2) | kCopiedFlag | 0x600;
  image.WriteBe64(image.OffsetOf(kL1), entry);
  for (uint64_t i = kL2; i < kFree; ++i) SetCount(image, i, 0);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL1)), entry);
  EXPECT_TRUE(planned.repair.plan.empty());

  const Planned salvaged = PlanFor(image.file(), Mode::kSalvage);
  EXPECT_EQ(Be64At(*salvaged.view, image.OffsetOf(kL1)), 0);
  EXPECT_EQ(Changes(salvaged), Texts{"lost 0+12288"});
  ExpectCleanAndDone(salvaged, Mode::kSalvage);
}

TEST(EntryStepsTest, UnalignedEntryWithoutDataNeedsNoCluster) {
  TestImage image;
  SetL2(image, 1, (DataEntry(image, 1) | 0xa00 | kZeroFlag));
  SetCount(image, kData + 1, 0);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), kZeroFlag);
  EXPECT_EQ(Changes(planned), Texts{"recovered 4096+4096"});
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, UnalignedZeroFlagOfVersion2IsNamedAsLost) {
  TestImage image(2);
  SetL2(image, 1, DataEntry(image, 1) | 0xa00 | kZeroFlag);
  SetCount(image, kData + 1, 0);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), 0);
  EXPECT_EQ(Changes(planned), Texts{"lost 4096+4096"});
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, TwoEntriesThatClaimOneOrphanAreBothLeft) {
  TestImage image;
  SetL2(image, 1, DataEntry(image, 1) | 0x200);
  SetL2(image, 2, DataEntry(image, 1) | 0x400);
  SetCount(image, kData + 2, 0);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), DataEntry(image, 1) | 0x200);
  EXPECT_EQ(L2At(image, planned, 2), DataEntry(image, 1) | 0x400);
  EXPECT_EQ(Changes(planned), Texts{});
}

TEST(EntryStepsTest, EntryOneBitFromTwoOrphansIsLeft) {
  TestImage image;
  image.Truncate(image.OffsetOf(24));
  // 29 is 0b11101: a bit from 13 (0b01101) and from 21 (0b10101).
  SetL2(image, 1, image.OffsetOf(29));
  SetCount(image, kData + 1, 0);
  SetCount(image, 13, 1);
  Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), image.OffsetOf(13) | kCopiedFlag);

  SetCount(image, 21, 1);
  planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), image.OffsetOf(29));
  EXPECT_EQ(Changes(planned), Texts{});
}

TEST(EntryStepsTest, SoundEntryThatNamesTheWrongClusterIsMended) {
  TestImage image;
  // 6 became 14, which is free.
  SetL2(image, 1, DataEntry(image, 1 + 8));
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), DataEntry(image, 1));
  EXPECT_EQ(Changes(planned), Texts{"recovered 4096+4096"});
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, EntriesThatShareAClusterAreLeftIfBothMayBeWrong) {
  TestImage image;
  // 6 became 7, which entry 2 names, too: either of the two may be the one hit.
  SetL2(image, 1, DataEntry(image, 2));
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1) & kL2OffsetMask, image.OffsetOf(kData + 2));
  EXPECT_EQ(Changes(planned), Texts{});
}

TEST(EntryStepsTest, OfTwoEntriesThatShareAClusterTheOneOutOfLineIsMended) {
  TestImage image;
  image.header.size = 41 * image.cluster_size();
  for (uint64_t i = 8; i < 12; ++i) SetCount(image, i, 1);
  for (const auto& [index, cluster] :
       {std::pair{10, 8}, {11, 9}, {39, 10}, {40, 9}}) {
    SetL2(image, index, image.OffsetOf(cluster) | kCopiedFlag);
  }
  // Entry 40 was 11, in line with entry 39; entry 11 is in line as it is.
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 40), image.OffsetOf(11) | kCopiedFlag);
  EXPECT_EQ(L2At(image, planned, 11), image.OffsetOf(9) | kCopiedFlag);
  EXPECT_EQ(Changes(planned), Texts{"recovered 163840+4096"});
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, L1EntryThatNamesGuestDataIsMendedToTheOrphanTable) {
  TestImage image;
  std::string text;
  while (text.size() < 4096) text += "The quick brown fox jumps over it. ";
  text.resize(4096);
  image.WriteText(image.OffsetOf(kData), text);
  const uint64_t entry = image.OffsetOf(kL2) | kCopiedFlag;
  image.WriteBe64(image.OffsetOf(kL1), image.OffsetOf(kData) | kCopiedFlag);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL1)), entry);
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, TableThatIsFoundIsMendedAsWell) {
  TestImage image;
  const uint64_t entry = image.OffsetOf(kL2) | kCopiedFlag;
  image.WriteBe64(image.OffsetOf(kL1), entry ^ uint64_t{1} << 40);
  SetL2(image, 1, DataEntry(image, 1) ^ uint64_t{1} << 41);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL1)), entry);
  EXPECT_EQ(L2At(image, planned, 1), DataEntry(image, 1));
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, EntryThatLostItsOnlyBitIsMended) {
  TestImage image;
  // Cluster 8 is a power of two.
  SetL2(image, 2, kCopiedFlag);
  SetCount(image, kData + 2, 0);
  SetCount(image, 8, 1);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 2), image.OffsetOf(8) | kCopiedFlag);
  EXPECT_EQ(Changes(planned), Texts{"recovered 8192+4096"});
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, L1EntryThatNamesAnOrphanOfOtherShapeIsCleared) {
  TestImage image;
  image.WriteBe64(image.OffsetOf(kL1),
                  (image.OffsetOf(kL2) | kCopiedFlag) ^ uint64_t{1} << 41);
  image.WriteText(image.OffsetOf(kL2), std::string(4096, 'x'));
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL1)), 0);
  EXPECT_EQ(Changes(planned), Texts{"lost 0+12288"});
}

TEST(EntryStepsTest, L1EntryThatNamesTheWrongTableIsMended) {
  TestImage image;
  const uint64_t entry = image.OffsetOf(kL2) | kCopiedFlag;
  image.WriteBe64(image.OffsetOf(kL1), entry ^ image.OffsetOf(8));
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL1)), entry);
  EXPECT_EQ(Changes(planned), Texts{"recovered 0+12288"});
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, L1EntryWithFlagsOnlyIsCleared) {
  TestImage image;
  image.header.size = 3 * image.cluster_size();
  image.header.l1_size = 2;
  image.WriteBe64(image.OffsetOf(kL1) + 8, kCopiedFlag);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL1) + 8), 0);
  EXPECT_EQ(Changes(planned), Texts{});
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, Version2WithBackingFileGetsAClusterOfZeros) {
  TestImage image(2);
  image.header.backing_file_offset = HostOffset(512);
  image.header.backing_file_size = 4;
  image.WriteText(512, "base");
  SetL2(image, 1, PastEnd(image));
  SetCount(image, kData + 1, 0);
  image.WriteText(image.OffsetOf(kData + 1), std::string(4096, 'x'));
  const Planned planned = PlanFor(image.file());
  const uint64_t entry = L2At(image, planned, 1);
  EXPECT_NE(entry & kL2OffsetMask, 0);
  EXPECT_EQ(Be64At(*planned.view, entry & kL2OffsetMask), 0);
  EXPECT_EQ(Changes(planned), Texts{"lost 4096+4096"});
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, ZeroFlagOfVersion2IsCleared) {
  TestImage image(2);
  SetL2(image, 1, DataEntry(image, 1) | kZeroFlag);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), DataEntry(image, 1));
  // No program that knows the format read it.
  EXPECT_EQ(Changes(planned), Texts{"recovered 4096+4096"});
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, OverwrittenTableIsLeftAlone) {
  TestImage image;
  std::string text;
  while (text.size() < 4096) text += "The quick brown fox jumps over it. ";
  text.resize(4096);
  image.WriteText(image.OffsetOf(kL2), text);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL2)),
            Be64At(image.file(), image.OffsetOf(kL2)));
  EXPECT_EQ(Changes(planned), Texts{});
}

TEST(EntryStepsTest, CutOffFileIsMendedThroughout) {
  TestImage image;
  image.header.size = 500 * image.cluster_size();
  for (uint64_t i = 0; i < 500; ++i) {
    SetL2(image, i, image.OffsetOf(kData + i) | kCopiedFlag);
  }
  image.Truncate(image.OffsetOf(kFree));
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 2), DataEntry(image, 2));
  EXPECT_EQ(L2At(image, planned, 3), kZeroFlag);
  EXPECT_EQ(L2At(image, planned, 499), kZeroFlag);
  EXPECT_EQ(Changes(planned), Texts{"lost 12288+2035712"});
  EXPECT_EQ(planned.repair.plan.edits().size(), 1);
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, L1EntryWithAReservedBitAsWellIsMended) {
  TestImage image;
  const uint64_t entry = image.OffsetOf(kL2) | kCopiedFlag;
  image.WriteBe64(image.OffsetOf(kL1), (entry ^ uint64_t{1} << 40) | 1);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL1)), entry);
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, EntryThatNamesItsOwnTableIsMended) {
  TestImage image;
  // 6 became 4.
  SetL2(image, 1, DataEntry(image, 1) ^ image.OffsetOf(2));
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), DataEntry(image, 1));
  EXPECT_EQ(Changes(planned), Texts{"recovered 4096+4096"});
  ExpectCleanAndDone(planned);
}

TEST(EntryStepsTest, DirtyImagesKeepEntriesThatCanBeRead) {
  TestImage image;
  image.header.incompatible_features |= kIncompatibleDirty;
  SetL2(image, 1, DataEntry(image, 1 + 8));
  const Planned planned = PlanFor(image.file());
  // Counts lag behind: they are no evidence.
  EXPECT_EQ(L2At(image, planned, 1), DataEntry(image, 1 + 8));
  EXPECT_EQ(Changes(planned), Texts{});
}

TEST(EntryStepsTest, EntriesOfAnExternalDataFileAreLeft) {
  TestImage image;
  image.header.incompatible_features |= kIncompatibleDataFile;
  image.AddExtension(kExtensionDataFile, checker::BytesOf("data"));
  for (uint64_t i = kData; i < kFree; ++i) SetCount(image, i, 0);
  SetL2(image, 1, DataEntry(image, 1) | 0x200);
  SetL2(image, 2, DataEntry(image, 2) | uint64_t{1} << 57);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), DataEntry(image, 1) | 0x200);
  // A bit that nobody reads can go.
  EXPECT_EQ(L2At(image, planned, 2), DataEntry(image, 2));
  EXPECT_EQ(Changes(planned), Texts{});
}

// The bit that says so was lost, the name was not.
TEST(EntryStepsTest, PlacesThatMayBeInADataFileAreLeft) {
  TestImage image;
  image.AddExtension(kExtensionDataFile, checker::BytesOf("data"));
  SetL2(image, 1, PastEnd(image));
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), PastEnd(image));
  EXPECT_EQ(EditOf(planned, Problem::kL2EntryPastEnd), nullptr);
}

TEST(EntryStepsTest, TablesWithABadSpotAreLeft) {
  TestImage image;
  SetL2(image, 1, PastEnd(image));
  SetCount(image, kData + 1, 0);
  FaultyFile file(image.file());
  file.FailReadsIn({image.OffsetOf(kL2) + 2048, 512});
  const Planned planned = PlanFor(file);
  EXPECT_EQ(L2At(image, planned, 1), PastEnd(image));
  EXPECT_EQ(EditOf(planned, Problem::kL2EntryPastEnd), nullptr);
}

// Everything belongs to the active disk and to a snapshot.
TEST(EntryStepsTest, RangesOfAllDisksThatShareATableAreNamed) {
  TestImage image;
  image.WriteBe64(image.OffsetOf(kL1), image.OffsetOf(kL2));
  image.WriteBe64(image.OffsetOf(8), image.OffsetOf(kL2));
  SnapshotEntry snapshot;
  snapshot.l1_table_offset = HostOffset(image.OffsetOf(8));
  snapshot.l1_size = 1;
  snapshot.id = "1";
  snapshot.name = "first";
  snapshot.extra_data.resize(16);
  StoreBe64(snapshot.extra_data.data() + 8, image.header.size);
  const std::array<SnapshotEntry, 1> entries = {snapshot};
  image.Write(image.OffsetOf(9), EncodeSnapshotTable(entries));
  image.header.nb_snapshots = 1;
  image.header.snapshots_offset = HostOffset(image.OffsetOf(9));
  for (uint64_t i = kL2; i < kFree; ++i) SetCount(image, i, 2);
  SetCount(image, 8, 1);
  SetCount(image, 9, 1);
  SetL2(image, 0, image.OffsetOf(kData) | 0x400);
  SetL2(image, 1, PastEnd(image));
  SetL2(image, 2, image.OffsetOf(kData + 2));
  SetCount(image, kData + 1, 0);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 0), image.OffsetOf(kData));
  EXPECT_EQ(L2At(image, planned, 1), kZeroFlag);
  EXPECT_EQ(Changes(planned),
            (Texts{"recovered 0+4096", "lost 4096+4096",
                   "recovered 0+4096first", "lost 4096+4096first"}));
  ExpectCleanAndDone(planned);
}

// ---- compressed clusters ---------------------------------------------------

class CompressedEntryTest : public testing::Test {
 protected:
  CompressedEntryTest() {
    std::vector<std::byte> cluster(image_.cluster_size());
    uint32_t random = 1;
    for (std::byte& byte : cluster) {
      random = random * 1664525 + 1013904223;
      byte = std::byte(random >> 28);
    }
    const auto data = CompressCluster(CompressionType::kDeflate, cluster);
    image_.Write(kOffset, *data);
    const uint64_t sectors = (kOffset % 512 + data->size() + 511) / 512;
    entry_ = L2Entry::FromCompressed({HostOffset(kOffset), 0, sectors},
                                     *Geometry::Create(12, 4, false))
                 .raw();
    SetL2(image_, 1, entry_);
  }

  static constexpr uint64_t kOffset = 0x6064;
  TestImage image_;
  uint64_t entry_ = 0;
};

TEST_F(CompressedEntryTest, CopiedFlagIsCleared) {
  SetL2(image_, 1, entry_ | kCopiedFlag);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(L2At(image_, planned, 1), entry_);
  EXPECT_EQ(Changes(planned), Texts{});
  ExpectCleanAndDone(planned);
}

TEST_F(CompressedEntryTest, FlippedBitOfTheOffsetIsMended) {
  SetL2(image_, 1, entry_ ^ uint64_t{1} << 40);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(L2At(image_, planned, 1), entry_);
  EXPECT_EQ(Changes(planned), Texts{"recovered 4096+4096"});
  EXPECT_NE(EditOf(planned, Problem::kCompressedPastEnd), nullptr);
  ExpectCleanAndDone(planned);
}

TEST_F(CompressedEntryTest, TooManySectorsAreShortened) {
  // Five sectors are named, the file ends after the data's last.
  image_.Truncate(0x7000);
  image_.header.size = 2 * image_.cluster_size();
  SetL2(image_, 2, 0);
  SetL2(image_, 1, entry_ | uint64_t{15} << 58);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(L2At(image_, planned, 1), entry_);
  EXPECT_EQ(Changes(planned), Texts{});
}

TEST_F(CompressedEntryTest, LostCompressedFlagIsMended) {
  SetL2(image_, 1, entry_ & ~kCompressedFlag);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(L2At(image_, planned, 1), entry_);
  ExpectCleanAndDone(planned);
}

TEST_F(CompressedEntryTest, GainedCompressedFlagIsMended) {
  SetL2(image_, 1, entry_);
  SetL2(image_, 2, DataEntry(image_, 2) | kCompressedFlag);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(L2At(image_, planned, 2), DataEntry(image_, 2));
  EXPECT_EQ(Changes(planned), Texts{"recovered 8192+4096"});
  ExpectCleanAndDone(planned);
}

TEST_F(CompressedEntryTest, DataPastTheEndStaysUnlessSalvaged) {
  const uint64_t lost = kCompressedFlag | 0x7123456;
  SetL2(image_, 1, lost);
  SetCount(image_, kData + 1, 0);
  EXPECT_EQ(L2At(image_, PlanFor(image_.file()), 1), lost);
  const Planned salvaged = PlanFor(image_.file(), Mode::kSalvage);
  EXPECT_EQ(L2At(image_, salvaged, 1), kZeroFlag);
  EXPECT_EQ(Changes(salvaged), Texts{"lost 4096+4096"});
  ExpectCleanAndDone(salvaged, Mode::kSalvage);
}

// ---- extended L2 entries
// ------------------------------------------------------

class ExtendedEntryTest : public testing::Test {
 protected:
  ExtendedEntryTest() : image_(3, 14) {
    image_.header.incompatible_features |= kIncompatibleExtendedL2;
    for (uint64_t i = 0; i < 3; ++i) {
      Set(i, image_.OffsetOf(kData + i) | kCopiedFlag, 0xffffffff);
    }
    image_.WriteText(image_.OffsetOf(kData + 1),
                     std::string(image_.cluster_size(), 'x'));
  }

  void Set(uint64_t index, uint64_t raw, uint64_t bitmap) {
    image_.WriteBe64(image_.OffsetOf(kL2) + 16 * index, raw);
    image_.WriteBe64(image_.OffsetOf(kL2) + 16 * index + 8, bitmap);
  }
  L2Entry At(const Planned& planned, uint64_t index) const {
    const uint64_t offset = image_.OffsetOf(kL2) + 16 * index;
    return L2Entry(Be64At(*planned.view, offset),
                   Be64At(*planned.view, offset + 8));
  }
  uint64_t Entry(uint64_t index) const { return DataEntry(image_, index); }

  TestImage image_;
};

TEST_F(ExtendedEntryTest, PastTheEndKeepsWhatTheSubclustersRead) {
  // 0 to 3 data, 4 and 5 zeros, the rest from the backing file.
  Set(1, PastEnd(image_), uint64_t{0x30} << 32 | 0xf);
  SetCount(image_, kData + 1, 0);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(At(planned, 1), L2Entry(0, uint64_t{0x3f} << 32));
  EXPECT_EQ(Changes(planned), Texts{"lost 16384+2048"});
  ExpectCleanAndDone(planned);
}

TEST_F(ExtendedEntryTest, FlippedBitIsMendedToTheOrphan) {
  Set(1, Entry(1) ^ uint64_t{1} << 44, uint64_t{0x30} << 32 | 0xf);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(At(planned, 1), L2Entry(Entry(1), uint64_t{0x30} << 32 | 0xf));
  EXPECT_EQ(Changes(planned), Texts{"recovered 16384+2048"});
  ExpectCleanAndDone(planned);
}

TEST_F(ExtendedEntryTest, ZeroFlagIsCleared) {
  Set(1, Entry(1) | kZeroFlag, 0xffffffff);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(At(planned, 1), L2Entry(Entry(1), 0xffffffff));
  EXPECT_EQ(Changes(planned), Texts{});
  ExpectCleanAndDone(planned);
}

TEST_F(ExtendedEntryTest, ContradictionStaysUnlessSalvaged) {
  const L2Entry damaged(Entry(1), uint64_t{4} << 32 | 0xffffffff);
  Set(1, damaged.raw(), damaged.bitmap());
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(At(planned, 1), damaged);
  const Planned salvaged = PlanFor(image_.file(), Mode::kSalvage);
  EXPECT_EQ(At(salvaged, 1), L2Entry(Entry(1), 0xffffffff));
  EXPECT_EQ(Changes(salvaged), Texts{"recovered 16384+16384"});
  ExpectCleanAndDone(salvaged, Mode::kSalvage);
}

TEST_F(ExtendedEntryTest, ContradictionOverZerosIsNone) {
  // Cluster 5 holds zeros: whichever bit is right, the guest reads the same.
  Set(0, Entry(0), uint64_t{4} << 32 | 0xffffffff);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(At(planned, 0), L2Entry(Entry(0), uint64_t{4} << 32 | 0xfffffffb));
  EXPECT_EQ(Changes(planned), Texts{"recovered 0+16384"});
  ExpectCleanAndDone(planned);
}

TEST_F(ExtendedEntryTest, AllocatedWithoutOffsetStaysUnlessSalvaged) {
  Set(1, 0, uint64_t{2} << 32 | 1);
  SetCount(image_, kData + 1, 0);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(At(planned, 1), L2Entry(0, uint64_t{2} << 32 | 1));
  const Planned salvaged = PlanFor(image_.file(), Mode::kSalvage);
  EXPECT_EQ(At(salvaged, 1), L2Entry(0, uint64_t{3} << 32));
  EXPECT_EQ(Changes(salvaged),
            (Texts{"lost 16384+512", "recovered 16896+15872"}));
  ExpectCleanAndDone(salvaged, Mode::kSalvage);
}

TEST_F(ExtendedEntryTest, AllocatedWithoutOffsetIsMendedToTheOrphan) {
  Set(1, kCopiedFlag, 0xffffffff);
  SetCount(image_, kData + 1, 0);
  SetCount(image_, 8, 1);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(At(planned, 1),
            L2Entry(image_.OffsetOf(8) | kCopiedFlag, 0xffffffff));
  EXPECT_EQ(Changes(planned), Texts{"recovered 16384+16384"});
  ExpectCleanAndDone(planned);
}

TEST_F(ExtendedEntryTest, UnalignedWithoutDataNeedsNoCluster) {
  Set(1, Entry(1) | 0x800, uint64_t{0xf} << 32);
  SetCount(image_, kData + 1, 0);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(At(planned, 1), L2Entry(0, uint64_t{0xf} << 32));
  EXPECT_EQ(Changes(planned), Texts{"recovered 16384+16384"});
  ExpectCleanAndDone(planned);
}

}  // namespace
}  // namespace qcow2::repair
