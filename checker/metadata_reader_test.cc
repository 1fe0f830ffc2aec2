#include "checker/metadata_reader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "engine/storage/faulty_file.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/slow_file.h"

namespace qcow2::checker {
namespace {

constexpr std::byte kFilled{0x77};

class MetadataReaderTest : public testing::Test {
 protected:
  // The bytes at `offset`, and what was unreadable of them in unreadable_.
  std::vector<std::byte> Read(uint64_t offset, size_t length) {
    std::vector<std::byte> buffer(length, std::byte{0xee});
    unreadable_ = reader_.Read(offset, buffer);
    return buffer;
  }
  // Whether exactly the bytes in [begin, end) are zeros, the others as filled.
  static bool OnlyZeroIn(const std::vector<std::byte>& bytes, size_t begin,
                         size_t end) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      const bool zero = i >= begin && i < end;
      if (bytes[i] != (zero ? std::byte{0} : kFilled)) return false;
    }
    return true;
  }

  CheckOptions Options() {
    CheckOptions options;
    options.cancel = &cancel_;
    options.progress = &progress_;
    return options;
  }

  MemoryFile memory_{std::vector<std::byte>(4000, kFilled)};
  FaultyFile file_{memory_};
  std::atomic<bool> cancel_{false};
  Progress progress_;
  MetadataReader reader_{file_, Options()};
  std::vector<UnreadableRange> unreadable_;
};

TEST_F(MetadataReaderTest, ReadsWhatIsThere) {
  EXPECT_TRUE(OnlyZeroIn(Read(100, 300), 0, 0));
  EXPECT_TRUE(unreadable_.empty());
}

TEST_F(MetadataReaderTest, BehindTheEndAreZeros) {
  EXPECT_TRUE(OnlyZeroIn(Read(3900, 300), 100, 300));
  EXPECT_TRUE(unreadable_.empty());
  EXPECT_TRUE(OnlyZeroIn(Read(uint64_t{1} << 62, 300), 0, 300));
  EXPECT_TRUE(unreadable_.empty());
}

TEST_F(MetadataReaderTest, LosesNoMoreThanTheBadSector) {
  file_.FailReadsIn({1030, 1});
  EXPECT_TRUE(OnlyZeroIn(Read(0, 4000), 1024, 1536));
  ASSERT_EQ(unreadable_.size(), 1u);
  EXPECT_EQ(unreadable_[0].offset_bytes, 1024u);
  EXPECT_EQ(unreadable_[0].length_bytes, 512u);
  EXPECT_NE(unreadable_[0].reason, "");
}

TEST_F(MetadataReaderTest, CutsSectorsAtTheFileNotAtTheBuffer) {
  file_.FailReadsIn({1030, 1});
  EXPECT_TRUE(OnlyZeroIn(Read(1000, 200), 24, 200));
  ASSERT_EQ(unreadable_.size(), 1u);
  EXPECT_EQ(unreadable_[0].offset_bytes, 1024u);
  EXPECT_EQ(unreadable_[0].length_bytes, 176u);
}

TEST_F(MetadataReaderTest, JoinsAdjoiningBadSectorsOnly) {
  file_.FailReadsIn({512, 1024});
  file_.FailReadsIn({2048, 512});
  Read(0, 4000);
  ASSERT_EQ(unreadable_.size(), 2u);
  EXPECT_EQ(unreadable_[0].offset_bytes, 512u);
  EXPECT_EQ(unreadable_[0].length_bytes, 1024u);
  EXPECT_EQ(unreadable_[1].offset_bytes, 2048u);
  EXPECT_EQ(unreadable_[1].length_bytes, 512u);
}

TEST_F(MetadataReaderTest, CountsBytesAndProgress) {
  reader_.Expect(5000);
  Read(0, 300);
  Read(100, 50);
  EXPECT_EQ(reader_.bytes_read(), 350u);
  EXPECT_EQ(progress_.done_bytes, 350u);
  EXPECT_EQ(progress_.total_bytes, 5000u);
}

TEST_F(MetadataReaderTest, TellsADiskByItsReads) {
  SlowFile slow(memory_);
  const MetadataReader reader(slow, Options());
  EXPECT_FALSE(reader.from_disk());
  std::vector<std::byte> buffer(512);
  EXPECT_TRUE(reader.Read(0, buffer).empty());
  EXPECT_TRUE(reader.from_disk());
}

TEST_F(MetadataReaderTest, TellsASlowDiskByMostOfItsFirstReads) {
  SlowFile slow(memory_);
  const MetadataReader reader(slow, Options());
  std::vector<std::byte> buffer(512);
  EXPECT_FALSE(reader.slow_disk());
  reader.Read(0, buffer);
  EXPECT_FALSE(reader.slow_disk());  // It may have happened to be busy.
  reader.Read(0, buffer);
  EXPECT_TRUE(reader.slow_disk());
}

TEST_F(MetadataReaderTest, HeedsTheUser) {
  EXPECT_FALSE(reader_.Cancelled());
  cancel_ = true;
  EXPECT_TRUE(reader_.Cancelled());
  // Not sector by sector through a disk that is all bad.
  file_.FailReadsIn({0, 4000});
  const uint64_t before = file_.failures();
  EXPECT_TRUE(OnlyZeroIn(Read(0, 4000), 0, 4000));
  EXPECT_EQ(file_.failures(), before + 1);
}

}  // namespace
}  // namespace qcow2::checker
