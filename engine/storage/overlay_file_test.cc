#include "engine/storage/overlay_file.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/storage/faulty_file.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using std::string_literals::operator""s;  // NOLINT(misc-unused-using-decls)

constexpr uint64_t kGranule = OverlayFile::kGranule;

std::unique_ptr<OverlayFile> CreateOrDie(const File& base) {
  auto overlay = OverlayFile::Create(base);
  EXPECT_TRUE(overlay.ok()) << overlay.status();
  return overlay.ok() ? *std::move(overlay) : nullptr;
}

TEST(OverlayFileTest, UnchangedShowsTheBase) {
  const MemoryFile base(Bytes("abcdef"), "image");
  const auto overlay = CreateOrDie(base);
  EXPECT_EQ(overlay->name(), "image");
  EXPECT_EQ(*overlay->Size(), 6u);
  EXPECT_EQ(ReadText(*overlay, 1, 10), "bcdef");
  EXPECT_EQ(ReadText(*overlay, std::numeric_limits<uint64_t>::max(), 1), "");
  EXPECT_THAT(overlay->DirtyRanges(), IsEmpty());
}

TEST(OverlayFileTest, WritesDoNotReachTheBase) {
  const MemoryFile base(Bytes("abcdef"));
  const auto overlay = CreateOrDie(base);
  ASSERT_TRUE(WriteText(*overlay, 2, "XY").ok());
  ASSERT_TRUE(overlay->Flush().ok());
  EXPECT_EQ(ReadText(*overlay, 0, 10), "abXYef");
  EXPECT_EQ(ReadText(base, 0, 10), "abcdef");
  EXPECT_THAT(overlay->DirtyRanges(), ElementsAre(ByteRange{0, 6}));
}

TEST(OverlayFileTest, WritingPastTheEndGrowsWithZeros) {
  const MemoryFile base(Bytes("ab"));
  const auto overlay = CreateOrDie(base);
  ASSERT_TRUE(WriteText(*overlay, 3 * kGranule, "z").ok());
  EXPECT_EQ(*overlay->Size(), 3 * kGranule + 1);
  EXPECT_EQ(ReadText(*overlay, 1, 3), "b\0\0"s);
  EXPECT_EQ(ReadText(*overlay, 3 * kGranule - 1, 5), "\0z"s);
  EXPECT_THAT(overlay->DirtyRanges(), ElementsAre(ByteRange{3 * kGranule, 1}));
}

TEST(OverlayFileTest, ClearedShowsTheBaseAgain) {
  const std::vector<std::byte> bytes(3 * kGranule, std::byte{'a'});
  const MemoryFile base(bytes);
  MemoryFile scratch;
  const auto overlay = *OverlayFile::Create(base, {scratch, kGranule});
  for (int round = 0; round < 2; ++round) {
    const uint64_t writes = overlay->writes();
    ASSERT_TRUE(WriteText(*overlay, 0, "bbb").ok());
    ASSERT_TRUE(WriteText(*overlay, 2 * kGranule, "ccc").ok());
    ASSERT_TRUE(overlay->PunchHole({kGranule, kGranule}).ok());
    EXPECT_EQ(overlay->writes(), writes + 3);
    ASSERT_TRUE(overlay->Truncate(kGranule + 1).ok());
    ASSERT_TRUE(overlay->Truncate(5 * kGranule).ok());
    EXPECT_EQ(ReadText(*overlay, 0, 4), "bbba");
    EXPECT_EQ(ReadText(*overlay, 2 * kGranule, 3), "\0\0\0"s);
    overlay->Clear();
    EXPECT_THAT(overlay->DirtyRanges(), IsEmpty());
    EXPECT_EQ(*overlay->Size(), bytes.size());
    EXPECT_EQ(ReadText(*overlay, 0, bytes.size()),
              std::string(bytes.size(), 'a'));
  }
}

TEST(OverlayFileTest, WhatWasCutOffDoesNotComeBack) {
  const MemoryFile base(std::vector<std::byte>(3 * kGranule, std::byte{'a'}));
  const auto overlay = CreateOrDie(base);
  ASSERT_TRUE(WriteText(*overlay, 0, "bbb").ok());
  ASSERT_TRUE(overlay->Truncate(2).ok());
  ASSERT_TRUE(overlay->Truncate(3 * kGranule).ok());
  EXPECT_EQ(ReadText(*overlay, 0, 4), "bb\0\0"s);
  EXPECT_EQ(ReadText(*overlay, 2 * kGranule, 2), "\0\0"s);
  EXPECT_THAT(overlay->DirtyRanges(), ElementsAre(ByteRange{0, 3 * kGranule}));
}

TEST(OverlayFileTest, PunchingALotTakesNoMemoryToSpeakOf) {
  // One stretch of a base that claims 2^62 bytes; a granule each would never
  // end.
  class Huge : public MemoryFile {
    absl::StatusOr<uint64_t> Size() const override { return uint64_t{1} << 62; }
  };
  const Huge base;
  const auto overlay = CreateOrDie(base);
  ASSERT_TRUE(
      overlay->PunchHole({10, std::numeric_limits<uint64_t>::max()}).ok());
  EXPECT_THAT(overlay->DirtyRanges(),
              ElementsAre(ByteRange{0, uint64_t{1} << 62}));
  EXPECT_EQ(ReadText(*overlay, uint64_t{1} << 61, 1), "\0"s);
}

TEST(OverlayFileTest, OffsetsPastTheLargestAreErrors) {
  const MemoryFile base(Bytes("ab"));
  const auto overlay = CreateOrDie(base);
  const uint64_t offset_max = std::numeric_limits<int64_t>::max();
  for (const uint64_t offset :
       {offset_max, offset_max + 1, std::numeric_limits<uint64_t>::max()}) {
    EXPECT_EQ(WriteText(*overlay, offset, "x").code(),
              absl::StatusCode::kOutOfRange);
  }
  EXPECT_EQ(overlay->Truncate(offset_max + 1).code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(*overlay->Size(), 2u);
}

TEST(OverlayFileTest, UnreadableBaseStopsOnlyWhoNeedsIt) {
  MemoryFile memory(std::vector<std::byte>(2 * kGranule, std::byte{'a'}));
  FaultyFile base(memory);
  base.FailReadsIn({0, kGranule});
  const auto overlay = CreateOrDie(base);
  EXPECT_EQ(WriteText(*overlay, 1, "x").code(),
            absl::ErrnoToStatus(EIO, "").code());
  EXPECT_THAT(overlay->DirtyRanges(), IsEmpty());
  EXPECT_TRUE(WriteText(*overlay, kGranule, "x").ok());
  // A whole granule can be written over what cannot be read.
  EXPECT_TRUE(WriteText(*overlay, 0, std::string(kGranule, 'y')).ok());
  EXPECT_EQ(ReadText(*overlay, 0, 2), "yy");
}

TEST(OverlayFileTest, NextDataLeavesPunchedHolesOut) {
  const MemoryFile base(std::vector<std::byte>(8 * kGranule, std::byte{'a'}));
  const auto overlay = CreateOrDie(base);
  ASSERT_TRUE(overlay->PunchHole({kGranule, 2 * kGranule}).ok());
  EXPECT_EQ(*overlay->NextData(0), (ByteRange{0, kGranule}));
  EXPECT_EQ(*overlay->NextData(kGranule),
            (ByteRange{3 * kGranule, 5 * kGranule}));
  ASSERT_TRUE(WriteText(*overlay, 2 * kGranule, "x").ok());
  EXPECT_EQ(*overlay->NextData(kGranule), (ByteRange{2 * kGranule, kGranule}));
  EXPECT_EQ(*overlay->NextData(8 * kGranule), (ByteRange{8 * kGranule, 0}));
}

TEST(OverlayFileTest, IsDirtyIsAboutTheRangeAlone) {
  const MemoryFile base(std::vector<std::byte>(8 * kGranule, std::byte{'a'}));
  const auto overlay = CreateOrDie(base);
  ASSERT_TRUE(WriteText(*overlay, 3 * kGranule + 5, "x").ok());
  const uint64_t all = std::numeric_limits<uint64_t>::max();
  EXPECT_TRUE(overlay->IsDirty({0, all}));
  EXPECT_TRUE(overlay->IsDirty({4 * kGranule - 1, all}));
  EXPECT_FALSE(overlay->IsDirty({4 * kGranule, all}));
  EXPECT_FALSE(overlay->IsDirty({0, 3 * kGranule}));
  EXPECT_FALSE(overlay->IsDirty({3 * kGranule, 0}));
  EXPECT_FALSE(overlay->IsDirty({all, all}));
}

TEST(OverlayFileTest, ManyChangesGoToTheScratchFile) {
  const MemoryFile base(std::vector<std::byte>(64 * kGranule, std::byte{'a'}));
  MemoryFile scratch;
  const auto overlay = *OverlayFile::Create(
      base, {.scratch = scratch, .memory_max = 4 * kGranule});
  for (uint64_t i = 0; i < 64; ++i) {
    ASSERT_TRUE(WriteText(*overlay, i * kGranule, std::to_string(i)).ok());
  }
  EXPECT_EQ(*scratch.Size(), 60 * kGranule);
  // Changed again where it is, not put there a second time.
  ASSERT_TRUE(WriteText(*overlay, 2 * kGranule + 1, "b").ok());
  EXPECT_EQ(*scratch.Size(), 60 * kGranule);
  EXPECT_EQ(ReadText(*overlay, 2 * kGranule, 3), "2ba");
  for (uint64_t i = 10; i < 64; ++i) {
    EXPECT_EQ(ReadText(*overlay, i * kGranule, 3), std::to_string(i) + "a");
  }
  EXPECT_THAT(overlay->DirtyRanges(), ElementsAre(ByteRange{0, 64 * kGranule}));
}

TEST(OverlayFileTest, AFullScratchFileLosesNothing) {
  const MemoryFile base(std::vector<std::byte>(64 * kGranule, std::byte{'a'}));
  MemoryFile memory;
  FaultyFile scratch(memory);
  scratch.SetCapacity(6 * kGranule);
  const auto overlay = *OverlayFile::Create(
      base, {.scratch = scratch, .memory_max = 4 * kGranule});
  uint64_t written = 0;
  while (WriteText(*overlay, 2 * written * kGranule, "b").ok()) ++written;
  EXPECT_LT(written, 11u);
  EXPECT_GE(written, 8u);
  for (uint64_t i = 0; i < written; ++i) {
    EXPECT_EQ(ReadText(*overlay, 2 * i * kGranule, 2), "ba") << i;
  }
  EXPECT_EQ(ReadText(*overlay, 2 * written * kGranule, 2), "aa");
  scratch.FailReadsIn({0, kGranule});
  std::vector<std::byte> buffer(1);
  EXPECT_FALSE(overlay->Pread(0, buffer).ok());
}

TEST(OverlayFileTest, AScratchFileThatBecameShorterIsAnError) {
  const MemoryFile base(std::vector<std::byte>(64 * kGranule, std::byte{'a'}));
  MemoryFile scratch;
  const auto overlay = *OverlayFile::Create(
      base, {.scratch = scratch, .memory_max = 4 * kGranule});
  for (uint64_t i = 0; i < 64; i += 2) {
    ASSERT_TRUE(WriteText(*overlay, i * kGranule + 1, "b").ok());
  }
  ASSERT_TRUE(scratch.Truncate(kGranule + 1).ok());
  std::vector<std::byte> buffer(64 * kGranule);
  EXPECT_EQ(overlay->Pread(0, buffer).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(OverlayFileTest, SeveralThreadsReadWhatIsInTheScratchFile) {
  const MemoryFile base(std::vector<std::byte>(64 * kGranule, std::byte{'a'}));
  MemoryFile scratch;
  const auto overlay = *OverlayFile::Create(
      base, {.scratch = scratch, .memory_max = 4 * kGranule});
  for (uint64_t i = 0; i < 64; i += 2) {
    ASSERT_TRUE(WriteText(*overlay, i * kGranule + 1, "b").ok());
  }
  std::vector<std::thread> readers;
  readers.reserve(4);
  for (int reader = 0; reader < 4; ++reader) {
    readers.emplace_back([&overlay] {
      for (uint64_t i = 0; i < 64; ++i) {
        EXPECT_EQ(ReadText(*overlay, i * kGranule, 3),
                  i % 2 == 0 ? "aba" : "aaa");
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
}

std::vector<std::byte> Contents(const File& file) {
  std::vector<std::byte> contents(*file.Size());
  EXPECT_EQ(*file.Pread(0, contents), contents.size());
  return contents;
}

// An overlay and a plain file of the same beginning, to which the same is done.
// Every second time at most two granules are kept in memory.
class OverlayAgainstModel : public testing::TestWithParam<unsigned> {
 protected:
  static constexpr uint64_t kBaseSize = 9 * kGranule + 100;

  static std::unique_ptr<OverlayFile> CreateForModel(const File& base,
                                                     File& scratch) {
    if (GetParam() % 2 == 0) return CreateOrDie(base);
    return *OverlayFile::Create(
        base, {.scratch = scratch, .memory_max = 2 * kGranule});
  }

  uint64_t Random(uint64_t below) { return random_() % below; }

  // Often on the edge of a granule.
  uint64_t RandomOffset() {
    const uint64_t offset = Random(12 * kGranule);
    return Random(2) == 0 ? offset : offset / kGranule * kGranule;
  }

  void ChangeBoth(File& overlay, File& model) {
    const uint64_t offset = RandomOffset();
    const uint64_t length = RandomOffset();
    switch (Random(4)) {
      case 0:
        ASSERT_TRUE(overlay.Truncate(offset).ok());
        ASSERT_TRUE(model.Truncate(offset).ok());
        break;
      case 1:
        ASSERT_TRUE(overlay.PunchHole({offset, length}).ok());
        ASSERT_TRUE(model.PunchHole({offset, length}).ok());
        break;
      default: {
        const std::vector<std::byte> data(length % (3 * kGranule),
                                          std::byte(1 + Random(255)));
        ASSERT_TRUE(overlay.Pwrite(offset, data).ok());
        ASSERT_TRUE(model.Pwrite(offset, data).ok());
      }
    }
  }

  std::mt19937_64 random_{GetParam()};
};

// IsDirty says of every granule, and across their edges, what the list does.
void ExpectIsDirtyAgrees(const OverlayFile& overlay) {
  const std::vector<ByteRange> dirty = overlay.DirtyRanges();
  const auto listed = [&dirty](uint64_t begin, uint64_t end) {
    return std::any_of(dirty.begin(), dirty.end(), [&](ByteRange range) {
      return range.offset < end && begin < range.offset + range.length;
    });
  };
  for (uint64_t at = 0; at < 13 * kGranule; at += kGranule / 2) {
    for (const uint64_t length : {uint64_t{1}, kGranule, 3 * kGranule}) {
      EXPECT_EQ(overlay.IsDirty({at, length}), listed(at, at + length))
          << "at " << at << ", length " << length;
    }
  }
}

// Every byte that differs from the base, beyond its end from zero, must be in a
// dirty range.
void ExpectDifferencesAreDirty(const OverlayFile& overlay, const File& base) {
  const std::vector<ByteRange> dirty = overlay.DirtyRanges();
  std::vector<std::byte> expected = Contents(base);
  std::vector<std::byte> actual = Contents(overlay);
  expected.resize(actual.size());
  for (const ByteRange& range : dirty) {
    ASSERT_LE(range.offset + range.length, actual.size());
    const auto offset = static_cast<ptrdiff_t>(range.offset);
    std::fill_n(expected.begin() + offset, range.length, std::byte{0});
    std::fill_n(actual.begin() + offset, range.length, std::byte{0});
  }
  EXPECT_TRUE(actual == expected);
  for (size_t i = 1; i < dirty.size(); ++i) {
    EXPECT_LT(dirty[i - 1].offset + dirty[i - 1].length, dirty[i].offset);
  }
}

void ExpectGapsBetweenDataAreZeros(const OverlayFile& overlay) {
  std::vector<std::byte> contents = Contents(overlay);
  for (uint64_t offset = 0; offset < contents.size();) {
    const ByteRange data = *overlay.NextData(offset);
    ASSERT_GE(data.offset, offset);
    if (data.length == 0) break;
    std::fill_n(contents.begin() + static_cast<ptrdiff_t>(data.offset),
                data.length, std::byte{0});
    offset = data.offset + data.length;
  }
  EXPECT_TRUE(std::all_of(contents.begin(), contents.end(),
                          [](std::byte byte) { return byte == std::byte{0}; }));
}

TEST_P(OverlayAgainstModel, SameAfterEveryChange) {
  const MemoryFile base(std::vector<std::byte>(kBaseSize, std::byte{0xaa}));
  MemoryFile scratch;
  const auto overlay = CreateForModel(base, scratch);
  MemoryFile model(Contents(base));
  for (int step = 0; step < 60; ++step) {
    ChangeBoth(*overlay, model);
    ASSERT_EQ(*overlay->Size(), *model.Size()) << "step " << step;
    ASSERT_TRUE(Contents(*overlay) == Contents(model)) << "step " << step;
    const uint64_t offset = RandomOffset();
    ASSERT_EQ(ReadText(*overlay, offset, 5000), ReadText(model, offset, 5000));
    ExpectDifferencesAreDirty(*overlay, base);
    ExpectIsDirtyAgrees(*overlay);
    ExpectGapsBetweenDataAreZeros(*overlay);
  }
  EXPECT_TRUE(Contents(base) ==
              std::vector<std::byte>(kBaseSize, std::byte{0xaa}));
}

INSTANTIATE_TEST_SUITE_P(Seeds, OverlayAgainstModel, testing::Range(0u, 40u));

}  // namespace
}  // namespace qcow2
