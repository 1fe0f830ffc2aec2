#include "engine/format/feature_name_table.h"

#include <algorithm>
#include <string>

#include "engine/format/test_bytes.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

std::vector<std::byte> Row(int kind, int bit, const std::string& name) {
  std::vector<std::byte> row(kFeatureNameRowSize);
  row[0] = static_cast<std::byte>(kind);
  row[1] = static_cast<std::byte>(bit);
  std::transform(name.begin(), name.end(), row.begin() + 2,
                 [](char c) { return static_cast<std::byte>(c); });
  return row;
}

TEST(FeatureNameTableTest, DecodesRowsAndLeavesARemainder) {
  std::vector<std::byte> data = Row(0, 9, "nine");
  const std::vector<std::byte> second = Row(2, 63, std::string(46, 'x'));
  data.insert(data.end(), second.begin(), second.end());
  data.resize(data.size() + 47, std::byte{1});
  const std::vector<FeatureName> rows = DecodeFeatureNames(data);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].kind, 0);
  EXPECT_EQ(rows[0].bit, 9);
  EXPECT_EQ(rows[0].name(), "nine");
  EXPECT_EQ(rows[1].name(), std::string(46, 'x'));
}

TEST(FeatureNameTableTest, RandomRowsRoundTrip) {
  std::mt19937 random(1);
  for (int i = 0; i < 200; ++i) {
    const std::vector<std::byte> bytes =
        RandomBytes(random, kFeatureNameRowSize);
    const auto encoded = FeatureName::Decode(bytes).Encode();
    ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), encoded.begin()));
  }
}

TEST(FeatureNameTableTest, ImageNamesOnlyWhatIsUnknownHere) {
  const std::vector<FeatureName> table = {
      FeatureName::Decode(Row(0, 4, "a lie")),
      FeatureName::Decode(Row(0, 5, "sixth")),
      FeatureName::Decode(Row(0, 5, "second name")),
      FeatureName::Decode(Row(7, 6, "no kind"))};
  using enum FeatureKind;
  EXPECT_EQ(NameOfFeature(kIncompatible, 4, table), "extended L2 entries");
  EXPECT_EQ(NameOfFeature(kIncompatible, 5, table), "sixth");
  EXPECT_EQ(NameOfFeature(kIncompatible, 6, table), "");
  EXPECT_EQ(NameOfFeature(kCompatible, 5, table), "");
  EXPECT_EQ(NameOfFeature(kCompatible, 0, {}), "lazy refcounts");
  EXPECT_EQ(NameOfFeature(kAutoclear, 1, {}), "raw external data");
}

}  // namespace
}  // namespace qcow2
