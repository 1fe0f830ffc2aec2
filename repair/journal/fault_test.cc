// Each call to the image, the journal and the folder fails in turn, in each way
// a call can fail: what is said of the image must be true, and the next run, or
// the one after a crash, must make the old image or the new one.
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "repair/journal/commit.h"
#include "repair/journal/recover.h"
#include "repair/journal/scenarios.h"
#include "repair/journal/simulated_disk.h"
#include "repair/journal/undo.h"

namespace qcow2::repair {
namespace {

using Effect = CallFault::Effect;

constexpr int kCrashes = 2;
constexpr char kJournal[] = "image.fsck-journal";

std::vector<CallFault> Faults() {
  return {
      {.error = EIO},
      {.error = EIO, .effect = Effect::kAll},
      {.error = ENOSPC, .effect = Effect::kHalf},
      {.for_good = true, .error = EIO},
      {.for_good = true, .error = ENOSPC, .effect = Effect::kHalf},
  };
}

class FaultTest : public testing::TestWithParam<Scenario> {
 protected:
  using Disk = SimulatedDisk;

  bool IsOld(const Disk& disk) const {
    return disk.image_contents() == scenario_.old_image;
  }
  bool IsNew(const Disk& disk) const {
    return disk.image_contents() == new_image_;
  }

  void ExpectTrue(const Disk& disk, ImageState said) const {
    if (said == ImageState::kOld) {
      EXPECT_TRUE(IsOld(disk)) << "not the old image";
    }
    if (said == ImageState::kNew) {
      EXPECT_TRUE(IsNew(disk)) << "not the new image";
    }
    // Else the journal is there, but for one whose removal was done and yet
    // failed.
    if (said == ImageState::kPending) {
      EXPECT_TRUE(disk.files().contains(kJournal) || IsOld(disk) ||
                  IsNew(disk));
    }
  }

  void RecoverAndExpectSettled(Disk& disk) const {
    const auto recovered =
        Recover(disk.image(), kScenarioIdentity, PlaceOn(disk));
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    EXPECT_TRUE(IsOld(disk) || IsNew(disk)) << "a third state";
    EXPECT_FALSE(disk.files().contains(kJournal));
  }

  // After a failure: a crash, or a next run, or one that ends in a crash.
  void ExpectRecoverable(Disk& disk) {
    const size_t before = disk.operations();
    for (int i = 0; i < kCrashes; ++i) {
      RecoverAndExpectSettled(*disk.AfterCrash(
          before, i == 0 ? Survival::kNothing : Survival::kRandom, random_));
    }
    RecoverAndExpectSettled(disk);
    for (int i = 0; i < kCrashes; ++i) {
      const size_t at = before + random_() % (disk.operations() - before + 1);
      SCOPED_TRACE(testing::Message() << "next run, crash behind " << at);
      RecoverAndExpectSettled(*disk.AfterCrash(
          at, random_() % 2 == 0 ? Survival::kNothing : Survival::kRandom,
          random_));
    }
  }

  // Fails each call that `act` makes on a disk from `prepare` in each way.
  // `act` says what the image is supposed to be.
  void ForEachFault(
      const std::function<std::unique_ptr<Disk>()>& prepare,
      const std::function<ImageState(Disk&, const CallFault&)>& act) {
    for (CallFault fault : Faults()) {
      bool failed = true;
      for (fault.skip = 0; failed; ++fault.skip) {
        SCOPED_TRACE(testing::Message()
                     << "call " << fault.skip << ", error " << fault.error
                     << ", for good " << fault.for_good << ", effect "
                     << static_cast<int>(fault.effect));
        const std::unique_ptr<Disk> disk = prepare();
        const ImageState said = act(*disk, fault);
        failed = disk->calls() > fault.skip;
        disk->Heal();
        ExpectTrue(*disk, said);
        ExpectRecoverable(*disk);
        if (HasFailure()) return;
      }
      EXPECT_GT(fault.skip, 5u);
    }
  }

  std::unique_ptr<Disk> OldDisk() const {
    return std::make_unique<Disk>(scenario_.old_image, scenario_.files);
  }

  // A disk whose image is repaired.
  std::unique_ptr<Disk> NewDisk() {
    const std::unique_ptr<Disk> disk = OldDisk();
    EXPECT_TRUE(CommitScenario(scenario_, *disk).status.ok());
    return disk->AfterCrash(disk->operations(), Survival::kNothing, random_);
  }

  // A disk with a journal that is committed and applied in part.
  std::unique_ptr<Disk> PendingDisk() {
    const std::unique_ptr<Disk> disk = OldDisk();
    EXPECT_TRUE(CommitScenario(scenario_, *disk).status.ok());
    size_t at = disk->operations();
    std::unique_ptr<Disk> crashed;
    do {
      crashed = disk->AfterCrash(--at, Survival::kEverything, random_);
    } while (IsNew(*crashed));
    EXPECT_TRUE(crashed->files().contains(kJournal));
    return crashed;
  }

  const Scenario& scenario_ = GetParam();
  const SimulatedDisk::Contents new_image_ = NewImage(scenario_);
  std::mt19937_64 random_{1};
};

TEST_P(FaultTest, InACommit) {
  ForEachFault([this] { return OldDisk(); },
               [this](Disk& disk, const CallFault& fault) {
                 const CommitResult result =
                     CommitScenario(scenario_, disk, &fault);
                 if (result.status.ok()) {
                   EXPECT_EQ(result.image, ImageState::kNew);
                 }
                 return result.image;
               });
}

TEST_P(FaultTest, InAnUndo) {
  if (!scenario_.keep_undo) return;
  ForEachFault([this] { return NewDisk(); },
               [](Disk& disk, const CallFault& fault) {
                 disk.FailCalls(fault);
                 const auto undone =
                     Undo(disk.image(), kScenarioIdentity, PlaceOn(disk));
                 return undone.ok() ? ImageState::kOld : ImageState::kPending;
               });
}

TEST_P(FaultTest, InARecovery) {
  ForEachFault([this] { return PendingDisk(); },
               [](Disk& disk, const CallFault& fault) {
                 disk.FailCalls(fault);
                 const auto recovered =
                     Recover(disk.image(), kScenarioIdentity, PlaceOn(disk));
                 return recovered.ok() ? recovered->image
                                       : ImageState::kPending;
               });
}

INSTANTIATE_TEST_SUITE_P(All, FaultTest, testing::ValuesIn(Scenarios()),
                         [](const auto& info) { return info.param.name; });

// A full disk is met when the image is written, too: the old bytes are put back
// at once, for which no room is needed.
TEST(FaultInCommitTest, OneFailureWhileApplyingIsRolledBack) {
  const Scenario scenario = Scenarios()[1];
  SimulatedDisk clean(scenario.old_image);
  const CallFault never = {.skip = 1000000};
  ASSERT_TRUE(CommitScenario(scenario, clean, &never).status.ok());
  int rolled_back = 0;
  for (uint64_t skip = 0; skip < clean.calls(); ++skip) {
    SimulatedDisk disk(scenario.old_image);
    const CallFault fault = {
        .skip = skip, .error = ENOSPC, .effect = Effect::kHalf};
    const CommitResult result = CommitScenario(scenario, disk, &fault);
    if (result.image != ImageState::kOld) continue;
    EXPECT_EQ(result.status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_TRUE(disk.image_contents() == scenario.old_image);
    EXPECT_TRUE(disk.files().empty());
    ++rolled_back;
  }
  // All but a few calls at the end.
  EXPECT_GT(rolled_back, static_cast<int>(clean.calls()) - 8);
}

}  // namespace
}  // namespace qcow2::repair
