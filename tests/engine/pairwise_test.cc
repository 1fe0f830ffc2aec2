#include "tests/engine/pairwise.h"

#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/image_matrix.h"

namespace qcow2 {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAreArray;

TEST(PairwiseTest, RowsAreInOrderAndByTheRule) {
  EXPECT_THAT(
      AllRows({2, 2}, [](const FactorRow& row) { return row[0] + row[1] < 2; }),
      ElementsAre(FactorRow{0, 0}, FactorRow{0, 1}, FactorRow{1, 0}));
}

TEST(PairwiseTest, PairsOfARow) {
  EXPECT_EQ(PairsIn({{1, 0, 2}}),
            (std::set<FactorPair>{{0, 1, 1, 0}, {0, 1, 2, 2}, {1, 0, 2, 2}}));
}

TEST(PairwiseTest, NinePairsOfThreeValuesInAsFewRows) {
  const auto all = AllRows({3, 3, 3}, [](const FactorRow&) { return true; });
  const auto rows = PairwiseRows(all);
  EXPECT_EQ(PairsIn(rows), PairsIn(all));
  EXPECT_GE(rows.size(), 9u);
  EXPECT_LE(rows.size(), 12u);
}

TEST(ImageMatrixTest, FewImagesHaveEachPair) {
  const auto possible = PossibleImages();
  const auto chosen = PairwiseRows(possible);
  EXPECT_EQ(PairsIn(chosen), PairsIn(possible));
  EXPECT_LT(chosen.size(), 40u);
}

// What no image of the matrix can have, so that a rule that forbids too much is
// noticed.
TEST(ImageMatrixTest, PairsThatCannotBe) {
  std::vector<size_t> sizes;
  for (const MatrixFactor& factor : MatrixFactors()) {
    sizes.push_back(factor.values.size());
  }
  const auto anything = [](const FactorRow&) { return true; };
  const std::set<FactorPair> possible = PairsIn(PossibleImages());
  std::vector<std::string> missing;
  for (const FactorPair& pair : PairsIn(AllRows(sizes, anything))) {
    if (!possible.contains(pair)) missing.push_back(PairName(pair));
  }
  EXPECT_THAT(missing, UnorderedElementsAreArray(
                           {"version=2 refcount=1",
                            "version=2 refcount=8",
                            "version=2 refcount=64",
                            "version=2 compression=zstd",
                            "version=2 extended_l2=on",
                            "version=2 data_file=own",
                            "version=2 data_file=raw",
                            "version=2 bitmap=one",
                            "version=2 lazy=on",
                            "cluster=512 extended_l2=on",
                            "cluster=4K extended_l2=on",
                            "refcount=1 snapshots=some",
                            "encryption=aes data_file=raw",
                            "encryption=luks data_file=raw",
                            "encryption=aes preallocation=metadata",
                            "encryption=luks preallocation=metadata",
                            "data_file=own snapshots=some",
                            "data_file=raw snapshots=some",
                            "data_file=raw backing=raw",
                            "data_file=raw backing=qcow2"}));
}

}  // namespace
}  // namespace qcow2
