#include "repair/journal/commit.h"

#include <memory>
#include <string>

#include "engine/storage/memory_file.h"
#include "engine/storage/overlay_file.h"
#include "engine/storage/testing.h"
#include "gtest/gtest.h"
#include "repair/journal/recover.h"
#include "repair/journal/scenarios.h"
#include "repair/journal/simulated_disk.h"
#include "repair/journal/undo.h"

namespace qcow2::repair {
namespace {

class CommitEachScenario : public testing::TestWithParam<Scenario> {};

TEST_P(CommitEachScenario, MakesTheNewImageAndUndoTheOld) {
  const Scenario& scenario = GetParam();
  SimulatedDisk disk(scenario.old_image, scenario.files);
  const CommitResult result = CommitScenario(scenario, disk);
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.image, ImageState::kNew);
  EXPECT_TRUE(disk.image_contents() == NewImage(scenario));
  EXPECT_GT(result.changed_bytes, 0u);
  EXPECT_FALSE(disk.files().contains("image.fsck-journal"));
  EXPECT_EQ(disk.files().contains("image.fsck-undo"), scenario.keep_undo);
  EXPECT_EQ(result.undo_name, scenario.keep_undo ? "image.fsck-undo" : "");

  const auto undone = Undo(disk.image(), kScenarioIdentity, PlaceOn(disk));
  if (!scenario.keep_undo) {
    EXPECT_EQ(undone.status().code(), absl::StatusCode::kNotFound);
    return;
  }
  ASSERT_TRUE(undone.ok()) << undone.status();
  EXPECT_EQ(undone->image_size, scenario.old_image.size());
  EXPECT_TRUE(disk.image_contents() == scenario.old_image);
  EXPECT_FALSE(disk.files().contains("image.fsck-undo"));
  EXPECT_FALSE(disk.files().contains("image.fsck-journal"));
}

INSTANTIATE_TEST_SUITE_P(All, CommitEachScenario,
                         testing::ValuesIn(Scenarios()),
                         [](const auto& info) { return info.param.name; });

Scenario First() { return Scenarios().front(); }

TEST(CommitTest, AnOlderUndoFileGetsTheFirstFreeNumber) {
  Scenario scenario = First();
  scenario.files = {{"image.fsck-undo", Bytes("older")},
                    {"image.fsck-undo.1", Bytes("oldest")}};
  SimulatedDisk disk(scenario.old_image, scenario.files);
  const CommitResult result = CommitScenario(scenario, disk);
  EXPECT_EQ(result.older_undo_name, "image.fsck-undo.2");
  EXPECT_EQ(disk.files().at("image.fsck-undo.1"), Bytes("oldest"));
  EXPECT_EQ(disk.files().at("image.fsck-undo.2"), Bytes("older"));
}

TEST(CommitTest, NothingIsWrittenWhereThePlanIsTheImage) {
  Scenario scenario = First();
  scenario.plan = [&scenario](File& view) {
    const std::span<const std::byte> bytes = scenario.old_image;
    ASSERT_TRUE(view.Pwrite(5000, bytes.subspan(5000, 6000)).ok());
  };
  SimulatedDisk disk(scenario.old_image);
  const CommitResult result = CommitScenario(scenario, disk);
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.image, ImageState::kOld);
  EXPECT_EQ(result.changed_bytes, 0u);
  EXPECT_TRUE(disk.files().empty());
  EXPECT_TRUE(disk.image_contents() == scenario.old_image);
}

TEST(CommitTest, LeavesOutWhatDoesNotDiffer) {
  Scenario scenario = First();
  scenario.plan = [](File& view) {
    ASSERT_TRUE(WriteText(view, 8192 + 700, "x").ok());
  };
  SimulatedDisk disk(scenario.old_image);
  // The header's sector and the one that was changed.
  EXPECT_EQ(CommitScenario(scenario, disk).changed_bytes, 1024u);
}

TEST(CommitTest, RefusesWhileAJournalIsThere) {
  const Scenario scenario = First();
  SimulatedDisk disk(scenario.old_image,
                     {{"image.fsck-journal", Bytes("anything")}});
  const CommitResult result = CommitScenario(scenario, disk);
  EXPECT_EQ(result.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(result.image, ImageState::kOld);
  EXPECT_EQ(disk.files().at("image.fsck-journal"), Bytes("anything"));
  EXPECT_TRUE(disk.image_contents() == scenario.old_image);
}

TEST(CommitTest, ABlockDeviceDoesNotGrow) {
  const Scenario scenario = First();
  SimulatedDisk disk(scenario.old_image);
  const auto view = OverlayFile::Create(disk.image());
  ASSERT_TRUE(WriteText(**view, scenario.old_image.size(), "more").ok());
  const CommitResult result =
      Commit({.image = disk.image(),
              .identity = {.device = 1, .inode = 2, .is_block_device = true},
              .planned = **view,
              .witnesses = {},
              .place = PlaceOn(disk)});
  EXPECT_EQ(result.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(disk.operations(), 0u);
}

TEST(CommitTest, WitnessesAreCountedOnceAndNotWithinChanges) {
  Scenario scenario = First();
  scenario.plan = [](File& view) {
    ASSERT_TRUE(WriteText(view, 8192, "x").ok());
  };
  scenario.witnesses = {{8000, 1000}, {7000, 1500}, {19999, 50}, {50000, 9}};
  SimulatedDisk disk(scenario.old_image);
  EXPECT_EQ(CommitScenario(scenario, disk).witness_bytes,
            (9000u - 7000u) - 512u + 1u);
}

}  // namespace
}  // namespace qcow2::repair
