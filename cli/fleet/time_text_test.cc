#include "cli/fleet/time_text.h"

#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

TEST(TimeTextTest, Durations) {
  EXPECT_EQ(ParseDuration("90"), 90);
  EXPECT_EQ(ParseDuration("90s"), 90);
  EXPECT_EQ(ParseDuration("30m"), 1800);
  EXPECT_EQ(ParseDuration("1h30m"), 5400);
  EXPECT_EQ(ParseDuration("2w1d"), 15 * 86400);
  EXPECT_EQ(ParseDuration("0s"), 0);
}

TEST(TimeTextTest, WhatIsNoDuration) {
  for (const char* text :
       {"", "h", "1x", "30m1h", "1h1h", "-1h", "1h ", " 1h", "1.5h", "5m3",
        "99999999999999999999s", "9999999999999999s", "999999999999w"}) {
    EXPECT_EQ(ParseDuration(text), std::nullopt) << text;
  }
}

TEST(TimeTextTest, Dates) {
  EXPECT_EQ(ParseDate("1970-01-02Z"), 86400);
  EXPECT_EQ(ParseDate("2026-11-21T04:30Z"), 1795235400);
  EXPECT_EQ(ParseDate("2026-11-21 04:30:59Z"), 1795235459);
  // A time zone is at most 14 hours away.
  const std::optional<int64_t> local = ParseDate("2026-11-21");
  ASSERT_TRUE(local.has_value());
  EXPECT_LE(*local, 1795219200 + 14 * 3600);
  EXPECT_GE(*local, 1795219200 - 14 * 3600);
}

TEST(TimeTextTest, WhatIsNoDate) {
  for (const char* text : {"", "Z", "7d", "2026-02-30", "2026-13-01Z",
                           "2026-11-21T", "2026-11-21 04:30:59 ", "today"}) {
    EXPECT_EQ(ParseDate(text), std::nullopt) << text;
  }
}

TEST(TimeTextTest, DatesAreWrittenAsTheyAreRead) {
  EXPECT_EQ(DateText(1795235459), "2026-11-21T04:30:59Z");
  EXPECT_EQ(ParseDate(DateText(1795235459)), 1795235459);
}

}  // namespace
}  // namespace qcow2::cli
