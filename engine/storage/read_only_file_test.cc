#include "engine/storage/read_only_file.h"

#include "engine/storage/memory_file.h"
#include "engine/storage/testing.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

TEST(ReadOnlyFileTest, Reads) {
  MemoryFile memory(Bytes("abcdef"), "image");
  const ReadOnlyFile file(memory);
  EXPECT_EQ(file.name(), "image");
  EXPECT_EQ(*file.Size(), 6u);
  EXPECT_EQ(ReadText(file, 1, 3), "bcd");
  EXPECT_EQ(*file.NextData(2), (ByteRange{2, 4}));
}

TEST(ReadOnlyFileTest, RefusesEveryChange) {
  MemoryFile memory(Bytes("abcdef"));
  ReadOnlyFile file(memory);
  EXPECT_EQ(WriteText(file, 0, "x").code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(file.Truncate(3).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(file.PunchHole({0, 3}).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(file.Allocate({3, 9}).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(file.Flush().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReadText(memory, 0, 10), "abcdef");
}

}  // namespace
}  // namespace qcow2
