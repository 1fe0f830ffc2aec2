#include "cli/fleet/live_table.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <string>

#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

TEST(LiveTableTest, TheLineOfARun) {
  EXPECT_EQ(FleetLine({.done = 0, .total = 2000}),
            "0 of 2000 images, 0 to look at");
  EXPECT_EQ(
      FleetLine({.done = 500, .total = 2000, .damaged = 3, .seconds = 10}),
      "500 of 2000 images, 3 to look at, about 30.0 s left");
  EXPECT_EQ(FleetLine({.done = 1, .total = 1, .damaged = 1, .seconds = 10}),
            "1 of 1 image, 1 to look at");
}

TEST(LiveTableTest, LongLinesLoseTheirFront) {
  EXPECT_EQ(FitLine("short", 10), "short");
  EXPECT_EQ(FitLine("0123456789", 10), "0123456789");
  EXPECT_EQ(FitLine("/images/disk.qcow2: 40%", 12), "...cow2: 40%");
  EXPECT_EQ(FitLine("abcdef", 2), "..");
  EXPECT_EQ(FitLine("a\x1B[2J", 80).find('\x1B'), std::string::npos);
}

// Reads what there is in a pipe until `text` has come.
bool Comes(int pipe, const std::string& text) {
  std::string all;
  std::array<char, 256> buffer;
  while (all.find(text) == std::string::npos) {
    const ssize_t count = read(pipe, buffer.data(), buffer.size());
    if (count <= 0) return false;
    all.append(buffer.data(), static_cast<size_t>(count));
  }
  return true;
}

TEST(LiveTableTest, TheTableNamesWhatIsBeingCheckedAndGoes) {
  std::array<int, 2> pipes;
  ASSERT_EQ(pipe(pipes.data()), 0);
  checker::Progress progress;
  progress.total_bytes = 100;
  progress.done_bytes = 40;
  {
    LiveTable table(pipes[1], true, 2, 7);
    table.Begin(1, "/images/a.qcow2", progress);
    EXPECT_TRUE(Comes(pipes[0], "0 of 7 images"));
    EXPECT_TRUE(Comes(pipes[0], "/images/a.qcow2: 40%"));
    table.Finish(1, true);
    EXPECT_TRUE(Comes(pipes[0], "1 of 7 images, 1 to look at"));
    // Nothing is on the terminal while something else is printed.
    table.Around([&] { ASSERT_EQ(write(pipes[1], "REPORT\n", 7), 7); });
    EXPECT_TRUE(Comes(pipes[0], "A\x1B[JREPORT\n"));
    EXPECT_TRUE(Comes(pipes[0], "1 of 7 images, 1 to look at"));
  }
  EXPECT_TRUE(Comes(pipes[0], "\x1B[1A\x1B[J"));
  close(pipes[0]);
  close(pipes[1]);
}

}  // namespace
}  // namespace qcow2::cli
