#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "checker/passes.h"
#include "checker/test_image.h"
#include "engine/format/byte_order.h"
#include "engine/format/feature_name_table.h"
#include "engine/format/header_extension.h"
#include "engine/storage/faulty_file.h"
#include "engine/storage/recording_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

PassRun Check(const MemoryFile& file, CheckOptions options = {}) {
  return PassRun(
      file, [](CheckState& state) { RunHeaderPass(state); },
      std::move(options));
}

PassRun Check(const File& file) {
  return PassRun(file, [](CheckState& state) { RunHeaderPass(state); });
}

TEST(HeaderPassTest, SoundImagesOfEveryClusterSizeHaveNoFindings) {
  for (const uint32_t version : {2, 3}) {
    for (uint32_t bits = kMinClusterBits; bits <= kMaxClusterBits; ++bits) {
      TestImage image(version, bits);
      const PassRun run = Check(image.file());
      EXPECT_THAT(run.Codes(), IsEmpty());
      const ImageModel& model = run.state().model;
      EXPECT_EQ(model.geometry->cluster_bits(), bits);
      ASSERT_EQ(model.l1_tables.size(), 1);
      EXPECT_TRUE(model.l1_tables[0].active);
      EXPECT_EQ(model.l1_tables[0].offset_bytes, image.OffsetOf(3));
      EXPECT_EQ(model.refcount_table_offset_bytes, image.OffsetOf(1));
      EXPECT_EQ(model.refcount_table_entries, image.cluster_size() / 8);
      EXPECT_EQ(model.regions.size(), 3);
      EXPECT_TRUE(run.state().summary.recognised);
    }
  }
}

// One damage to a version 3 image with 4 KiB clusters and what comes of it.
struct HeaderCase {
  std::string code;
  std::function<void(TestImage&)> damage;
  std::string message;
};

class HeaderCaseTest : public ::testing::TestWithParam<HeaderCase> {};

TEST_P(HeaderCaseTest, IsTheOnlyFinding) {
  TestImage image;
  GetParam().damage(image);
  const PassRun run = Check(image.file());
  EXPECT_THAT(run.Codes(), ElementsAre(GetParam().code));
  const std::optional<Finding> finding =
      run.Only(*FindProblem(GetParam().code));
  ASSERT_TRUE(finding);
  EXPECT_EQ(DescribeFinding(*finding), GetParam().message);
}

std::vector<HeaderCase> IdentityCases() {
  return {
      {"header-truncated", [](TestImage& i) { i.Truncate(90); },
       "the file is too short to hold a qcow2 header: 90 bytes, at least 104 "
       "are needed"},
      {"header-version", [](TestImage& i) { i.header.version = 4; },
       "version 4 is not a qcow2 version (2 and 3 are)"},
      {"header-draft-v3",
       [](TestImage& i) {
         i.header.header_length = 0;
         i.header.compatible_features = 16;
       },
       "the header is laid out like the 2010 draft of version 3 "
       "(refcount_bits 16 at byte 84), which never shipped"},
      {"header-size-too-large",
       [](TestImage& i) { i.header.size = uint64_t{1} << 60; },
       "the virtual size 1152921504606846976 bytes is beyond what the format "
       "can map with this cluster size"},
      {"header-size-unaligned", [](TestImage& i) { i.header.size = 513; },
       "the virtual size 513 bytes is not a multiple of 512"},
      {"header-crypt-method", [](TestImage& i) { i.header.crypt_method = 3; },
       "crypt_method 3 is unknown (0 none, 1 AES, 2 LUKS)"},
  };
}

std::vector<HeaderCase> TableCases() {
  return {
      {"l1-table-unaligned",
       [](TestImage& i) { i.header.l1_table_offset = HostOffset(0x3200); },
       "the active L1 table offset 0x3200 is not cluster aligned or out of "
       "range"},
      {"l1-table-past-end",
       [](TestImage& i) { i.header.l1_table_offset = HostOffset(0x20000); },
       "the active L1 table at 0x20000 reaches past the end of the file at "
       "0x10000"},
      {"l1-table-too-large", [](TestImage& i) { i.header.l1_size = 0x400001; },
       "the active L1 table has 4194305 entries, more than the limit of "
       "4194304 (32 MiB)"},
      {"l1-table-too-small", [](TestImage& i) { i.header.size = 8 << 20; },
       "the active L1 table has 1 entries, but the virtual size needs 4"},
      {"refcount-table-unaligned",
       [](TestImage& i) {
         i.header.refcount_table_offset = HostOffset(~uint64_t{0xfff});
       },
       "the refcount table offset 0xfffffffffffff000 is not cluster aligned or "
       "out of range"},
      {"refcount-table-past-end",
       [](TestImage& i) { i.header.refcount_table_clusters = 17; },
       "the refcount table at 0x1000 reaches past the end of the file at "
       "0x10000"},
      {"refcount-table-too-large",
       [](TestImage& i) { i.header.refcount_table_clusters = 0x80000001; },
       "the refcount table is 2147483649 clusters long, more than the limit of "
       "2048 (8 MiB)"},
      {"refcount-table-missing",
       [](TestImage& i) { i.header.refcount_table_clusters = 0; },
       "the image has no refcount table (refcount_table_clusters is 0)"},
      {"refcount-order", [](TestImage& i) { i.header.refcount_order = 7; },
       "refcount_order is 7, more than 6"},
  };
}

std::vector<HeaderCase> FieldCases() {
  return {
      {"dirty-bit",
       [](TestImage& i) {
         i.header.incompatible_features = kIncompatibleDirty;
       },
       "the dirty bit is set: the image was not closed properly and its "
       "refcounts may be stale"},
      {"corrupt-bit",
       [](TestImage& i) {
         i.header.incompatible_features = kIncompatibleCorrupt;
       },
       "the corrupt bit is set: a program found damage and refuses to write to "
       "the image"},
      {"header-length", [](TestImage& i) { i.header.header_length = 96; },
       "header_length is 96; version 3 needs at least 104"},
      {"header-length-unaligned",
       [](TestImage& i) {
         i.header.header_length = 4000;
         i.header.unknown_tail.resize(4000 - 112);
         i.header.header_length = 4004;
       },
       "header_length is 4004, which is not a multiple of 8"},
      {"header-padding",
       [](TestImage& i) { i.header.padding[6] = std::byte{5}; },
       "the header's padding after compression_type is not zero (0x5)"},
      {"compression-type-unknown",
       [](TestImage& i) { i.header.compression_type = 7; },
       "compression_type 7 is unknown (0 deflate, 1 zstd)"},
      {"compression-type-bit",
       [](TestImage& i) { i.header.compression_type = kCompressionZstd; },
       "compression_type is 1 but the incompatible compression bit says "
       "otherwise"},
      {"extended-l2-cluster-size",
       [](TestImage& i) {
         i.header.incompatible_features = kIncompatibleExtendedL2;
       },
       "extended L2 entries need clusters of at least 16 KiB, cluster_bits is "
       "12"},
      {"backing-name-outside",
       [](TestImage& i) {
         i.header.backing_file_offset = HostOffset(4090);
         i.header.backing_file_size = 7;
       },
       "the backing file name (7 bytes at 4090) does not lie inside the first "
       "cluster"},
      {"backing-name-too-long",
       [](TestImage& i) {
         i.header.backing_file_offset = HostOffset(1024);
         i.header.backing_file_size = 1024;
       },
       "the backing file name is 1024 bytes long, more than 1023"},
      {"backing-name-invalid",
       [](TestImage& i) {
         i.header.backing_file_offset = HostOffset(1024);
         i.header.backing_file_size = 3;
         i.WriteText(1024, std::string_view("a\0b", 3));
       },
       "the backing file name has a NUL byte at position 1"},
      {"backing-name-invalid",
       [](TestImage& i) { i.header.backing_file_offset = HostOffset(80); },
       "the backing file name begins inside the header, at byte 80"},
  };
}

std::vector<HeaderCase> ExtensionCases() {
  return {
      {"autoclear-without-extension",
       [](TestImage& i) { i.header.autoclear_features = kAutoclearBitmaps; },
       "the autoclear bit \"bitmaps\" is set, but the header extension it "
       "vouches for is missing"},
      {"autoclear-unknown",
       [](TestImage& i) { i.header.autoclear_features = 1u << 5; },
       "unknown autoclear feature bits 0x20: bit 5"},
      {"compatible-unknown",
       [](TestImage& i) { i.header.compatible_features = 1u << 3; },
       "unknown compatible feature bits 0x8: bit 3"},
      {"extension-overflow",
       [](TestImage& i) {
         i.AddExtension(0x12345678, BytesOf("abc"));
         i.WriteBe64(112, 0x12345678'00001000);
       },
       "the header extension of unknown type 0x12345678 at 0x70 reaches past "
       "the end of the extension area at 0x1000"},
      {"extension-duplicate",
       [](TestImage& i) {
         i.AddExtension(kExtensionBackingFormat, BytesOf("raw"));
         i.AddExtension(kExtensionBackingFormat, BytesOf("qcow2"));
       },
       "the header extension \"backing file format name\" occurs again at "
       "0x80"},
      {"extension-length",
       [](TestImage& i) {
         i.AddExtension(kExtensionBackingFormat, BytesOf("sixteen letters!"));
       },
       "the header extension \"backing file format name\" is 16 bytes long, "
       "expected 15"},
      {"feature-name-table",
       [](TestImage& i) {
         i.AddExtension(kExtensionFeatureNames, BytesOf("short"));
       },
       "the feature name table is malformed: its length 5 is not a multiple of "
       "48"},
  };
}

std::vector<HeaderCase> AllCases() {
  std::vector<HeaderCase> all;
  for (const auto& cases :
       {IdentityCases(), TableCases(), FieldCases(), ExtensionCases()}) {
    all.insert(all.end(), cases.begin(), cases.end());
  }
  return all;
}

std::string NameOfCase(const ::testing::TestParamInfo<HeaderCase>& info) {
  std::string name;
  for (const char c : info.param.code) name += c == '-' ? '_' : c;
  return name + "_" + std::to_string(info.index);
}

INSTANTIATE_TEST_SUITE_P(AllRows, HeaderCaseTest,
                         ::testing::ValuesIn(AllCases()), NameOfCase);

TEST(HeaderPassTest, UnknownIncompatibleBitsAreNamedByTheImage) {
  TestImage image;
  FeatureName row;
  row.kind = 0;
  row.bit = 40;
  row.padded_name = {'d', 'e', 'd', 'u', 'p'};
  image.AddExtension(kExtensionFeatureNames, row.Encode());
  image.header.incompatible_features = uint64_t{1} << 40 | uint64_t{1} << 63;
  const PassRun run = Check(image.file());
  const auto finding = run.Only(Problem::kUnknownIncompatibleFeature);
  ASSERT_TRUE(finding);
  EXPECT_EQ(finding->detail, "bit 40 (\"dedup\"), bit 63");
  EXPECT_TRUE(run.state().sink.qemu().refused);
  EXPECT_THAT(run.state().summary.features, Contains("dedup"));
}

TEST(HeaderPassTest, ExtensionsAreFoundThoughTheHeaderLengthIsWrong) {
  TestImage image;
  image.AddExtension(kExtensionBackingFormat, BytesOf("raw"));
  MemoryFile damaged = image.file();
  (void)damaged.Pwrite(100, BytesOf(std::string_view("\0\0\0\0", 4)));
  const PassRun run = Check(damaged);
  EXPECT_THAT(run.Codes(), ElementsAre("header-length"));
  EXPECT_EQ(run.state().model.backing_format, "raw");
}

// QEMU takes the name for the end of the extensions, we do not.
TEST(HeaderPassTest, ExtensionsAreReadPastABackingNameInsideTheHeader) {
  TestImage image;
  image.header.backing_file_offset = HostOffset(80);
  image.AddExtension(kExtensionBackingFormat, BytesOf("raw"));
  EXPECT_EQ(Check(image.file()).state().model.backing_format, "raw");
  CheckOptions options;
  options.qemu_compatible = true;
  const PassRun compatible = Check(image.file(), options);
  EXPECT_EQ(compatible.state().model.backing_format, "");
}

TEST(HeaderPassTest, BackingNameEndsTheExtensionArea) {
  TestImage image;
  image.header.backing_file_offset = HostOffset(112);
  image.header.backing_file_size = 10;
  image.WriteText(112, "base.qcow2");
  const PassRun run = Check(image.file());
  EXPECT_THAT(run.Codes(), IsEmpty());
  EXPECT_EQ(run.state().model.backing_file, "base.qcow2");
}

TEST(HeaderPassTest, RegionsEndWithTheFile) {
  TestImage image;
  image.header.refcount_table_clusters = 17;
  const PassRun run = Check(image.file());
  EXPECT_EQ(run.state().model.regions.back().length_bytes, 15 * 4096);
  EXPECT_EQ(run.state().model.refcount_table_entries, 15 * 512);

  CheckOptions options;
  options.qemu_compatible = true;
  const PassRun compatible = Check(image.file(), options);
  EXPECT_EQ(compatible.state().model.regions.back().owner, kOwnerActiveL1);
}

TEST(HeaderDiagnosisTest, SaysWhatTheFileIsInstead) {
  const struct {
    uint64_t offset;
    std::string_view bytes;
    std::string_view expected;
  } cases[] = {
      {0, std::string_view("QED\0", 4), "a QED image"},
      {0, "KDMV", "VMDK"},
      {64, "\x7f\x10\xda\xbe", "VDI"},
      {0, "vhdxfile", "VHDX"},
      {0, "\x1f\x8b", "gzip"},
      {32769, "CD001", "ISO 9660"},
      {510, "\x55\xaa", "partition table"},
      {512, "EFI PART", "GUID partition table"},
      {0, std::string_view("QFI\xfa", 4), "1 bits of the qcow2 magic"},
      {0, std::string_view("\0", 1), "4096 bytes are zeros"},
  };
  for (const auto& c : cases) {
    MemoryFile file(std::vector<std::byte>(c.offset < 4096 ? 4096 : 40000));
    (void)file.Pwrite(c.offset, BytesOf(c.bytes));
    const PassRun run = Check(file);
    EXPECT_THAT(run.Codes(), ElementsAre("header-magic"));
    EXPECT_THAT(run.Only(Problem::kHeaderMagic)->detail,
                HasSubstr(std::string(c.expected)));
  }
}

TEST(HeaderDiagnosisTest, FindsTheRefcountTableBehindAnOverwrittenHeader) {
  for (uint32_t bits = kMinClusterBits; bits <= kMaxClusterBits; ++bits) {
    TestImage image(3, bits);
    MemoryFile file = image.file();
    (void)file.Pwrite(0, std::vector<std::byte>(512));
    (void)file.Pwrite(510, BytesOf("\x55\xaa"));
    const PassRun run = Check(file);
    EXPECT_THAT(run.Codes(), ElementsAre("header-magic", "header-overwritten"));
    EXPECT_THAT(
        run.Only(Problem::kHeaderOverwritten)->detail,
        HasSubstr("by clusters of " + std::to_string(1u << bits) + " bytes"));
  }
}

TEST(HeaderDiagnosisTest, FindsMappingTablesWhereRefcountsAreElsewhere) {
  TestImage image(3, 16);
  image.Write(image.OffsetOf(1), std::vector<std::byte>(8));
  MemoryFile file = image.file();
  (void)file.Pwrite(0, std::vector<std::byte>(512, std::byte{1}));
  const PassRun run = Check(file);
  EXPECT_THAT(run.Only(Problem::kHeaderOverwritten)->detail,
              HasSubstr("L1 and L2 tables, by clusters of 65536 bytes"));
}

TEST(HeaderDiagnosisTest, NamesTheLikelyClusterSize) {
  TestImage image(3, 16);
  MemoryFile file = image.file();
  (void)file.Pwrite(20, BytesOf(std::string_view("\0\0\0\x40", 4)));
  const PassRun run = Check(file);
  EXPECT_THAT(run.Codes(), ElementsAre("header-cluster-bits"));
  EXPECT_EQ(run.Only(Problem::kHeaderClusterBits)->expected, 16);
}

TEST(HeaderPassTest, BadSectors) {
  TestImage image;
  FaultyFile file(image.file());
  file.FailReadsIn({0x400, 1});
  // Behind the header itself there is more to be checked.
  const PassRun behind = Check(file);
  EXPECT_THAT(behind.Codes(), ElementsAre("range-unreadable"));
  EXPECT_TRUE(behind.state().model.geometry);
  EXPECT_EQ(behind.Only(Problem::kRangeUnreadable)->expected, 0x400);

  file.FailReadsIn({0, 1});
  const PassRun inside = Check(file);
  EXPECT_THAT(inside.Codes(), ElementsAre("range-unreadable"));
  EXPECT_FALSE(inside.state().model.geometry);
}

// Clusters of a sector: what else was read along is no concern of the header's.
TEST(HeaderPassTest, BadSectorsBehindItsClusterAreNotTheHeaders) {
  TestImage image(3, 9);
  FaultyFile file(image.file());
  file.FailReadsIn({0x200, 1});
  const PassRun run = Check(file);
  EXPECT_THAT(run.Codes(), IsEmpty());
}

TEST(HeaderPassTest, OfALongHeaderNoMoreThanTheClusterIsKept) {
  TestImage image(3, 9);
  image.header.header_length = 60000;
  image.Fill(TestImage::kData, 'x');
  const PassRun run = Check(image.file());
  EXPECT_THAT(run.Codes(), ElementsAre("header-length"));
  EXPECT_LE(run.state().model.header.Encode().size(), 512u);
}

TEST(HeaderPassTest, ALargeClusterIsReadToItsEnd) {
  TestImage image(3, 21);
  constexpr std::string_view kName = "far.qcow2";
  image.header.backing_file_offset = HostOffset(0x1ffff0);
  image.header.backing_file_size = kName.size();
  image.WriteText(0x1ffff0, kName);
  FaultyFile file(image.file());
  file.FailReadsIn({0xfe00, 0x400});  // Half of it read at first.
  file.FailReadsIn({0x1ff000, 1});
  const PassRun run = Check(file);
  EXPECT_EQ(run.state().model.backing_file, kName);
  EXPECT_THAT(run.Codes(), ElementsAre("range-unreadable"));
  uint64_t bytes = 0;
  for (const Finding& finding : run.FindingsOf(Problem::kRangeUnreadable)) {
    bytes += *finding.actual;
  }
  EXPECT_EQ(bytes, 0x600u);
}

// Each costs a disk or a server that takes its time as much as the next.
TEST(HeaderPassTest, TheUsualClusterIsReadInOneGo) {
  TestImage image(3, 16);
  RecordingFile file(image.file());
  const PassRun run = Check(file);
  EXPECT_THAT(run.Codes(), IsEmpty());
  EXPECT_EQ(file.Count(FileOperation::kPread), 1u);
}

TEST(HeaderPassTest, OfAShortFileNoMoreIsReadThanThereIs) {
  TestImage image(3, 16);
  image.Truncate(3000);
  EXPECT_EQ(Check(image.file()).state().reader.bytes_read(), 3000u);
}

TEST(HeaderPassTest, AnEmptyFileIsTooShort) {
  const PassRun run = Check(MemoryFile());
  EXPECT_THAT(run.Codes(), ElementsAre("header-truncated"));
}

}  // namespace
}  // namespace qcow2::checker
