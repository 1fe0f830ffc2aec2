#include "engine/image/create_options.h"

#include <functional>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::HasSubstr;

struct Refusal {
  const char* name;
  std::function<void(CreateOptions&)> change;
  const char* says;
};

const Refusal kRefusals[] = {
    {"Version1", [](auto& o) { o.version = 1; }, "Version 1"},
    {"Version4", [](auto& o) { o.version = 4; }, "Version 4"},
    {"SmallClusters", [](auto& o) { o.cluster_bits = 8; }, "cluster size"},
    {"LargeClusters", [](auto& o) { o.cluster_bits = 22; }, "cluster size"},
    {"NoRefcountBits", [](auto& o) { o.refcount_bits = 0; }, "power of two"},
    {"OddRefcountBits", [](auto& o) { o.refcount_bits = 12; }, "power of two"},
    {"WideRefcounts", [](auto& o) { o.refcount_bits = 128; }, "up to 64"},
    {"HalfASector", [](auto& o) { o.virtual_size = 256; }, "multiple of 512"},
    {"RefcountBitsInVersion2",
     [](auto& o) {
       o.version = 2;
       o.refcount_bits = 8;
     },
     "Refcount widths other than 16 bits need version 3"},
    {"LazyRefcountsInVersion2",
     [](auto& o) {
       o.version = 2;
       o.lazy_refcounts = true;
     },
     "Lazy refcounts need version 3"},
    {"ExtendedL2InVersion2",
     [](auto& o) {
       o.version = 2;
       o.extended_l2 = true;
     },
     "Extended L2 entries need version 3"},
    {"ZstdInVersion2",
     [](auto& o) {
       o.version = 2;
       o.compression_type = CompressionType::kZstd;
     },
     "Compression types other than zlib need version 3"},
    {"DataFileInVersion2",
     [](auto& o) {
       o.version = 2;
       o.data_file = "data.raw";
     },
     "External data files need version 3"},
    {"ExtendedL2InSmallClusters",
     [](auto& o) {
       o.extended_l2 = true;
       o.cluster_bits = 13;
     },
     "at least 16384 bytes, not 8192"},
    {"RawDataWithoutDataFile", [](auto& o) { o.data_file_raw = true; },
     "needs a data file"},
    {"BackingFileWithRawData",
     [](auto& o) {
       o.data_file = "data.raw";
       o.data_file_raw = true;
       o.backing_file = "base";
     },
     "do not go together"},
    {"BackingFormatAlone", [](auto& o) { o.backing_format = "raw"; },
     "needs a backing file"},
    {"BackingNameTooLong",
     [](auto& o) { o.backing_file = std::string(1024, 'b'); }, "1023"},
    {"BackingNameWithZero",
     [](auto& o) { o.backing_file = std::string("a\0b", 3); }, "zero byte"},
    {"BackingFormatWithZero",
     [](auto& o) {
       o.backing_file = "a";
       o.backing_format = std::string("a\0b", 3);
     },
     "zero byte"},
    {"DataFileNameWithZero",
     [](auto& o) { o.data_file = std::string("a\0b", 3); }, "zero byte"},
    {"BackingFileWithPreallocation",
     [](auto& o) {
       o.backing_file = "base";
       o.preallocation = Preallocation::kMetadata;
     },
     "only with extended L2"},
    {"UnknownEncryption", [](auto& o) { o.crypt_method = 3; }, "method 3"},
    {"LuksWithoutHeader", [](auto& o) { o.crypt_method = kCryptLuks; },
     "LUKS header of at least 592"},
    {"LuksHeaderCutShort",
     [](auto& o) {
       o.crypt_method = kCryptLuks;
       o.luks_area.resize(591);
     },
     "not 591"},
    {"LuksHeaderWithAes",
     [](auto& o) {
       o.crypt_method = kCryptAes;
       o.luks_area.resize(592);
     },
     "Only LUKS"},
};

class RefusalTest : public testing::TestWithParam<Refusal> {};

TEST_P(RefusalTest, NamesTheOption) {
  CreateOptions options;
  GetParam().change(options);
  const absl::Status status = CheckCreateOptions(options);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(All, RefusalTest, testing::ValuesIn(kRefusals),
                         [](const auto& info) { return info.param.name; });

TEST(CreateOptionsTest, DefaultsAreFine) {
  EXPECT_TRUE(CheckCreateOptions({}).ok());
}

// The nearest that is allowed, of the refusals that depend on each other.
TEST(CreateOptionsTest, LimitsAreFine) {
  CreateOptions options;
  options.backing_file = std::string(1023, 'b');
  EXPECT_TRUE(CheckCreateOptions(options).ok());
  options.extended_l2 = true;
  options.cluster_bits = 14;
  options.preallocation = Preallocation::kFull;
  EXPECT_TRUE(CheckCreateOptions(options).ok());
  options.crypt_method = kCryptLuks;
  options.luks_area.resize(592);
  EXPECT_TRUE(CheckCreateOptions(options).ok());

  CreateOptions version2;
  version2.version = 2;
  version2.backing_file = "base";
  version2.backing_format = "raw";
  version2.crypt_method = kCryptAes;
  EXPECT_TRUE(CheckCreateOptions(version2).ok());
}

TEST(CreateOptionsTest, RawDataIsPreallocated) {
  CreateOptions options;
  EXPECT_FALSE(IsPreallocated(options));
  options.data_file = "data.raw";
  EXPECT_FALSE(IsPreallocated(options));
  options.data_file_raw = true;
  EXPECT_TRUE(IsPreallocated(options));
  EXPECT_TRUE(CheckCreateOptions(options).ok());
}

}  // namespace
}  // namespace qcow2
