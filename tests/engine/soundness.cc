#include "tests/engine/soundness.h"

#include <cerrno>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/storage/overlay_file.h"
#include "gtest/gtest.h"
#include "repair/planner.h"

namespace qcow2 {

using checker::CheckReport;
using repair::CallFault;
using repair::SimulatedDisk;
using repair::Survival;

CheckReport CheckFile(const File& file) {
  checker::CheckOptions options;
  options.jobs = 1;
  return checker::CheckImage(file, "image", options);
}

std::string FindingsOf(const CheckReport& report) {
  std::string text;
  for (const auto* findings : {&report.problems, &report.warnings}) {
    for (const checker::Finding& finding : *findings) {
      absl::StrAppend(&text, checker::DescribeFinding(finding), "\n");
    }
  }
  for (const std::string& error : report.errors) {
    absl::StrAppend(&text, error, "\n");
  }
  if (report.status != checker::CheckStatus::kClean) text += "not clean\n";
  return text;
}

uint64_t TrueCorruptions(const CheckReport& report) {
  return report.counts.corruptions -
         report.OccurrencesOf(checker::Problem::kOrphanL2Table);
}

absl::StatusOr<CheckReport> CheckRepaired(const File& file, repair::Mode mode) {
  ASSIGN_OR_RETURN(const auto view, OverlayFile::Create(file));
  repair::RepairOptions options;
  options.check.jobs = 1;
  options.mode = mode;
  options.free_suspects = true;
  ASSIGN_OR_RETURN(auto planned,
                   repair::PlanRepair(file, "image", *view, options));
  return std::move(planned.after);
}

void AtEveryCrash(
    const SimulatedDisk& disk, size_t first, int trials,
    const std::function<void(MemoryFile& image, size_t operations)>& judge) {
  std::mt19937_64 random(11);
  for (size_t operations = first; operations <= disk.operations();
       ++operations) {
    for (int trial = 0; trial < trials; ++trial) {
      const Survival survival = trial == 0   ? Survival::kNothing
                                : trial == 1 ? Survival::kEverything
                                             : Survival::kRandom;
      MemoryFile image(
          disk.AfterCrash(operations, survival, random)->image_contents());
      judge(image, operations);
      if (testing::Test::HasFailure()) {
        FAIL() << "after " << operations << " of " << disk.operations()
               << " operations, trial " << trial;
      }
    }
  }
}

void AtEveryFault(const SimulatedDisk::Contents& image,
                  const std::function<void(SimulatedDisk& disk,
                                           const CallFault& fault)>& trial) {
  using Effect = CallFault::Effect;
  for (const bool for_good : {false, true}) {
    for (const Effect effect : {Effect::kNone, Effect::kHalf, Effect::kAll}) {
      bool came = true;
      for (uint64_t skip = 0; came; skip += 1 + skip / 16) {
        SimulatedDisk disk(image);
        disk.KeepSectorsWhole();
        trial(disk, {.skip = skip,
                     .for_good = for_good,
                     .error = skip % 2 == 0 ? EIO : ENOSPC,
                     .effect = effect});
        if (testing::Test::HasFailure()) {
          FAIL() << "call " << skip << ", effect " << static_cast<int>(effect)
                 << ", for good " << for_good;
        }
        came = disk.Failed();
      }
    }
  }
}

}  // namespace qcow2
