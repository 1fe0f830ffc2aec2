#include "engine/storage/memory_file.h"

#include <cstdint>
#include <limits>
#include <string>

#include "engine/storage/testing.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using std::string_literals::operator""s;  // NOLINT(misc-unused-using-decls)

TEST(MemoryFileTest, ReadsWhatItWasGiven) {
  const MemoryFile file(Bytes("abcdef"), "image");
  EXPECT_EQ(file.name(), "image");
  EXPECT_EQ(*file.Size(), 6u);
  EXPECT_EQ(ReadText(file, 0, 6), "abcdef");
  EXPECT_EQ(ReadText(file, 2, 2), "cd");
}

TEST(MemoryFileTest, ReadingPastTheEndIsShort) {
  const MemoryFile file(Bytes("abcdef"));
  EXPECT_EQ(ReadText(file, 4, 10), "ef");
  EXPECT_EQ(ReadText(file, 6, 10), "");
  EXPECT_EQ(ReadText(file, std::numeric_limits<uint64_t>::max(), 10), "");
}

TEST(MemoryFileTest, ReadZeroFilledFillsUpWithZeros) {
  const MemoryFile file(Bytes("ab"));
  std::vector<std::byte> buffer(4, std::byte{0xff});
  ASSERT_TRUE(ReadZeroFilled(file, 1, buffer).ok());
  EXPECT_EQ(buffer, Bytes("b\0\0\0"s));
}

TEST(MemoryFileTest, WritingPastTheEndGrowsWithZeros) {
  MemoryFile file(Bytes("ab"));
  ASSERT_TRUE(WriteText(file, 1, "XY").ok());
  ASSERT_TRUE(WriteText(file, 5, "z").ok());
  EXPECT_EQ(ReadText(file, 0, 10), "aXY\0\0z"s);
}

TEST(MemoryFileTest, WritingNothingDoesNotGrow) {
  MemoryFile file;
  ASSERT_TRUE(WriteText(file, 100, "").ok());
  EXPECT_EQ(*file.Size(), 0u);
}

TEST(MemoryFileTest, WildOffsetsAreErrors) {
  MemoryFile file(Bytes("ab"));
  for (const uint64_t offset :
       {MemoryFile::kSizeMax, std::numeric_limits<uint64_t>::max()}) {
    EXPECT_EQ(WriteText(file, offset, "x").code(),
              absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(file.Truncate(MemoryFile::kSizeMax + 1).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(*file.Size(), 2u);
}

TEST(MemoryFileTest, TruncateCutsAndGrowsWithZeros) {
  MemoryFile file(Bytes("abcdef"));
  ASSERT_TRUE(file.Truncate(2).ok());
  ASSERT_TRUE(file.Truncate(4).ok());
  EXPECT_EQ(ReadText(file, 0, 10), "ab\0\0"s);
}

TEST(MemoryFileTest, PunchedHoleReadsAsZerosAndKeepsTheLength) {
  MemoryFile file(Bytes("abcdef"));
  ASSERT_TRUE(file.PunchHole({1, 2}).ok());
  EXPECT_EQ(ReadText(file, 0, 10), "a\0\0def"s);
  ASSERT_TRUE(file.PunchHole({4, std::numeric_limits<uint64_t>::max()}).ok());
  ASSERT_TRUE(file.PunchHole({100, 1}).ok());
  EXPECT_EQ(ReadText(file, 0, 10), "a\0\0d\0\0"s);
}

TEST(MemoryFileTest, NextDataIsTheRest) {
  const MemoryFile file(Bytes("abcdef"));
  EXPECT_EQ(*file.NextData(2), (ByteRange{2, 4}));
  EXPECT_EQ(*file.NextData(6), (ByteRange{6, 0}));
  EXPECT_EQ(*file.NextData(7), (ByteRange{6, 0}));
}

TEST(MemoryFileTest, AllocatingGrowsWithZerosAndKeepsWhatIsThere) {
  MemoryFile file(Bytes("abc"));
  ASSERT_TRUE(file.Allocate({1, 1}).ok());
  EXPECT_EQ(file.bytes().size(), 3u);
  ASSERT_TRUE(file.Allocate({1, 4}).ok());
  EXPECT_EQ(ReadText(file, 0, 10), std::string("abc\0\0", 5));
  ASSERT_TRUE(file.Allocate({100, 0}).ok());
  EXPECT_EQ(file.bytes().size(), 5u);
  EXPECT_FALSE(file.Allocate({5, std::numeric_limits<uint64_t>::max()}).ok());
  EXPECT_EQ(file.Allocate({0, MemoryFile::kSizeMax + 1}).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(file.bytes().size(), 5u);
}

TEST(MemoryFileTest, LeavesItsThreadsToTheCaller) {
  EXPECT_FALSE(MemoryFile().concurrent());
}

}  // namespace
}  // namespace qcow2
