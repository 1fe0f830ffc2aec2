// Converting and comparing, cancelled at any look at the source: the new disk
// is complete, or there is none.
#include "engine/operations/convert.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "engine/image/image_chain.h"
#include "engine/image/raw_disk.h"
#include "engine/operations/compare.h"
#include "engine/storage/memory_file.h"
#include "tests/cancellation/cancelled_file.h"

namespace qcow2 {
namespace {

constexpr uint64_t kDiskBytes = uint64_t{3} << 20;

// Data, zeros and data again, each for a while.
std::vector<std::byte> Contents() {
  std::vector<std::byte> bytes(kDiskBytes);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i / 100'000 % 3 != 1)
      bytes[i] = static_cast<std::byte>(i * 7 + i / 911);
  }
  return bytes;
}

class CancelConvertTest : public testing::TestWithParam<unsigned> {
 protected:
  CancelConvertTest() : bytes_(Contents()) {
    std::filesystem::create_directories(folder_);
  }
  ~CancelConvertTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<RawDisk> Source(CancelPoint& point) {
    memory_ = std::make_unique<MemoryFile>(bytes_);
    auto disk =
        RawDisk::Open(std::make_unique<CancelledFile>(*memory_, point), false);
    EXPECT_TRUE(disk.ok()) << disk.status();
    return *std::move(disk);
  }

  absl::Status Convert(CancelPoint& point, bool compressed) {
    ConvertOptions options;
    options.compressed = compressed;
    options.threads = GetParam();
    options.control.cancel = point.flag();
    return ConvertDisk(*Source(point), path_, options);
  }

  // Whether the disk at the path has the contents.
  bool IsComplete() const {
    const auto disk = OpenDisk(path_, DiskFormat::kQcow2, {});
    if (!disk.ok() || (*disk)->size_bytes() != kDiskBytes) return false;
    std::vector<std::byte> read(kDiskBytes);
    return (*disk)->Read(0, read).ok() && read == bytes_;
  }

  void CancelAtEvery(bool compressed) {
    CancelPoint never(0);
    ASSERT_EQ(Convert(never, compressed), absl::OkStatus());
    ASSERT_TRUE(IsComplete());
    uint64_t cancelled = 0;
    for (uint64_t at = 1; at <= never.passed(); ++at) {
      SCOPED_TRACE(testing::Message()
                   << "operation " << at << " of " << never.passed());
      std::filesystem::remove(path_);
      CancelPoint point(at);
      const absl::Status status = Convert(point, compressed);
      if (status.ok()) {
        EXPECT_TRUE(IsComplete());
      } else {
        EXPECT_TRUE(absl::IsCancelled(status)) << status;
        EXPECT_TRUE(std::filesystem::is_empty(folder_));
        ++cancelled;
      }
    }
    EXPECT_GT(cancelled, 0u);
  }

  const std::string folder_ = testing::TempDir() + "/cancelled";
  const std::string path_ = folder_ + "/disk";
  const std::vector<std::byte> bytes_;
  std::unique_ptr<MemoryFile> memory_;
};

TEST_P(CancelConvertTest, AtEveryLookAtTheSource) { CancelAtEvery(false); }

TEST_P(CancelConvertTest, AtEveryLookAtTheSourceOfACompressedImage) {
  CancelAtEvery(true);
}

TEST_P(CancelConvertTest, AComparisonNeverSaysThatDisksAreTheSame) {
  MemoryFile other_memory(bytes_);
  uint64_t operations = 1;
  for (uint64_t at = 0; at <= operations; ++at) {
    CancelPoint point(at);
    CancelPoint never(0);
    const auto source = Source(point);
    const auto other = RawDisk::Open(
        std::make_unique<CancelledFile>(other_memory, never), false);
    ASSERT_TRUE(other.ok()) << other.status();
    CompareOptions options;
    options.control.cancel = point.flag();
    const auto result = CompareDisks(*source, **other, options);
    if (at == 0) operations = point.passed();
    if (result.ok()) {
      // Nothing was left to do.
      EXPECT_EQ(point.passed(), operations) << at;
    } else {
      EXPECT_TRUE(absl::IsCancelled(result.status())) << result.status();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, CancelConvertTest, testing::Values(1u, 4u),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace qcow2
