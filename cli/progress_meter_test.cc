#include "cli/progress_meter.h"

#include <unistd.h>

#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

TEST(ProgressLineTest, ShareRateAndTimeLeft) {
  EXPECT_EQ(ProgressLine("disk.qcow2", 100 << 20, 400 << 20, 2.0),
            "disk.qcow2: 25% (100 MiB of 400 MiB), 50 MiB/s, 6.0 s left");
}

TEST(ProgressLineTest, WithoutATotal) {
  EXPECT_EQ(ProgressLine("a", 0, 0, 1.0), "a: starting");
}

TEST(ProgressLineTest, NothingDoneYetHasNoRate) {
  EXPECT_EQ(ProgressLine("a", 0, 1024, 1.0), "a: 0% (0 bytes of 1 KiB)");
}

TEST(ProgressLineTest, TheTotalMayLagBehind) {
  EXPECT_EQ(ProgressLine("a", 2048, 1024, 1.0),
            "a: 100% (2 KiB of 2 KiB), 2 KiB/s, 0 ms left");
}

TEST(ProgressLineTest, LabelsCannotSteerTheTerminal) {
  EXPECT_EQ(ProgressLine("\x1B[2J", 0, 0, 1.0), "\\x1b[2J: starting");
}

TEST(ProgressMeterTest, EndsAtOnceAndSaysNothingOfAShortCheck) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const checker::Progress progress;
  { const ProgressMeter meter(progress, "a", ends[1], true); }
  close(ends[1]);
  char byte;
  EXPECT_EQ(read(ends[0], &byte, 1), 0);
  close(ends[0]);
}

}  // namespace
}  // namespace qcow2::cli
