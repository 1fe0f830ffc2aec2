// Small images damaged in every simple way there is: each header field at its
// extremes, cut off anywhere, files of a few bytes, files that change under the
// check. The check must end, and say so whenever not all is there.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/check.h"
#include "checker/report.h"
#include "checker/test_image.h"
#include "engine/format/byte_order.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"

namespace qcow2::hostile {
namespace {

using checker::CheckImage;
using checker::CheckOptions;
using checker::CheckReport;
using checker::CheckStatus;
using checker::TestImage;

constexpr uint64_t kMaxBytesRead = uint64_t{64} << 20;
constexpr uint64_t kMaxMapBytes = uint64_t{80} << 20;

struct Field {
  uint64_t offset;
  int width_bytes;
};

// All of version 3, the magic included.
constexpr Field kFields[] = {
    {0, 4},  {4, 4},   {8, 8},   {16, 4},  {20, 4},  {24, 8},  {32, 4}, {36, 4},
    {40, 8}, {48, 8},  {56, 4},  {60, 4},  {64, 8},  {72, 8},  {80, 8}, {88, 8},
    {96, 4}, {100, 4}, {104, 1}, {105, 1}, {112, 4}, {116, 4},
};

std::vector<uint64_t> ExtremesOf(int width_bytes) {
  const uint64_t max = ~uint64_t{0} >> (64 - 8 * width_bytes);
  const uint64_t sign = max / 2 + 1;
  return {0,
          1,
          2,
          3,
          max,
          max - 1,
          sign,
          sign - 1,
          max / 4,
          uint64_t{1} << (4 * width_bytes),
          max & ~uint64_t{0x1ff},
          sign / 2};
}

CheckReport Check(const File& file, bool qemu_compatible) {
  CheckOptions options;
  options.qemu_compatible = qemu_compatible;
  options.deep = true;
  options.jobs = 1;
  return CheckImage(file, "image", options);
}

// Whatever the report says, it was cheap and says why.
void ExpectSane(const CheckReport& report) {
  EXPECT_LE(report.statistics.metadata_bytes, kMaxBytesRead);
  EXPECT_LE(report.statistics.map_memory_bytes, kMaxMapBytes);
  if (report.status != CheckStatus::kClean) {
    EXPECT_FALSE(report.problems.empty() && report.warnings.empty() &&
                 report.errors.empty());
  }
}

class FieldTest : public testing::TestWithParam<uint32_t> {};

TEST_P(FieldTest, EachAtItsExtremes) {
  for (const Field& field : kFields) {
    for (const uint64_t value : ExtremesOf(field.width_bytes)) {
      SCOPED_TRACE(absl::StrCat("field at ", field.offset, " = ", value));
      TestImage image(GetParam());
      MemoryFile& file = image.file();
      std::vector<std::byte> bytes(8);
      StoreBe64(bytes.data(), value << (64 - 8 * field.width_bytes));
      bytes.resize(field.width_bytes);
      ASSERT_TRUE(file.Pwrite(field.offset, bytes).ok());
      for (const bool qemu_compatible : {false, true}) {
        ExpectSane(Check(file, qemu_compatible));
      }
    }
  }
}

TEST_P(FieldTest, TwoAtOnceAtTheirLargest) {
  for (const Field& a : kFields) {
    for (const Field& b : kFields) {
      SCOPED_TRACE(absl::StrCat("fields at ", a.offset, " and ", b.offset));
      TestImage image(GetParam());
      MemoryFile& file = image.file();
      for (const Field& field : {a, b}) {
        // Magic, version and the size of clusters would end it all at once.
        if (field.offset <= 4 || field.offset == 20) continue;
        const std::vector<std::byte> bytes(field.width_bytes, std::byte{0xff});
        ASSERT_TRUE(file.Pwrite(field.offset, bytes).ok());
      }
      ExpectSane(Check(file, /*qemu_compatible=*/false));
    }
  }
}

TEST_P(FieldTest, EachClusterSize) {
  for (uint32_t cluster_bits = 0; cluster_bits < 64; ++cluster_bits) {
    SCOPED_TRACE(cluster_bits);
    TestImage image(GetParam());
    MemoryFile& file = image.file();
    std::vector<std::byte> bytes(4);
    StoreBe32(bytes.data(), cluster_bits);
    ASSERT_TRUE(file.Pwrite(20, bytes).ok());
    const CheckReport report = Check(file, false);
    ExpectSane(report);
    EXPECT_EQ(report.status == CheckStatus::kClean, cluster_bits == 12);
  }
}

TEST_P(FieldTest, CutOffAnywhere) {
  const uint64_t size = *TestImage(GetParam()).file().Size();
  std::vector<uint64_t> lengths;
  for (uint64_t length = 0; length <= 512; ++length) lengths.push_back(length);
  for (uint64_t sector = 512; sector <= uint64_t{8} * 4096; sector += 512) {
    for (const uint64_t length : {sector - 1, sector, sector + 1, sector + 8}) {
      if (length < uint64_t{7} * 4096) lengths.push_back(length);
    }
  }
  for (const uint64_t length : lengths) {
    ASSERT_LT(length, size);
    SCOPED_TRACE(length);
    TestImage image(GetParam());
    MemoryFile& file = image.file();
    ASSERT_TRUE(file.Truncate(length).ok());
    for (const bool qemu_compatible : {false, true}) {
      const CheckReport report = Check(file, qemu_compatible);
      ExpectSane(report);
      // qemu-img has no objection when just an L1 table is missing.
      EXPECT_TRUE(qemu_compatible || report.status != CheckStatus::kClean);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Version, FieldTest, testing::Values(2u, 3u));

TEST(SmallFileTest, OfAnyBytesIsNoImage) {
  for (const uint8_t byte : {0x00, 0x51, 0x80, 0xff}) {
    for (uint64_t length = 0; length <= 512; ++length) {
      SCOPED_TRACE(absl::StrCat(length, " bytes ", byte));
      const MemoryFile file(std::vector<std::byte>(length, std::byte{byte}));
      const CheckReport report = Check(file, false);
      ExpectSane(report);
      EXPECT_EQ(report.status, CheckStatus::kError);
    }
  }
}

// A file that another program makes shorter or longer after some reads.
class ChangingFile : public ForwardingFile {
 public:
  ChangingFile(File& file, int reads, uint64_t size)
      : ForwardingFile(file), reads_left_(reads), size_(size) {}

  absl::StatusOr<uint64_t> Size() const override {
    return reads_left_ > 0 ? target().Size() : size_;
  }
  absl::StatusOr<size_t> Pread(uint64_t offset,
                               std::span<std::byte> buffer) const override {
    if (--reads_left_ >= 0) return target().Pread(offset, buffer);
    if (offset >= size_) return 0;
    return target().Pread(offset, buffer.first(std::min<uint64_t>(
                                      buffer.size(), size_ - offset)));
  }

 private:
  mutable std::atomic<int> reads_left_;
  const uint64_t size_;
};

TEST(ChangingFileTest, MayShrinkAndGrow) {
  for (int reads = 0; reads < 12; ++reads) {
    for (const uint64_t size :
         {uint64_t{0}, uint64_t{100}, uint64_t{5000}, uint64_t{9000},
          uint64_t{1} << 20, uint64_t{1} << 62}) {
      SCOPED_TRACE(absl::StrCat(reads, " reads, then ", size, " bytes"));
      TestImage image(3);
      const ChangingFile file(image.file(), reads, size);
      for (const bool qemu_compatible : {false, true}) {
        ExpectSane(Check(file, qemu_compatible));
      }
    }
  }
}

}  // namespace
}  // namespace qcow2::hostile
