#include "engine/image/create.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/format/byte_order.h"
#include "engine/format/header_extension.h"
#include "engine/format/luks_extension.h"
#include "engine/image/header_area.h"
#include "engine/storage/faulty_file.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/recording_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/soundness.h"

namespace qcow2 {
namespace {

using ::testing::HasSubstr;

std::vector<std::byte> Contents(const MemoryFile& file) {
  return {file.bytes().begin(), file.bytes().end()};
}

bool LooksLikeAnImage(const MemoryFile& file) {
  return file.bytes().size() >= 4 && LoadBe32(file.bytes().data()) == kMagic;
}

// Every cluster size, refcount width, L2 format and version, with and without
// preallocation and a data file: nothing for the check to find, and a header
// that says what was asked for.
TEST(CreateTest, EveryGeometryIsClean) {
  int images = 0;
  for (uint32_t bits = kMinClusterBits; bits <= kMaxClusterBits; ++bits) {
    for (uint32_t order = 0; order <= kMaxRefcountOrder; ++order) {
      for (int mode = 0; mode < 16; ++mode) {
        CreateOptions options;
        options.virtual_size = (uint64_t{3} << bits) + 512;
        options.cluster_bits = bits;
        options.refcount_bits = 1u << order;
        options.version = (mode & 1) != 0 ? 2 : 3;
        options.extended_l2 = (mode & 2) != 0;
        if ((mode & 4) != 0) options.preallocation = Preallocation::kMetadata;
        if ((mode & 8) != 0) options.data_file = "data.raw";
        if (!CheckCreateOptions(options).ok()) continue;
        MemoryFile file;
        MemoryFile data;
        const absl::Status status = CreateImage(
            file, options.data_file.empty() ? nullptr : &data, options);
        const std::string where = testing::PrintToString(bits) + "/" +
                                  testing::PrintToString(order) + "/" +
                                  testing::PrintToString(mode);
        ASSERT_TRUE(status.ok()) << where << status;
        ASSERT_EQ(FindingsOf(CheckFile(file)), "") << where;
        const HeaderArea area = *ReadHeaderArea(file);
        EXPECT_EQ(area.header.cluster_bits, bits) << where;
        EXPECT_EQ(area.header.refcount_order, order) << where;
        EXPECT_EQ(area.header.version, options.version) << where;
        EXPECT_EQ(area.header.has_extended_l2(), options.extended_l2) << where;
        EXPECT_EQ(area.header.size, options.virtual_size) << where;
        EXPECT_EQ(data.bytes().size(),
                  options.data_file.empty() ? 0 : options.virtual_size);
        ++images;
      }
    }
  }
  // Version 3: (13 cluster sizes + 8 with extended L2) * 7 * 4; version 2: one
  // refcount width, one L2 format, no data file.
  EXPECT_EQ(images, 21 * 7 * 4 + 13 * 2);
}

TEST(CreateTest, EmptyDisk) {
  MemoryFile file;
  ASSERT_TRUE(CreateImage(file, nullptr, {}).ok());
  EXPECT_EQ(FindingsOf(CheckFile(file)), "");
  EXPECT_EQ(ReadHeaderArea(file)->header.l1_size, 0u);
}

TEST(CreateTest, HeaderSaysEverythingThatWasAskedFor) {
  CreateOptions options;
  options.virtual_size = 1 << 20;
  options.lazy_refcounts = true;
  options.extended_l2 = true;
  options.compression_type = CompressionType::kZstd;
  options.backing_file = "base.raw";
  options.backing_format = "raw";
  options.data_file = "data.raw";
  MemoryFile file;
  MemoryFile data;
  ASSERT_TRUE(CreateImage(file, &data, options).ok());
  const HeaderArea area = *ReadHeaderArea(file);
  EXPECT_EQ(area.header.incompatible_features,
            kIncompatibleDataFile | kIncompatibleCompressionType |
                kIncompatibleExtendedL2);
  EXPECT_EQ(area.header.compatible_features, kCompatibleLazyRefcounts);
  EXPECT_EQ(area.header.autoclear_features, 0u);
  EXPECT_EQ(area.header.compression_type, kCompressionZstd);
  EXPECT_EQ(area.backing_name, "base.raw");
  EXPECT_EQ(area.TextOf(kExtensionBackingFormat), "raw");
  EXPECT_EQ(area.TextOf(kExtensionDataFile), "data.raw");
  ASSERT_EQ(area.feature_names().size(), 8u);
  EXPECT_EQ(area.feature_names()[4].name(), "extended L2 entries");
  EXPECT_EQ(FindingsOf(CheckFile(file)), "");
}

TEST(CreateTest, FeatureNamesOnlyWhereWantedAndWithRoom) {
  const auto has_names = [](const CreateOptions& options) {
    MemoryFile file;
    EXPECT_TRUE(CreateImage(file, nullptr, options).ok());
    return ReadHeaderArea(file)->Find(kExtensionFeatureNames) != nullptr;
  };
  EXPECT_TRUE(has_names({.cluster_bits = 13}));
  EXPECT_FALSE(has_names({.cluster_bits = 12}));
  EXPECT_FALSE(has_names({.version = 2}));
  EXPECT_FALSE(has_names({.feature_name_table = false}));
}

TEST(CreateTest, NamesThatDoNotFitAreRefusedBeforeAnythingChanges) {
  MemoryFile file(std::vector<std::byte>(100, std::byte{7}));
  const std::vector<std::byte> before = Contents(file);
  CreateOptions options;
  options.cluster_bits = 9;
  options.backing_file = std::string(512 - 112 - 8, 'b');
  options.virtual_size = 1 << 20;
  MemoryFile other;
  EXPECT_TRUE(CreateImage(other, nullptr, options).ok());
  EXPECT_EQ(FindingsOf(CheckFile(other)), "");
  EXPECT_EQ(ReadHeaderArea(other)->backing_name, options.backing_file);
  options.backing_file += 'b';
  EXPECT_EQ(CreateImage(file, nullptr, options).code(),
            absl::StatusCode::kResourceExhausted);
  options.backing_file.clear();
  options.virtual_size = 1;
  EXPECT_EQ(CreateImage(file, nullptr, options).code(),
            absl::StatusCode::kInvalidArgument);
  options.virtual_size = uint64_t{1} << 40;
  EXPECT_EQ(CreateImage(file, nullptr, options).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Contents(file), before);
}

TEST(CreateTest, DataFileAndItsNameComeTogether) {
  MemoryFile file;
  MemoryFile data;
  CreateOptions options;
  EXPECT_EQ(CreateImage(file, &data, options).code(),
            absl::StatusCode::kInvalidArgument);
  options.data_file = "data.raw";
  EXPECT_EQ(CreateImage(file, nullptr, options).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(CreateTest, LuksAreaIsWhereTheHeaderSays) {
  CreateOptions options;
  options.virtual_size = 1 << 20;
  options.cluster_bits = 12;
  options.preallocation = Preallocation::kMetadata;
  options.crypt_method = kCryptLuks;
  options.luks_area.assign(10000, std::byte{0x5a});
  MemoryFile file;
  ASSERT_TRUE(CreateImage(file, nullptr, options).ok());
  const HeaderArea area = *ReadHeaderArea(file);
  const LuksExtension luks =
      LuksExtension::Decode(area.Find(kExtensionLuks)->data);
  EXPECT_EQ(luks.length, 10000u);
  const auto stored = file.bytes().subspan(luks.offset.value(), luks.length);
  EXPECT_TRUE(std::equal(stored.begin(), stored.end(),
                         options.luks_area.begin(), options.luks_area.end()));
}

TEST(CreateTest, RawDataFileIsMappedWhole) {
  CreateOptions options;
  options.virtual_size = 3 << 14;
  options.cluster_bits = 14;
  options.extended_l2 = true;
  options.data_file = "data.raw";
  options.data_file_raw = true;
  MemoryFile file;
  MemoryFile data;
  ASSERT_TRUE(CreateImage(file, &data, options).ok());
  EXPECT_EQ(FindingsOf(CheckFile(file)), "");
  EXPECT_EQ(ReadHeaderArea(file)->header.autoclear_features, kAutoclearRawData);
  EXPECT_EQ(data.bytes().size(), options.virtual_size);
  // Header, refcount table, block and L1 table come before the L2 table.
  const std::byte* l2_table = file.bytes().data() + (4 << 14);
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(LoadBe64(l2_table + 16 * i), uint64_t{1} << 63 | i << 14);
    EXPECT_EQ(LoadBe64(l2_table + 16 * i + 8), 0xffffffffu);
  }
  EXPECT_EQ(LoadBe64(l2_table + 48), 0u);
}

TEST(CreateTest, PreallocatedSubclustersStayUnallocated) {
  CreateOptions options;
  options.virtual_size = 3 << 14;
  options.cluster_bits = 14;
  options.extended_l2 = true;
  options.preallocation = Preallocation::kMetadata;
  MemoryFile file;
  ASSERT_TRUE(CreateImage(file, nullptr, options).ok());
  const std::byte* l2_table = file.bytes().data() + (4 << 14);
  EXPECT_EQ(LoadBe64(l2_table), uint64_t{1} << 63 | 5 << 14);
  EXPECT_EQ(LoadBe64(l2_table + 8), 0u);
}

TEST(CreateTest, SpaceIsReservedOrWrittenWhereTheGuestDataIs) {
  for (const bool with_data_file : {false, true}) {
    CreateOptions options;
    options.virtual_size = (3 << 20) + 512;
    if (with_data_file) options.data_file = "data.raw";
    MemoryFile memory;
    MemoryFile data_memory;
    RecordingFile file(memory);
    RecordingFile data(data_memory);
    File* data_file = with_data_file ? &data : nullptr;
    const RecordingFile& guest = with_data_file ? data : file;

    options.preallocation = Preallocation::kFalloc;
    ASSERT_TRUE(CreateImage(file, data_file, options).ok());
    EXPECT_EQ(file.Count(FileOperation::kAllocate) +
                  data.Count(FileOperation::kAllocate),
              1u);
    // Header, table, block, L1 and L2; the last cluster whole.
    const ByteRange expected = with_data_file
                                   ? ByteRange{0, options.virtual_size}
                                   : ByteRange{5 << 16, 49 << 16};
    for (const RecordedOperation& recorded : guest.operations()) {
      if (recorded.operation == FileOperation::kAllocate) {
        EXPECT_EQ(recorded.range, expected);
      }
    }
    file.Clear();
    data.Clear();

    options.preallocation = Preallocation::kFull;
    ASSERT_TRUE(CreateImage(file, data_file, options).ok());
    EXPECT_EQ(FindingsOf(CheckFile(memory)), "");
    uint64_t written = 0;
    for (const RecordedOperation& recorded : guest.operations()) {
      if (recorded.operation == FileOperation::kPwrite &&
          recorded.range.offset >= expected.offset) {
        written += recorded.range.length;
      }
    }
    EXPECT_EQ(written, expected.length);
  }
}

// Keeps nothing but how much was written.
class CountingFile : public ForwardingFile {
 public:
  using ForwardingFile::ForwardingFile;
  absl::Status Pwrite(uint64_t /*offset*/,
                      std::span<const std::byte> data) override {
    written_ += data.size();
    longest_ = std::max<uint64_t>(longest_, data.size());
    return absl::OkStatus();
  }
  absl::Status Truncate(uint64_t /*size*/) override { return absl::OkStatus(); }
  uint64_t written() const { return written_; }
  uint64_t longest() const { return longest_; }

 private:
  uint64_t written_ = 0;
  uint64_t longest_ = 0;
};

TEST(CreateTest, TablesOfALargeDiskAreWrittenOnceAndInPieces) {
  CreateOptions options;
  options.virtual_size = uint64_t{1} << 40;
  options.preallocation = Preallocation::kMetadata;
  MemoryFile memory;
  CountingFile file(memory);
  ASSERT_TRUE(CreateImage(file, nullptr, options).ok());
  EXPECT_EQ(file.longest(), 1u << 20);
  // 2^24 clusters: 8 bytes each of L2 and 2 of counts, and 1/8192 of that of
  // L1; the other structures are small.
  EXPECT_GT(file.written(), uint64_t{160} << 20);
  EXPECT_LT(file.written(), uint64_t{161} << 20);
}

CreateOptions EverythingAtOnce() {
  CreateOptions options;
  options.virtual_size = (2 << 20) + 512;
  options.cluster_bits = 14;
  options.extended_l2 = true;
  options.preallocation = Preallocation::kFull;
  options.crypt_method = kCryptLuks;
  options.luks_area.assign(20000, std::byte{0x5a});
  return options;
}

// What is in the file before: another image, of other clusters.
std::vector<std::byte> OldImage() {
  MemoryFile file;
  EXPECT_TRUE(
      CreateImage(file, nullptr, {.virtual_size = 8 << 20, .cluster_bits = 12})
          .ok());
  return Contents(file);
}

// Every operation fails in turn, a write at several places inside it: what is
// left is the old image, the new one or none.
TEST(CreateTest, FailureLeavesNoHalfAnImage) {
  for (const bool with_data_file : {false, true}) {
    CreateOptions options = EverythingAtOnce();
    if (with_data_file) options.data_file = "data.raw";
    MemoryFile whole;
    MemoryFile whole_data;
    ASSERT_TRUE(
        CreateImage(whole, with_data_file ? &whole_data : nullptr, options)
            .ok());
    int failures = 0;
    for (const FileOperation operation :
         {FileOperation::kPwrite, FileOperation::kFlush,
          FileOperation::kTruncate}) {
      for (const size_t written : {0, 1, 3, 100, 600, 20000}) {
        for (uint64_t skip = 0;; ++skip) {
          MemoryFile file(OldImage());
          MemoryFile data;
          FaultyFile faulty(file);
          faulty.FailOn({.operation = operation,
                         .skip = skip,
                         .error = ENOSPC,
                         .written_first = written});
          const absl::Status status =
              CreateImage(faulty, with_data_file ? &data : nullptr, options);
          if (status.ok()) {
            EXPECT_EQ(faulty.failures(), 0u);
            break;
          }
          ++failures;
          EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
          EXPECT_TRUE(!LooksLikeAnImage(file) || Contents(file) == OldImage() ||
                      Contents(file) == Contents(whole))
              << static_cast<int>(operation) << " " << skip << " " << written;
        }
      }
    }
    EXPECT_GT(failures, 50);
  }
}

TEST(CreateTest, FailingDataFileLeavesNoImage) {
  CreateOptions options;
  options.virtual_size = 1 << 20;
  options.data_file = "data.raw";
  options.preallocation = Preallocation::kFalloc;
  for (const FileOperation operation :
       {FileOperation::kTruncate, FileOperation::kAllocate,
        FileOperation::kFlush}) {
    MemoryFile file(OldImage());
    MemoryFile data;
    FaultyFile faulty(data);
    faulty.FailOn({.operation = operation});
    EXPECT_FALSE(CreateImage(file, &faulty, options).ok());
    EXPECT_FALSE(LooksLikeAnImage(file));
  }
}

// The order that makes it so: the old contents are gone for good before the
// first write, and all is for good before the magic number is written, alone.
TEST(CreateTest, MagicComesLastAndAlone) {
  MemoryFile memory(OldImage());
  RecordingFile file(memory);
  ASSERT_TRUE(CreateImage(file, nullptr, EverythingAtOnce()).ok());
  const std::vector<RecordedOperation> operations = file.operations();
  ASSERT_GT(operations.size(), 6u);
  EXPECT_EQ(operations[0].operation, FileOperation::kTruncate);
  EXPECT_EQ(operations[0].range.offset, 0u);
  EXPECT_EQ(operations[1].operation, FileOperation::kTruncate);
  EXPECT_EQ(operations[2].operation, FileOperation::kFlush);
  const size_t last = operations.size() - 1;
  EXPECT_EQ(operations[last].operation, FileOperation::kFlush);
  EXPECT_EQ(operations[last - 1].operation, FileOperation::kPwrite);
  EXPECT_EQ(operations[last - 1].range, (ByteRange{0, 4}));
  EXPECT_EQ(operations[last - 2].operation, FileOperation::kFlush);
  for (size_t i = 3; i < last - 1; ++i) {
    if (operations[i].operation == FileOperation::kPwrite) {
      EXPECT_GE(operations[i].range.offset, 4u);
    }
  }
}

// A device: its length is what it is.
class DeviceFile : public ForwardingFile {
 public:
  using ForwardingFile::ForwardingFile;
  absl::Status Truncate(uint64_t /*size*/) override {
    return absl::ErrnoToStatus(EINVAL, "a device");
  }
};

TEST(CreateTest, DeviceIsTakenAsItIs) {
  MemoryFile whole;
  ASSERT_TRUE(CreateImage(whole, nullptr, EverythingAtOnce()).ok());
  MemoryFile memory(std::vector<std::byte>(4 << 20, std::byte{0xa5}));
  DeviceFile device(memory);
  ASSERT_TRUE(CreateImage(device, nullptr, EverythingAtOnce()).ok());
  EXPECT_EQ(memory.bytes().size(), 4u << 20);
  EXPECT_TRUE(std::equal(whole.bytes().begin(), whole.bytes().end(),
                         memory.bytes().begin()));

  MemoryFile small(std::vector<std::byte>(1 << 20, std::byte{0xa5}));
  const std::vector<std::byte> before = Contents(small);
  DeviceFile small_device(small);
  const absl::Status status =
      CreateImage(small_device, nullptr, EverythingAtOnce());
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("1048576"));
  EXPECT_EQ(Contents(small), before);
}

}  // namespace
}  // namespace qcow2
