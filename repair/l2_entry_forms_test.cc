// Planning the repair of compressed and of extended L2 entries: each kind of
// damage to a small image, and what the entry is afterwards.
#include <cstdint>
#include <string>
#include <vector>

#include "checker/test_image.h"
#include "engine/codec/deflate.h"
#include "engine/format/entry_flags.h"
#include "engine/format/l2_entry.h"
#include "gtest/gtest.h"
#include "repair/entry_testing.h"
#include "repair/testing.h"

namespace qcow2::repair {
namespace {

using checker::Problem;
using checker::TestImage;

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
    entry_ = CompressedWord(image_, kOffset, sectors);
    image_.SetL2(1, entry_);
  }

  static constexpr uint64_t kOffset = 0x6064;
  TestImage image_;
  uint64_t entry_ = 0;
};

TEST_F(CompressedEntryTest, CopiedFlagIsCleared) {
  image_.SetL2(1, entry_ | kCopiedFlag);
  ExpectL2Mended(image_, 1, entry_, {});
}

TEST_F(CompressedEntryTest, FlippedBitOfTheOffsetIsMended) {
  image_.SetL2(1, entry_ ^ uint64_t{1} << 40);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(L2At(image_, planned, 1), entry_);
  EXPECT_EQ(GuestChangesOf(planned), Texts{"recovered 4096+4096"});
  EXPECT_NE(EditOf(planned, Problem::kCompressedPastEnd), nullptr);
  ExpectCleanAndDone(planned);
}

TEST_F(CompressedEntryTest, TooManySectorsAreShortened) {
  // Five sectors are named, the file ends after the data's last.
  image_.Truncate(0x7000);
  image_.header.size = 2 * image_.cluster_size();
  image_.SetL2(2, 0);
  image_.SetL2(1, entry_ | uint64_t{15} << 58);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(L2At(image_, planned, 1), entry_);
  EXPECT_EQ(GuestChangesOf(planned), Texts{});
}

TEST_F(CompressedEntryTest, LostCompressedFlagIsMended) {
  image_.SetL2(1, entry_ & ~kCompressedFlag);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(L2At(image_, planned, 1), entry_);
  ExpectCleanAndDone(planned);
}

TEST_F(CompressedEntryTest, GainedCompressedFlagIsMended) {
  image_.SetL2(1, entry_);
  image_.SetL2(2, DataEntry(image_, 2) | kCompressedFlag);
  ExpectL2Mended(image_, 2, DataEntry(image_, 2), {"recovered 8192+4096"});
}

TEST_F(CompressedEntryTest, DataPastTheEndStaysUnlessSalvaged) {
  const uint64_t lost = kCompressedFlag | 0x7123456;
  image_.SetL2(1, lost);
  image_.SetCount(kData + 1, 0);
  EXPECT_EQ(L2At(image_, PlanFor(image_.file()), 1), lost);
  ExpectL2Mended(image_, 1, kZeroFlag, {"lost 4096+4096"}, Mode::kSalvage);
}

// ---- extended L2 entries ----------------------------------------------------

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
  // Plans the repair: the entry becomes `entry`, the plan names `changes`, and
  // the view is clean and done.
  void ExpectEntryMended(uint64_t index, L2Entry entry, const Texts& changes,
                         Mode mode = Mode::kAll) {
    const Planned planned = PlanFor(image_.file(), WithMode(mode));
    EXPECT_EQ(At(planned, index), entry);
    ExpectDoneWith(changes, planned, mode);
  }
  uint64_t Entry(uint64_t index) const { return DataEntry(image_, index); }

  TestImage image_;
};

TEST_F(ExtendedEntryTest, PastTheEndKeepsWhatTheSubclustersRead) {
  // 0 to 3 data, 4 and 5 zeros, the rest from the backing file.
  Set(1, PastEnd(image_), uint64_t{0x30} << 32 | 0xf);
  image_.SetCount(kData + 1, 0);
  ExpectEntryMended(1, L2Entry(0, uint64_t{0x3f} << 32), {"lost 16384+2048"});
}

TEST_F(ExtendedEntryTest, FlippedBitIsMendedToTheOrphan) {
  Set(1, Entry(1) ^ uint64_t{1} << 44, uint64_t{0x30} << 32 | 0xf);
  ExpectEntryMended(1, L2Entry(Entry(1), uint64_t{0x30} << 32 | 0xf),
                    {"recovered 16384+2048"});
}

TEST_F(ExtendedEntryTest, ZeroFlagIsCleared) {
  Set(1, Entry(1) | kZeroFlag, 0xffffffff);
  ExpectEntryMended(1, L2Entry(Entry(1), 0xffffffff), {});
}

TEST_F(ExtendedEntryTest, ContradictionStaysUnlessSalvaged) {
  const L2Entry damaged(Entry(1), uint64_t{4} << 32 | 0xffffffff);
  Set(1, damaged.raw(), damaged.bitmap());
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(At(planned, 1), damaged);
  ExpectEntryMended(1, L2Entry(Entry(1), 0xffffffff), {"recovered 16384+16384"},
                    Mode::kSalvage);
}

TEST_F(ExtendedEntryTest, ContradictionOverZerosIsNone) {
  // Cluster 5 holds zeros: whichever bit is right, the guest reads the same.
  Set(0, Entry(0), uint64_t{4} << 32 | 0xffffffff);
  ExpectEntryMended(0, L2Entry(Entry(0), uint64_t{4} << 32 | 0xfffffffb),
                    {"recovered 0+16384"});
}

TEST_F(ExtendedEntryTest, AllocatedWithoutOffsetStaysUnlessSalvaged) {
  Set(1, 0, uint64_t{2} << 32 | 1);
  image_.SetCount(kData + 1, 0);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(At(planned, 1), L2Entry(0, uint64_t{2} << 32 | 1));
  ExpectEntryMended(1, L2Entry(0, uint64_t{3} << 32),
                    {"lost 16384+512", "recovered 16896+15872"},
                    Mode::kSalvage);
}

TEST_F(ExtendedEntryTest, AllocatedWithoutOffsetIsMendedToTheOrphan) {
  Set(1, kCopiedFlag, 0xffffffff);
  image_.SetCount(kData + 1, 0);
  image_.SetCount(8, 1);
  ExpectEntryMended(1, L2Entry(image_.OffsetOf(8) | kCopiedFlag, 0xffffffff),
                    {"recovered 16384+16384"});
}

TEST_F(ExtendedEntryTest, UnalignedWithoutDataNeedsNoCluster) {
  Set(1, Entry(1) | 0x800, uint64_t{0xf} << 32);
  image_.SetCount(kData + 1, 0);
  ExpectEntryMended(1, L2Entry(0, uint64_t{0xf} << 32),
                    {"recovered 16384+16384"});
}

}  // namespace
}  // namespace qcow2::repair
