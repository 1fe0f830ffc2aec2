// What is left of a commit, a recovery or an undo by a crash at any point. For
// every prefix of what was done to the disk, and of what was not flushed by
// then nothing, everything or random parts, the next run has to make the old
// image or the new one of it, bit for bit; also when that run ends in the
// middle.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "repair/journal/commit.h"
#include "repair/journal/recover.h"
#include "repair/journal/scenarios.h"
#include "repair/journal/simulated_disk.h"
#include "repair/journal/undo.h"

namespace qcow2::repair {
namespace {

using Contents = SimulatedDisk::Contents;

constexpr int kRandomSurvivals = 6;
constexpr int kSecondCrashes = 3;
constexpr char kJournal[] = "image.fsck-journal";
constexpr char kUndo[] = "image.fsck-undo";

class CrashTest : public testing::TestWithParam<Scenario> {
 protected:
  bool IsOld(const SimulatedDisk& disk) const {
    return disk.image_contents() == scenario_.old_image;
  }
  bool IsNew(const SimulatedDisk& disk) const {
    return disk.image_contents() == new_image_;
  }

  // While the image is neither, but for its header's sector, which comes
  // last, nobody else may take it for one that can be written to.
  void ExpectMarkedInBetween(const SimulatedDisk& disk) const {
    const Contents image = disk.image_contents();
    const auto same_behind_header = [&image](const Contents& other) {
      return image.size() == other.size() &&
             std::equal(image.begin() + std::min<size_t>(512, image.size()),
                        image.end(),
                        other.begin() + std::min<size_t>(512, other.size()));
    };
    if (same_behind_header(scenario_.old_image)) return;
    if (same_behind_header(new_image_)) return;
    EXPECT_NE(image[79] & std::byte{2}, std::byte{0}) << "not marked";
  }

  // Whether the header of both images has the corrupt bit.
  bool CanBeMarked() const {
    return scenario_.name != "version2_grown" &&
           scenario_.name != "header_made_valid" &&
           scenario_.name != "made_of_nothing";
  }

  // Whatever the image is, it is one of the two, and the folder fits.
  void ExpectSettled(const SimulatedDisk& disk) const {
    EXPECT_TRUE(IsOld(disk) || IsNew(disk)) << "a third state";
    const SimulatedDisk::Names files = disk.files();
    EXPECT_FALSE(files.contains(kJournal));
    if (IsNew(disk)) {
      EXPECT_EQ(files.contains(kUndo), scenario_.keep_undo);
    }
    // Nothing of earlier repairs is ever lost.
    for (const auto& [name, contents] : scenario_.files) {
      bool found = false;
      for (const auto& [other, bytes] : files) found |= bytes == contents;
      EXPECT_TRUE(found) << name << " is gone";
    }
  }

  void RecoverAndExpectSettled(SimulatedDisk& disk) const {
    const auto recovered =
        Recover(disk.image(), kScenarioIdentity, PlaceOn(disk));
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    if (recovered->found != JournalState::kNone) {
      EXPECT_EQ(recovered->image == ImageState::kOld, IsOld(disk));
      EXPECT_EQ(recovered->image == ImageState::kNew, IsNew(disk));
    }
    ExpectSettled(disk);
  }

  // Calls `then` with every disk there may be after a crash behind `begin` to
  // `end` operations.
  template <typename Then>
  void ForEachCrash(const SimulatedDisk& disk, size_t begin, size_t end,
                    int random_survivals, Then then) {
    for (size_t at = begin; at <= end; ++at) {
      for (int i = 0; i < random_survivals + 2; ++i) {
        SCOPED_TRACE(testing::Message()
                     << "crash behind operation " << at << ", survival " << i);
        const Survival survival = i == 0   ? Survival::kNothing
                                  : i == 1 ? Survival::kEverything
                                           : Survival::kRandom;
        then(*disk.AfterCrash(at, survival, random_));
        if (HasFailure()) return;
      }
    }
  }

  // Calls `then` with the disk after some crashes of a run that came after a
  // crash.
  template <typename Then>
  void ForSomeCrashes(const SimulatedDisk& disk, Then then) {
    for (int i = 0; i < kSecondCrashes && !HasFailure(); ++i) {
      const size_t at = random_() % (disk.operations() + 1);
      SCOPED_TRACE(testing::Message() << "then behind operation " << at);
      then(*disk.AfterCrash(at, i == 0 ? Survival::kNothing : Survival::kRandom,
                            random_));
    }
  }

  // Recovers after every crash of `disk`, and after crashes of that.
  void ExpectRecoverable(const SimulatedDisk& disk, size_t begin) {
    ForEachCrash(disk, begin, disk.operations(), kRandomSurvivals,
                 [&](SimulatedDisk& crashed) {
                   if (CanBeMarked()) ExpectMarkedInBetween(crashed);
                   RecoverAndExpectSettled(crashed);
                   ForSomeCrashes(crashed, [&](SimulatedDisk& again) {
                     if (CanBeMarked()) {
                       ExpectMarkedInBetween(again);
                     }
                     RecoverAndExpectSettled(again);
                   });
                 });
  }

  const Scenario& scenario_ = GetParam();
  const Contents new_image_ = NewImage(scenario_);
  std::mt19937_64 random_{1};
};

TEST_P(CrashTest, OfACommit) {
  SimulatedDisk disk(scenario_.old_image, scenario_.files);
  ASSERT_TRUE(CommitScenario(scenario_, disk).status.ok());
  ExpectRecoverable(disk, 0);
}

TEST_P(CrashTest, ACommitThatHasReturnedLasts) {
  SimulatedDisk disk(scenario_.old_image, scenario_.files);
  ASSERT_TRUE(CommitScenario(scenario_, disk).status.ok());
  const auto after =
      disk.AfterCrash(disk.operations(), Survival::kNothing, random_);
  EXPECT_TRUE(IsNew(*after));
  ExpectSettled(*after);
}

TEST_P(CrashTest, OfAnUndo) {
  if (!scenario_.keep_undo) return;
  SimulatedDisk disk(scenario_.old_image, scenario_.files);
  ASSERT_TRUE(CommitScenario(scenario_, disk).status.ok());
  const size_t before = disk.operations();
  ASSERT_TRUE(Undo(disk.image(), kScenarioIdentity, PlaceOn(disk)).ok());
  ExpectRecoverable(disk, before);

  const auto after =
      disk.AfterCrash(disk.operations(), Survival::kNothing, random_);
  EXPECT_TRUE(IsOld(*after));
  ExpectSettled(*after);
}

// A repair that cannot be finished can be taken back instead.
TEST_P(CrashTest, ThenUndoInsteadOfRecovering) {
  if (!scenario_.files.empty()) return;  // Another repair's undo file.
  SimulatedDisk disk(scenario_.old_image);
  ASSERT_TRUE(CommitScenario(scenario_, disk).status.ok());
  ForEachCrash(disk, 0, disk.operations(), kRandomSurvivals,
               [&](SimulatedDisk& crashed) {
                 const bool was_old = IsOld(crashed);
                 const auto undone =
                     Undo(crashed.image(), kScenarioIdentity, PlaceOn(crashed));
                 if (!undone.ok()) {
                   // Nothing had been begun, or nothing was kept to go back
                   // with.
                   EXPECT_EQ(undone.status().code(),
                             absl::StatusCode::kNotFound);
                   EXPECT_TRUE(was_old || !scenario_.keep_undo);
                   ExpectSettled(crashed);
                   return;
                 }
                 EXPECT_TRUE(IsOld(crashed));
                 ForSomeCrashes(crashed, [&](SimulatedDisk& again) {
                   if (CanBeMarked()) ExpectMarkedInBetween(again);
                   RecoverAndExpectSettled(again);
                 });
               });
}

INSTANTIATE_TEST_SUITE_P(All, CrashTest, testing::ValuesIn(Scenarios()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qcow2::repair
