#include "engine/image/luks_in_image.h"

#include <algorithm>
#include <string>
#include <vector>

#include "engine/codec/luks_create.h"
#include "engine/format/header_extension.h"
#include "engine/format/luks_extension.h"
#include "engine/image/create.h"
#include "engine/storage/file_operation.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/recording_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Secret First() { return Secret::FromText("first"); }
Secret Second() { return Secret::FromText("second"); }

// A LUKS image in memory that "first" opens.
void MakeImage(File& file) {
  LuksCreateOptions luks;
  luks.derivation.iterations = 1000;
  CreateOptions options;
  options.virtual_size = uint64_t{1} << 20;
  options.crypt_method = kCryptLuks;
  options.luks_area = CreateLuks(luks, First())->area;
  ASSERT_TRUE(CreateImage(file, nullptr, options).ok());
}

TEST(LuksInImageTest, AddedPassphraseIsInTheImageInSafeOrder) {
  MemoryFile memory;
  ASSERT_NO_FATAL_FAILURE(MakeImage(memory));
  RecordingFile file(memory);
  const auto area = ReadHeaderArea(file);
  ASSERT_TRUE(area.ok()) << area.status();
  const auto luks = LuksAreaOf(file, *area);
  ASSERT_TRUE(luks.ok()) << luks.status();
  LuksAddOptions options;
  options.derivation.iterations = 1000;
  const auto change = AddLuksKey(*luks, First(), Second(), options);
  ASSERT_TRUE(change.ok()) << change.status();
  ASSERT_TRUE(WriteLuksChange(*change, *area, file).ok());
  EXPECT_EQ(OpenLuks(*luks, Second())->slot, 1u);
  EXPECT_EQ(OpenLuks(*luks, First())->slot, 0u);

  std::vector<FileOperation> order;
  for (const RecordedOperation& done : file.operations()) {
    if (done.operation != FileOperation::kPread) {
      order.push_back(done.operation);
    }
  }
  EXPECT_THAT(order,
              ElementsAre(FileOperation::kPwrite, FileOperation::kFlush,
                          FileOperation::kPwrite, FileOperation::kFlush,
                          FileOperation::kPwrite, FileOperation::kFlush));
}

TEST(LuksInImageTest, ImageMustSayWhereItIs) {
  MemoryFile file;
  ASSERT_NO_FATAL_FAILURE(MakeImage(file));
  const HeaderArea good = *ReadHeaderArea(file);
  const auto code = [&](const HeaderArea& area) {
    return LuksAreaOf(file, area).status().code();
  };
  HeaderArea area = good;
  area.header.crypt_method = kCryptAes;
  EXPECT_EQ(code(area), absl::StatusCode::kInvalidArgument);
  area = good;
  area.Remove(kExtensionLuks);
  EXPECT_EQ(code(area), absl::StatusCode::kDataLoss);
  for (const LuksExtension& bad :
       {LuksExtension{HostOffset(0), 4096},
        LuksExtension{HostOffset(513), 4096},
        LuksExtension{HostOffset(65536), 591},
        LuksExtension{HostOffset(65536), ~uint64_t{0}}}) {
    area.Set(kExtensionLuks, bad.Encode());
    EXPECT_EQ(code(area), absl::StatusCode::kDataLoss) << bad.length;
  }
}

TEST(LuksInImageTest, FileThatEndsTooSoonIsSaidSo) {
  MemoryFile file;
  ASSERT_NO_FATAL_FAILURE(MakeImage(file));
  const HeaderArea area = *ReadHeaderArea(file);
  const auto luks = LuksAreaOf(file, area);
  const LuksExtension where =
      LuksExtension::Decode(area.Find(kExtensionLuks)->data);
  ASSERT_TRUE(file.Truncate(where.offset.value() + 5000).ok());
  const absl::Status status = OpenLuks(*luks, First()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("the file ends inside the LUKS area"));
}

TEST(LuksInImageTest, WritesStayInTheArea) {
  MemoryFile file;
  ASSERT_NO_FATAL_FAILURE(MakeImage(file));
  const HeaderArea area = *ReadHeaderArea(file);
  const std::vector<std::byte> before(file.bytes().begin(), file.bytes().end());
  const uint64_t length = LuksAreaOf(file, area)->length_bytes;
  for (uint64_t offset : {length - 1, length + 1, ~uint64_t{0}}) {
    LuksChange change;
    change.writes.push_back({offset, std::vector<std::byte>(2)});
    EXPECT_EQ(WriteLuksChange(change, area, file).code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_TRUE(std::ranges::equal(file.bytes(), before));
}

}  // namespace
}  // namespace qcow2
