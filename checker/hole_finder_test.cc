#include "checker/hole_finder.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"

namespace qcow2::checker {
namespace {

// A file with data where it is told to have some; counts the questions.
class HoledFile : public ForwardingFile {
 public:
  HoledFile(File& file, std::vector<ByteRange> data, uint64_t size)
      : ForwardingFile(file), data_(std::move(data)), size_(size) {}

  absl::StatusOr<ByteRange> NextData(uint64_t offset) const override {
    ++questions;
    if (fails) return absl::UnavailableError("made to fail");
    for (const ByteRange& range : data_) {
      const uint64_t end = range.offset + range.length;
      if (offset < range.offset) return range;
      if (offset < end) return ByteRange{offset, end - offset};
    }
    return ByteRange{size_, 0};
  }

  mutable int questions = 0;
  bool fails = false;

 private:
  const std::vector<ByteRange> data_;
  const uint64_t size_;
};

class HoleFinderTest : public testing::Test {
 protected:
  MemoryFile memory_;
  HoledFile file_{memory_, {{1000, 10}, {5000, 100}}, 10000};
  HoleFinder finder_{file_};
};

TEST_F(HoleFinderTest, TellsHolesFromData) {
  EXPECT_TRUE(finder_.IsHole(0, 1000));
  EXPECT_FALSE(finder_.IsHole(0, 1001));
  EXPECT_FALSE(finder_.IsHole(1005, 1));
  EXPECT_FALSE(finder_.IsHole(1009, 100));
  EXPECT_TRUE(finder_.IsHole(1010, 3990));
  EXPECT_FALSE(finder_.IsHole(4999, 2));
  EXPECT_TRUE(finder_.IsHole(5100, 4900));
  EXPECT_TRUE(finder_.IsHole(20000, ~uint64_t{0} - 20000));
  EXPECT_TRUE(finder_.IsHole(10, 20));
}

TEST_F(HoleFinderTest, AsksOnceForAStretch) {
  for (uint64_t offset = 0; offset < 1010; offset += 10) {
    EXPECT_EQ(finder_.IsHole(offset, 10), offset < 1000) << offset;
  }
  EXPECT_EQ(file_.questions, 1);
  EXPECT_TRUE(finder_.IsHole(1010, 10));
  EXPECT_EQ(file_.questions, 2);
}

TEST_F(HoleFinderTest, TakesAFailureForData) {
  file_.fails = true;
  EXPECT_FALSE(finder_.IsHole(0, 10));
  file_.fails = false;
  EXPECT_TRUE(finder_.IsHole(1, 10));
}

}  // namespace
}  // namespace qcow2::checker
