// Planning the repair of header extensions: each kind of damage to a small
// image, and what the list is afterwards.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checker/test_image.h"
#include "engine/format/entry_flags.h"
#include "engine/format/header.h"
#include "engine/format/header_extension.h"
#include "engine/format/luks_extension.h"
#include "engine/format/luks_header.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"
#include "repair/testing.h"

namespace qcow2::repair {
namespace {

using checker::BytesOf;
using checker::Problem;
using checker::TestImage;

constexpr uint64_t kPastEnd = 0x100000;

std::vector<std::byte> FeatureRow(uint8_t kind, uint8_t bit,
                                  std::string_view name) {
  std::vector<std::byte> row = {std::byte(kind), std::byte(bit)};
  const std::vector<std::byte> text = BytesOf(name);
  row.insert(row.end(), text.begin(), text.end());
  row.resize(48);
  return row;
}

TEST(ExtensionStepTest, OverflowingExtensionIsLeftOutAndTheNextOnesAreFound) {
  TestImage image;
  image.AddExtension(0x11111111, BytesOf("kept, padded"));
  image.AddExtension(0x22222222, BytesOf("damaged."));
  image.AddExtension(kExtensionFeatureNames, FeatureRow(0, 9, "nine"));
  image.AddExtension(0x33333333, BytesOf("kept"));
  const uint64_t damaged = PlaceOf(image.file(), 0x22222222);
  std::vector<std::byte> length(4, std::byte{0x7f});
  image.Write(damaged + 4, length);
  const Planned planned = ExpectMended(image, Problem::kExtensionOverflow);
  EXPECT_EQ(PlaceOf(*planned.view, 0x11111111), 112);
  EXPECT_EQ(PlaceOf(*planned.view, 0x22222222), 0);
  const uint64_t names = PlaceOf(*planned.view, kExtensionFeatureNames);
  EXPECT_EQ(names, damaged);
  EXPECT_EQ(BytesAt(*planned.view, names + 8, 48), FeatureRow(0, 9, "nine"));
  EXPECT_EQ(BytesAt(*planned.view, PlaceOf(*planned.view, 0x33333333) + 8, 4),
            BytesOf("kept"));
}

TEST(ExtensionStepTest, LengthThatTheContentTellsIsMended) {
  TestImage image;
  image.AddExtension(kExtensionDataFile, BytesOf("disk.data"));
  image.AddExtension(0x33333333, BytesOf("kept"));
  image.header.incompatible_features = kIncompatibleDataFile;
  // Guest clusters are in the data file then.
  image.SetL1(0, 0);
  for (uint64_t cluster = 4; cluster < 8; ++cluster) {
    image.SetCount(cluster, 0);
  }
  image.file();
  image.Write(112 + 4, std::vector<std::byte>(4, std::byte{0x7f}));
  const Planned planned = ExpectMended(image, Problem::kExtensionOverflow);
  EXPECT_EQ(Be32At(*planned.view, 112 + 4), 9);
  EXPECT_EQ(PlaceOf(*planned.view, 0x33333333), 112 + 24);
}

TEST(ExtensionStepTest, UnmarkedEndIsMarkedAndTheBackingNameMoves) {
  TestImage image;
  image.AddExtension(0x33333333, BytesOf("kept"));
  image.header.backing_file_offset = HostOffset(112 + 16 + 4);
  image.header.backing_file_size = 8;
  image.WriteText(112 + 16 + 4, "base.raw");
  const Planned planned = ExpectMended(image, Problem::kExtensionOverflow);
  const Header header = HeaderOf(*planned.view);
  EXPECT_EQ(header.backing_file_offset.value(), 112 + 16 + 8);
  EXPECT_EQ(BytesAt(*planned.view, 112 + 16 + 8, 8), BytesOf("base.raw"));
  EXPECT_EQ(BytesAt(*planned.view, 112 + 8, 4), BytesOf("kept"));
}

TEST(ExtensionStepTest, OnlyTheLastOfAKindStays) {
  TestImage image;
  image.AddExtension(kExtensionFeatureNames, FeatureRow(0, 8, "first"));
  image.AddExtension(0x33333333, BytesOf("kept"));
  image.AddExtension(kExtensionFeatureNames, FeatureRow(0, 9, "last"));
  image.AddExtension(0x33333333, BytesOf("as well"));
  const Planned planned = ExpectMended(image, Problem::kExtensionDuplicate);
  EXPECT_EQ(PlaceOf(*planned.view, 0x33333333), 112);
  EXPECT_EQ(BytesAt(*planned.view, 112 + 16 + 8, 48), FeatureRow(0, 9, "last"));
  EXPECT_EQ(BytesAt(*planned.view, 112 + 16 + 56 + 8, 7), BytesOf("as well"));
}

TEST(ExtensionStepTest, ExtensionOfAWrongLengthIsLeftOut) {
  TestImage image;
  image.AddExtension(kExtensionBitmaps, BytesOf("far too short"));
  image.AddExtension(0x33333333, BytesOf("kept"));
  image.header.autoclear_features = kAutoclearBitmaps;
  const Planned planned = ExpectMended(image, Problem::kExtensionLength);
  EXPECT_EQ(PlaceOf(*planned.view, kExtensionBitmaps), 0);
  EXPECT_EQ(PlaceOf(*planned.view, 0x33333333), 112);
  EXPECT_EQ(HeaderOf(*planned.view).autoclear_features, 0);
}

TEST(ExtensionStepTest, LuksPointerOfAnEncryptedImageIsNeverLeftOut) {
  TestImage image;
  image.header.crypt_method = kCryptLuks;
  image.AddExtension(kExtensionLuks, BytesOf("not a pointer"));
  ExpectLeft(image, Problem::kExtensionLength);
}

TEST(ExtensionStepTest, FeatureNamesThatMakeSenseStay) {
  TestImage image;
  std::vector<std::byte> rows = FeatureRow(0, 9, "nine");
  for (const auto& row :
       {FeatureRow(3, 9, "no kind"), FeatureRow(2, 60, "x")}) {
    rows.insert(rows.end(), row.begin(), row.end());
  }
  image.AddExtension(kExtensionFeatureNames, rows);
  image.AddExtension(0x33333333, BytesOf("kept"));
  const Planned planned = ExpectMended(image, Problem::kFeatureNameTable);
  EXPECT_EQ(Be32At(*planned.view, 112 + 4), 96);
  EXPECT_EQ(BytesAt(*planned.view, 112 + 8 + 48, 48), FeatureRow(2, 60, "x"));
  EXPECT_EQ(PlaceOf(*planned.view, 0x33333333), 112 + 8 + 96);
}

// Cluster 8 as the LUKS header that the extension names.
void AddLuksPointer(TestImage& image) {
  const LuksExtension extension = {HostOffset(image.OffsetOf(8)),
                                   image.cluster_size()};
  image.AddExtension(kExtensionLuks, extension.Encode());
  image.SetCount(8, 1);
}

TEST(ExtensionStepTest, LuksPointerWithoutLuksIsLeftOut) {
  TestImage image;
  AddLuksPointer(image);
  const Planned planned = ExpectMended(image, Problem::kLuksUnexpected);
  EXPECT_EQ(PlaceOf(*planned.view, kExtensionLuks), 0);
}

TEST(ExtensionStepTest, LuksHeaderTellsTheCryptMethod) {
  TestImage image;
  AddLuksPointer(image);
  image.Write(image.OffsetOf(8), kLuksMagic);
  image.Write(image.OffsetOf(8) + 6, std::vector<std::byte>{{}, std::byte{1}});
  const Planned planned = PlanDeeply(image.file());
  EXPECT_TRUE(planned.repair.before.Found(Problem::kLuksUnexpected));
  EXPECT_FALSE(planned.repair.after.Found(Problem::kLuksUnexpected));
  EXPECT_EQ(HeaderOf(*planned.view).crypt_method, kCryptLuks);
}

TEST(ExtensionStepTest, DataFileNameGoesOnlyWhenAskedAndFromASoundImage) {
  TestImage image;
  image.AddExtension(kExtensionDataFile, BytesOf("disk.data"));
  ExpectLeft(image, Problem::kDataFileNameUnexpected);
  const Planned planned = ExpectMended(image, Problem::kDataFileNameUnexpected,
                                       WithMode(Mode::kSalvage));
  EXPECT_EQ(PlaceOf(*planned.view, kExtensionDataFile), 0);
  // An entry past the end of the file might be one of the data file.
  image.SetL2(0, kPastEnd | kCopiedFlag);
  const Planned doubtful = PlanDeeply(image.file());
  EXPECT_NE(PlaceOf(*doubtful.view, kExtensionDataFile), 0);
}

// An image whose backing file is `backing`, by the format `format`.
RepairOptions WithBacking(TestImage& image, std::string_view format,
                          std::shared_ptr<MemoryFile> backing) {
  image.AddExtension(kExtensionBackingFormat, BytesOf(format));
  image.AddExtension(0x33333333, BytesOf("kept"));
  image.header.backing_file_offset = HostOffset(1024);
  image.header.backing_file_size = 4;
  image.WriteText(1024, "base");
  RepairOptions options;
  options.check.open_other_file =
      [backing = std::move(backing)](
          const std::string&,
          const std::string&) -> absl::StatusOr<std::unique_ptr<File>> {
    return std::unique_ptr<File>(std::make_unique<MemoryFile>(*backing));
  };
  return options;
}

TEST(ExtensionStepTest, BackingFormatIsThatOfTheBackingFile) {
  TestImage image;
  TestImage base;
  const RepairOptions options =
      WithBacking(image, "qcowx", std::make_shared<MemoryFile>(base.file()));
  const Planned planned = ExpectMended(image, Problem::kBackingFormat, options);
  EXPECT_EQ(BytesAt(*planned.view, 112 + 8, 5), BytesOf("qcow2"));
  EXPECT_EQ(PlaceOf(*planned.view, 0x33333333), 112 + 16);
  EXPECT_EQ(BytesAt(*planned.view, 1024, 4), BytesOf("base"));
}

TEST(ExtensionStepTest, BackingFormatThatMayHaveBeenRawStays) {
  TestImage image;
  TestImage base;
  const RepairOptions options =
      WithBacking(image, "rav", std::make_shared<MemoryFile>(base.file()));
  ExpectLeft(image, Problem::kBackingFormat, options);
}

TEST(ExtensionStepTest, BackingFormatOfAnUnknownFileStays) {
  TestImage image;
  auto base = std::make_shared<MemoryFile>();
  ASSERT_TRUE(base->Truncate(4096).ok());
  const RepairOptions options = WithBacking(image, "qcowx", base);
  ExpectLeft(image, Problem::kBackingFormat, options);
}

}  // namespace
}  // namespace qcow2::repair
