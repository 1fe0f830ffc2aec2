// Journals that are damaged, cut off, another image's or out of date: they are
// refused or thrown away, and never used in part.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "engine/format/byte_order.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "repair/journal/applier.h"
#include "repair/journal/commit.h"
#include "repair/journal/crc32c.h"
#include "repair/journal/journal_format.h"
#include "repair/journal/journal_reader.h"
#include "repair/journal/recover.h"
#include "repair/journal/scenarios.h"
#include "repair/journal/simulated_disk.h"
#include "repair/journal/undo.h"

namespace qcow2::repair {
namespace {

using Contents = SimulatedDisk::Contents;
using ::testing::HasSubstr;

constexpr char kJournal[] = "image.fsck-journal";
constexpr char kUndo[] = "image.fsck-undo";
constexpr uint64_t kCommitRecord = kJournalBlock;

// The bytes of a journal that are worth damaging, or cutting at: every one that
// means something, a few of those between.
size_t Next(size_t i) {
  constexpr size_t kSparse = 61;
  const bool empty = i < kBodyOffset && i % kJournalBlock >= 64;
  return i + (empty && i + kSparse < kBodyOffset &&
                      i % kJournalBlock + kSparse < kJournalBlock
                  ? kSparse
                  : 1);
}

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

// A repair of a sector in the middle of an image, which grows.
class DamageTest : public testing::Test {
 protected:
  DamageTest() {
    scenario_ = Scenarios().front();
    scenario_.witnesses = {{2048, 1024}};
    scenario_.plan = [](File& view) {
      ASSERT_TRUE(WriteText(view, 44, "header").ok());
      ASSERT_TRUE(WriteText(view, 8192, "middle").ok());
      ASSERT_TRUE(WriteText(view, 30000, "end").ok());
    };
    new_image_ = NewImage(scenario_);
    SimulatedDisk disk(scenario_.old_image);
    EXPECT_TRUE(CommitScenario(scenario_, disk).status.ok());
    undo_file_ = disk.files().at(kUndo);
    journal_ = undo_file_;
    std::fill_n(journal_.begin() + StateRecordOffset(JournalState::kApplied),
                kStateRecordLength, std::byte{0});
    half_applied_ = scenario_.old_image;
    half_applied_[79] |= std::byte{2};
    std::copy_n(new_image_.begin() + 8192, 3, half_applied_.begin() + 8192);
  }

  absl::StatusOr<RecoverResult> RecoverOn(
      SimulatedDisk& disk, const ImageIdentity& identity = kScenarioIdentity,
      const RecoverOptions& options = {}) {
    return Recover(disk.image(), identity, PlaceOn(disk), options);
  }

  absl::Status UndoOn(SimulatedDisk& disk,
                      const ImageIdentity& identity = kScenarioIdentity,
                      const RecoverOptions& options = {}) {
    return Undo(disk.image(), identity, PlaceOn(disk), options).status();
  }

  // Recovers `image` with `journal`. Either it succeeds and makes `expected`,
  // or nothing is touched.
  void ExpectAllOrNothing(const Contents& image, const Contents& journal,
                          const Contents& expected) {
    SimulatedDisk disk(image, {{kJournal, journal}});
    if (RecoverOn(disk).ok()) {
      EXPECT_TRUE(disk.image_contents() == expected);
      EXPECT_FALSE(disk.files().contains(kJournal));
    } else {
      EXPECT_EQ(disk.operations(), 0u);
    }
  }

  Scenario scenario_;
  Contents new_image_;
  Contents journal_;    // Committed.
  Contents undo_file_;  // Applied.
  Contents half_applied_;
};

TEST_F(DamageTest, TheJournalIsGoodToBeginWith) {
  for (const Contents& image :
       {scenario_.old_image, half_applied_, new_image_}) {
    SimulatedDisk disk(image, {{kJournal, journal_}});
    const auto recovered = RecoverOn(disk);
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    EXPECT_EQ(recovered->found, JournalState::kCommitted);
    EXPECT_TRUE(disk.image_contents() == new_image_);
  }
}

TEST_F(DamageTest, EveryByteOfAJournal) {
  for (const std::byte flipped : {std::byte{0x01}, std::byte{0xff}}) {
    int refused = 0;
    for (size_t i = 0; i < journal_.size(); i = Next(i)) {
      SCOPED_TRACE(testing::Message() << "byte " << i);
      Contents damaged = journal_;
      damaged[i] ^= flipped;
      SimulatedDisk disk(half_applied_, {{kJournal, damaged}});
      const auto recovered = RecoverOn(disk);
      if (recovered.ok()) {
        ASSERT_TRUE(disk.image_contents() == new_image_);
        continue;
      }
      ++refused;
      ASSERT_EQ(disk.operations(), 0u);
      ASSERT_EQ(recovered.status().code(), absl::StatusCode::kDataLoss)
          << recovered.status();
    }
    // All but the empty rest of the first five blocks.
    EXPECT_EQ(refused, kJournalHeaderLength + kStateRecordLength +
                           (journal_.size() - kBodyOffset));
  }
}

TEST_F(DamageTest, EveryByteOfAJournalThatWasNotApplied) {
  for (size_t i = 0; i < journal_.size(); i = Next(i)) {
    SCOPED_TRACE(testing::Message() << "byte " << i);
    Contents damaged = journal_;
    damaged[i] ^= std::byte{0x10};
    const bool in_commit_record =
        i >= kCommitRecord && i < kCommitRecord + kStateRecordLength;
    ExpectAllOrNothing(scenario_.old_image, damaged,
                       in_commit_record ? scenario_.old_image : new_image_);
  }
}

TEST_F(DamageTest, EveryByteOfAnUndoFile) {
  for (size_t i = 0; i < undo_file_.size(); i = Next(i)) {
    SCOPED_TRACE(testing::Message() << "byte " << i);
    Contents damaged = undo_file_;
    damaged[i] ^= std::byte{0x10};
    SimulatedDisk disk(new_image_, {{kUndo, damaged}});
    const absl::Status undone = UndoOn(disk);
    if (undone.ok()) {
      ASSERT_TRUE(disk.image_contents() == scenario_.old_image);
    } else {
      ASSERT_EQ(disk.operations(), 0u) << undone;
    }
  }
}

TEST_F(DamageTest, CutOffAnywhere) {
  for (size_t length = 0; length < journal_.size(); length = Next(length)) {
    SCOPED_TRACE(testing::Message() << "length " << length);
    const Contents cut(journal_.begin(),
                       journal_.begin() + static_cast<ptrdiff_t>(length));
    // Without a commit record it is thrown away, else refused.
    ExpectAllOrNothing(scenario_.old_image, cut, scenario_.old_image);
    if (length >= kCommitRecord + 1) {
      SimulatedDisk disk(half_applied_, {{kJournal, cut}});
      EXPECT_EQ(RecoverOn(disk).status().code(), absl::StatusCode::kDataLoss);
      EXPECT_EQ(disk.operations(), 0u);
    }
    SimulatedDisk repaired(new_image_, {{kUndo, cut}});
    EXPECT_FALSE(UndoOn(repaired).ok());
    EXPECT_EQ(repaired.operations(), 0u);
  }
}

// What a disk may show that had another journal there before.
TEST_F(DamageTest, TheBodyOfAnotherJournalIsRefused) {
  Scenario other = scenario_;
  other.plan = [](File& view) {
    ASSERT_TRUE(WriteText(view, 44, "HEADER").ok());
    ASSERT_TRUE(WriteText(view, 8192, "MIDDLE").ok());
    ASSERT_TRUE(WriteText(view, 30000, "END").ok());
  };
  SimulatedDisk other_disk(scenario_.old_image);
  ASSERT_TRUE(CommitScenario(other, other_disk).status.ok());
  Contents mixed = other_disk.files().at(kUndo);
  ASSERT_EQ(mixed.size(), journal_.size());
  std::copy_n(journal_.begin(), kBodyOffset, mixed.begin());
  SimulatedDisk disk(scenario_.old_image, {{kJournal, mixed}});
  EXPECT_EQ(RecoverOn(disk).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(disk.operations(), 0u);
}

// A journal is read once to judge it and once more to apply it.
TEST_F(DamageTest, WhatIsReadOtherwiseTheSecondTimeIsNotWritten) {
  const auto front = ReadJournalFront(MemoryFile(journal_));
  ASSERT_TRUE(front.ok()) << front.status();
  for (size_t i = kBodyOffset; i < journal_.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "byte " << i);
    Contents damaged = journal_;
    damaged[i] ^= std::byte{0x10};
    SimulatedDisk disk(half_applied_, {{kJournal, journal_}});
    ASSERT_EQ(ApplyJournal(disk.image(), MemoryFile(damaged), *front,
                           Direction::kToNew)
                  .code(),
              absl::StatusCode::kDataLoss);
    const absl::Status recovered = RecoverOn(disk).status();
    ASSERT_TRUE(recovered.ok()) << recovered;
    ASSERT_TRUE(disk.image_contents() == new_image_);
  }
}

TEST_F(DamageTest, AnUndoThatWasCutShortGoesOnBackward) {
  const auto front = ReadJournalFront(MemoryFile(undo_file_));
  ASSERT_TRUE(front.ok()) << front.status();
  const auto record = EncodeStateRecord(JournalState::kUndoing, *front->seal);
  Contents undoing = undo_file_;
  std::copy(record.begin(), record.end(),
            undoing.begin() + StateRecordOffset(JournalState::kUndoing));
  for (const Contents& image :
       {new_image_, half_applied_, scenario_.old_image}) {
    SimulatedDisk disk(image, {{kJournal, undoing}});
    const auto recovered = RecoverOn(disk);
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    EXPECT_EQ(recovered->found, JournalState::kUndoing);
    EXPECT_EQ(recovered->image, ImageState::kOld);
    EXPECT_TRUE(disk.image_contents() == scenario_.old_image);
    EXPECT_FALSE(disk.files().contains(kJournal));
  }
}

TEST_F(DamageTest, AFileThatIsNoJournalStays) {
  for (const Contents& file :
       {Bytes("notes of mine"), scenario_.old_image, Bytes("QFSCKJNx")}) {
    SimulatedDisk disk(scenario_.old_image, {{kJournal, file}});
    const absl::Status status = RecoverOn(disk).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Message(status), HasSubstr("is not a journal"));
    EXPECT_EQ(disk.operations(), 0u);
  }
}

TEST_F(DamageTest, AnotherVersionIsRefused) {
  // The header says so itself, with a checksum that holds.
  for (const JournalState state :
       {JournalState::kIncomplete, JournalState::kCommitted}) {
    Contents other = journal_;
    other[11] = std::byte{2};
    const uint32_t checksum = Crc32c(
        std::span<const std::byte>(other).first(kJournalHeaderLength - 4));
    StoreBe32(&other[kJournalHeaderLength - 4], checksum);
    if (state == JournalState::kIncomplete) other.resize(kCommitRecord);
    SimulatedDisk disk(scenario_.old_image, {{kJournal, other}});
    const absl::Status status = RecoverOn(disk).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Message(status), HasSubstr("another version"));
    EXPECT_EQ(disk.operations(), 0u);
  }
}

TEST_F(DamageTest, AnotherImagesJournalIsRefused) {
  const ImageIdentity other = {.device = 7, .inode = 12};
  Contents other_image = half_applied_;
  other_image[8192] ^= std::byte{0x40};
  SimulatedDisk disk(other_image, {{kJournal, journal_}});
  const absl::Status status = RecoverOn(disk, other).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), HasSubstr("written for another file"));
  EXPECT_THAT(Message(status), HasSubstr("with other contents"));
  // Not even if told to take it.
  EXPECT_FALSE(RecoverOn(disk, other, {.accept_moved_image = true}).ok());
  EXPECT_EQ(disk.operations(), 0u);
}

TEST_F(DamageTest, AnotherImagesUnfinishedJournalIsNotThrownAway) {
  Contents unfinished = journal_;
  unfinished.resize(kCommitRecord);
  for (const Contents& journal : {unfinished, undo_file_}) {
    SimulatedDisk disk(scenario_.old_image, {{kJournal, journal}});
    EXPECT_EQ(RecoverOn(disk, {.device = 1, .inode = 2}).status().code(),
              absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(disk.operations(), 0u);
  }
}

TEST_F(DamageTest, AMovedImageIsTakenWhenTold) {
  const ImageIdentity moved = {.device = 8, .inode = 12};
  SimulatedDisk disk(half_applied_, {{kJournal, journal_}});
  const absl::Status status = RecoverOn(disk, moved).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), HasSubstr("was moved, or this is a copy"));
  EXPECT_EQ(disk.operations(), 0u);
  EXPECT_TRUE(RecoverOn(disk, moved, {.accept_moved_image = true}).ok());
  EXPECT_TRUE(disk.image_contents() == new_image_);

  EXPECT_FALSE(UndoOn(disk, moved).ok());
  EXPECT_TRUE(UndoOn(disk, moved, {.accept_moved_image = true}).ok());
  EXPECT_TRUE(disk.image_contents() == scenario_.old_image);
}

TEST_F(DamageTest, ADeviceMayHaveAnotherNumberAfterARestart) {
  SimulatedDisk disk(half_applied_, {{kJournal, journal_}});
  EXPECT_TRUE(RecoverOn(disk, {.device = 99, .inode = 11}).ok());
  EXPECT_TRUE(disk.image_contents() == new_image_);
}

TEST_F(DamageTest, ABlockDeviceIsNotResized) {
  const ImageIdentity device = {
      .device = 7, .inode = 11, .is_block_device = true};
  SimulatedDisk disk(half_applied_, {{kJournal, journal_}});
  EXPECT_FALSE(RecoverOn(disk, device, {.accept_moved_image = true}).ok());
  EXPECT_EQ(disk.operations(), 0u);
}

TEST_F(DamageTest, AnImageChangedSinceIsRefusedWithTheOffset) {
  struct Case {
    uint64_t offset;
    const char* message;
  };
  for (const Case& c :
       {Case{8193, "at offset 8193"}, Case{50, "at offset 50"},
        Case{2500, "1024 bytes at offset 2048"}, Case{79, "at offset 79"}}) {
    Contents changed = half_applied_;
    changed[c.offset] ^= std::byte{0x80};
    SimulatedDisk disk(changed, {{kJournal, journal_}});
    const absl::Status recovered = RecoverOn(disk).status();
    EXPECT_EQ(recovered.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Message(recovered), HasSubstr(c.message));
    EXPECT_EQ(disk.operations(), 0u);

    changed = new_image_;
    changed[c.offset] ^= std::byte{0x80};
    SimulatedDisk repaired(changed, {{kUndo, undo_file_}});
    const absl::Status undone = UndoOn(repaired);
    EXPECT_EQ(undone.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Message(undone), HasSubstr(c.message));
    EXPECT_EQ(repaired.operations(), 0u);
  }
}

TEST_F(DamageTest, WhatNobodyAskedAboutMayChange) {
  Contents changed = new_image_;
  changed[15000] ^= std::byte{0x80};
  SimulatedDisk disk(changed, {{kUndo, undo_file_}});
  ASSERT_TRUE(UndoOn(disk).ok());
  Contents expected = scenario_.old_image;
  expected[15000] ^= std::byte{0x80};
  EXPECT_TRUE(disk.image_contents() == expected);
}

TEST_F(DamageTest, UndoDoesNotCutOffWhatWasWrittenSince) {
  Contents written = new_image_;
  written[25000] = std::byte{1};  // Grown by the repair, zeros until then.
  Contents longer = new_image_;
  longer.push_back(std::byte{0});
  Contents marked = new_image_;
  marked[79] |= std::byte{2};
  for (const Contents& image :
       {written, longer, marked, half_applied_, scenario_.old_image}) {
    SimulatedDisk disk(image, {{kUndo, undo_file_}});
    EXPECT_EQ(UndoOn(disk).code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(disk.operations(), 0u);
  }
}

TEST_F(DamageTest, ALengthOutsideOfBothIsRefused) {
  Contents shorter = half_applied_;
  shorter.pop_back();
  Contents longer = new_image_;
  longer.push_back(std::byte{0});
  for (const Contents& image : {shorter, longer}) {
    SimulatedDisk disk(image, {{kJournal, journal_}});
    EXPECT_THAT(Message(RecoverOn(disk).status()), HasSubstr("bytes, while"));
    EXPECT_EQ(disk.operations(), 0u);
  }
}

TEST_F(DamageTest, InspectTellsTheState) {
  Contents unfinished = journal_;
  unfinished.resize(kCommitRecord);
  const SimulatedDisk::Names files = {{"unfinished", unfinished},
                                      {"committed", journal_},
                                      {"applied", undo_file_},
                                      {"empty", {}}};
  SimulatedDisk disk(scenario_.old_image, files);
  const auto state_of = [&disk](const std::string& name) {
    return InspectJournal(disk.directory(), name)->state;
  };
  EXPECT_EQ(state_of("unfinished"), JournalState::kIncomplete);
  EXPECT_EQ(state_of("committed"), JournalState::kCommitted);
  EXPECT_EQ(state_of("applied"), JournalState::kApplied);
  EXPECT_EQ(state_of("empty"), JournalState::kIncomplete);
  EXPECT_EQ(state_of("none"), JournalState::kNone);
  const auto info = InspectJournal(disk.directory(), "committed");
  EXPECT_EQ(info->identity, kScenarioIdentity);
  EXPECT_EQ(info->old_size, scenario_.old_image.size());
  EXPECT_EQ(info->new_size, new_image_.size());
  EXPECT_EQ(info->journal_bytes, journal_.size());
  EXPECT_EQ(disk.operations(), 0u);
}

}  // namespace
}  // namespace qcow2::repair
