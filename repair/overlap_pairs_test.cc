// Separating owners of shared clusters: every pair of owners in one small
// image, and what can be read afterwards.
#include <cstdint>
#include <string>
#include <tuple>

#include "engine/format/entry_flags.h"
#include "engine/format/l1_entry.h"
#include "engine/format/l2_entry.h"
#include "gtest/gtest.h"
#include "repair/overlap_testing.h"
#include "repair/testing.h"

namespace qcow2::repair {
namespace {

// Something whose place can be set, and the cluster it lands on.
struct Mover {
  std::string name;
  void (*put)(FullImage& image, uint64_t offset);
};

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
    {"ActiveL2", [](FullImage& i, uint64_t o) { i.SetL1(1, o | kCopiedFlag); }},
    {"SnapshotL2",
     [](FullImage& i, uint64_t o) {
       i.WriteBe64(i.OffsetOf(kSnapshotL1) + 8, o);
     }},
    {"GuestData",
     [](FullImage& i, uint64_t o) { i.SetL2(5, o | kCopiedFlag); }},
    {"SnapshotData",
     [](FullImage& i, uint64_t o) {
       i.WriteBe64(i.OffsetOf(kSnapshotL2) + 80, o);
     }},
    {"CompressedData",
     [](FullImage& i, uint64_t o) {
       // Sectors from the middle of the cluster on.
       i.SetL2(5, kCompressedFlag | uint64_t{1} << 58 | (o + 1111));
     }},
    {"CompressedDataOfTwoClusters",
     [](FullImage& i, uint64_t o) {
       i.SetL2(5, kCompressedFlag | uint64_t{3} << 58 | (o + 3333));
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
  EXPECT_FALSE(HasOverlap(run.after)) << Describe(run.after);
  ExpectReadsTheSame(file, *run.view);
}

INSTANTIATE_TEST_SUITE_P(
    All, PairTest,
    testing::Combine(testing::ValuesIn(kMovers), testing::ValuesIn(kTargets)),
    [](const testing::TestParamInfo<PairTest::ParamType>& info) {
      return std::get<0>(info.param).name + "On" + std::get<1>(info.param).name;
    });

// The bytes of a cluster encrypted with LUKS mean something at their place
// only.
TEST(OverlapPairsTest, WithLuksTheMetadataMoves) {
  for (const Target& target : kTargets) {
    if (target.cluster == 0) continue;
    FullImage image(/*luks=*/true);
    image.SetL2(5, image.OffsetOf(target.cluster));
    const Planned planned = PlanFor(image.file());
    ExpectSeparated(image.file(), planned);
    const uint64_t l1 = Be64At(*planned.view, 40);
    const uint64_t l2 = Be64At(*planned.view, l1) & kL1OffsetMask;
    EXPECT_EQ(Be64At(*planned.view, l2 + 40) & kL2OffsetMask,
              image.OffsetOf(target.cluster))
        << target.name;
  }
}

}  // namespace
}  // namespace qcow2::repair
