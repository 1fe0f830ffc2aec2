#include "engine/storage/faulty_file.h"

#include <limits>

#include "engine/storage/memory_file.h"
#include "engine/storage/testing.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

// What ReadText gives where the read failed.
bool ReadFails(const File& file, uint64_t offset, size_t length) {
  std::vector<std::byte> buffer(length);
  return !file.Pread(offset, buffer).ok();
}

TEST(FaultyFileTest, WithoutFaultsNothingFails) {
  MemoryFile memory(Bytes("abcdef"));
  FaultyFile file(memory);
  EXPECT_TRUE(WriteText(file, 1, "XY").ok());
  EXPECT_TRUE(file.Flush().ok());
  EXPECT_TRUE(file.PunchHole({5, 1}).ok());
  EXPECT_TRUE(file.Truncate(5).ok());
  EXPECT_TRUE(file.Lock({}).ok());
  EXPECT_EQ(ReadText(file, 0, 10), "aXYde");
  EXPECT_EQ(file.failures(), 0u);
}

TEST(FaultyFileTest, NthOperationFailsOnce) {
  MemoryFile memory(Bytes("abcdef"));
  FaultyFile file(memory);
  file.FailOn({.operation = FileOperation::kPread, .skip = 1});
  EXPECT_FALSE(ReadFails(file, 0, 1));
  EXPECT_TRUE(ReadFails(file, 0, 1));
  EXPECT_FALSE(ReadFails(file, 0, 1));
  EXPECT_EQ(file.failures(), 1u);
}

TEST(FaultyFileTest, NthOperationFailsForGoodUntilHealed) {
  MemoryFile memory;
  FaultyFile file(memory);
  file.FailOn(
      {.operation = FileOperation::kFlush, .skip = 1, .for_good = true});
  EXPECT_TRUE(file.Flush().ok());
  EXPECT_FALSE(file.Flush().ok());
  EXPECT_FALSE(file.Flush().ok());
  file.Heal();
  EXPECT_TRUE(file.Flush().ok());
}

TEST(FaultyFileTest, OnlyTheToldKindFails) {
  MemoryFile memory(Bytes("abcdef"));
  FaultyFile file(memory);
  file.FailOn({.operation = FileOperation::kTruncate});
  EXPECT_TRUE(WriteText(file, 0, "x").ok());
  EXPECT_FALSE(file.Truncate(1).ok());
  file.FailOn({.operation = FileOperation::kPunchHole});
  EXPECT_FALSE(file.PunchHole({0, 1}).ok());
  file.FailOn({.operation = FileOperation::kLock});
  EXPECT_FALSE(file.Lock({}).ok());
  EXPECT_EQ(ReadText(memory, 0, 10), "xbcdef");
}

TEST(FaultyFileTest, ErrorIsTheToldOne) {
  MemoryFile memory;
  FaultyFile file(memory);
  file.FailOn({.operation = FileOperation::kFlush, .error = ENOSPC});
  EXPECT_EQ(file.Flush().code(), absl::StatusCode::kResourceExhausted);
}

TEST(FaultyFileTest, ShortWriteLeavesItsBeginning) {
  MemoryFile memory(Bytes("abcdef"));
  FaultyFile file(memory);
  file.FailOn({.operation = FileOperation::kPwrite, .written_first = 2});
  EXPECT_FALSE(WriteText(file, 1, "WXYZ").ok());
  EXPECT_EQ(ReadText(memory, 0, 10), "aWXdef");
}

TEST(FaultyFileTest, BadRangeFailsEveryReadThatTouchesIt) {
  MemoryFile memory(Bytes("abcdef"));
  FaultyFile file(memory);
  file.FailReadsIn({2, 2});
  EXPECT_FALSE(ReadFails(file, 0, 2));
  EXPECT_TRUE(ReadFails(file, 0, 3));
  EXPECT_TRUE(ReadFails(file, 3, 1));
  EXPECT_FALSE(ReadFails(file, 4, 2));
  EXPECT_EQ(file.failures(), 2u);
}

TEST(FaultyFileTest, BadRangeToTheEndOfAllOffsets) {
  MemoryFile memory(Bytes("abcdef"));
  FaultyFile file(memory);
  file.FailReadsIn({3, std::numeric_limits<uint64_t>::max()});
  EXPECT_FALSE(ReadFails(file, 0, 3));
  EXPECT_TRUE(ReadFails(file, 5, 1));
}

TEST(FaultyFileTest, FullDiskTakesWhatFits) {
  MemoryFile memory(Bytes("abcdef"));
  FaultyFile file(memory);
  file.SetCapacity(8);
  EXPECT_EQ(WriteText(file, 5, "WXYZ").code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadText(memory, 0, 10), "abcdeWXY");
  EXPECT_EQ(file.Truncate(9).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(WriteText(file, 100, "x").code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(WriteText(file, 0, "ABC").ok());
  EXPECT_EQ(*memory.Size(), 8u);
}

TEST(FaultyFileTest, FullDiskReservesWhatFits) {
  MemoryFile memory(Bytes("abcdef"));
  FaultyFile file(memory);
  file.SetCapacity(8);
  EXPECT_EQ(file.Allocate({0, 9}).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(*memory.Size(), 6u);
  EXPECT_TRUE(file.Allocate({0, 8}).ok());
  EXPECT_EQ(*memory.Size(), 8u);
  file.FailOn({.operation = FileOperation::kAllocate});
  EXPECT_EQ(file.Allocate({0, 1}).code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(file.failures(), 2u);
}

}  // namespace
}  // namespace qcow2
