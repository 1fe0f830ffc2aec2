#include "engine/storage/recording_file.h"

#include <vector>

#include "engine/storage/memory_file.h"
#include "engine/storage/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::ElementsAre;

std::vector<FileOperation> Kinds(const RecordingFile& file) {
  std::vector<FileOperation> kinds;
  for (const RecordedOperation& recorded : file.operations()) {
    kinds.push_back(recorded.operation);
  }
  return kinds;
}

TEST(RecordingFileTest, KeepsTheOrder) {
  MemoryFile memory(Bytes("abcdef"));
  RecordingFile file(memory);
  ASSERT_TRUE(file.Lock({}).ok());
  ASSERT_TRUE(WriteText(file, 1, "XY").ok());
  ASSERT_TRUE(file.Flush().ok());
  ASSERT_TRUE(file.PunchHole({0, 1}).ok());
  ASSERT_TRUE(file.Truncate(3).ok());
  EXPECT_EQ(ReadText(file, 1, 2), "XY");
  file.Unlock();
  EXPECT_THAT(Kinds(file),
              ElementsAre(FileOperation::kLock, FileOperation::kPwrite,
                          FileOperation::kFlush, FileOperation::kPunchHole,
                          FileOperation::kTruncate, FileOperation::kPread,
                          FileOperation::kUnlock));
}

TEST(RecordingFileTest, KeepsWhatWasWrittenAndWhere) {
  MemoryFile memory(Bytes("abcdef"));
  RecordingFile file(memory);
  ASSERT_TRUE(WriteText(file, 1, "XY").ok());
  ASSERT_TRUE(file.Truncate(3).ok());
  const std::vector<RecordedOperation> operations = file.operations();
  ASSERT_EQ(operations.size(), 2u);
  EXPECT_EQ(operations[0].range, (ByteRange{1, 2}));
  EXPECT_EQ(operations[0].data, Bytes("XY"));
  EXPECT_TRUE(operations[0].succeeded);
  EXPECT_EQ(operations[1].range, (ByteRange{3, 0}));
  EXPECT_EQ(ReadText(memory, 0, 10), "aXY");
}

TEST(RecordingFileTest, KeepsFailuresAsSuch) {
  MemoryFile memory;
  RecordingFile file(memory);
  EXPECT_FALSE(file.Truncate(MemoryFile::kSizeMax + 1).ok());
  ASSERT_EQ(file.Count(FileOperation::kTruncate), 1u);
  EXPECT_FALSE(file.operations()[0].succeeded);
}

TEST(RecordingFileTest, ClearForgets) {
  MemoryFile memory;
  RecordingFile file(memory);
  ASSERT_TRUE(file.Flush().ok());
  file.Clear();
  EXPECT_EQ(file.Count(FileOperation::kFlush), 0u);
}

TEST(RecordingFileTest, KeepsWhatSpaceWasReserved) {
  MemoryFile memory;
  RecordingFile file(memory);
  ASSERT_TRUE(file.Allocate({1, 2}).ok());
  EXPECT_EQ(*memory.Size(), 3u);
  ASSERT_THAT(Kinds(file), ElementsAre(FileOperation::kAllocate));
  EXPECT_EQ(file.operations()[0].range, (ByteRange{1, 2}));
}

}  // namespace
}  // namespace qcow2
