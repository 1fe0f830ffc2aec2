#include "cli/units.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

TEST(UnitsTest, HumanBytes) {
  EXPECT_EQ(HumanBytes(0), "0 bytes");
  EXPECT_EQ(HumanBytes(1), "1 byte");
  EXPECT_EQ(HumanBytes(1023), "1023 bytes");
  EXPECT_EQ(HumanBytes(65536), "64 KiB");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanBytes((uint64_t{1} << 40) - 1), "1023.9 GiB");
  EXPECT_EQ(HumanBytes(uint64_t{1} << 40), "1 TiB");
  EXPECT_EQ(HumanBytes(UINT64_MAX), "15.9 EiB");
}

TEST(UnitsTest, HumanSeconds) {
  EXPECT_EQ(HumanSeconds(0.0123), "12 ms");
  EXPECT_EQ(HumanSeconds(12.34), "12.3 s");
  EXPECT_EQ(HumanSeconds(260), "4 min 20 s");
}

TEST(UnitsTest, Counted) {
  EXPECT_EQ(Counted(0, "leak", "leaks"), "no leaks");
  EXPECT_EQ(Counted(1, "leak", "leaks"), "1 leak");
  EXPECT_EQ(Counted(2, "leak", "leaks"), "2 leaks");
}

TEST(UnitsTest, ParseNumberTakesDecimalDigitsAlone) {
  EXPECT_EQ(ParseNumber("0"), 0u);
  EXPECT_EQ(ParseNumber("18446744073709551615"), UINT64_MAX);
  for (const char* text : {"", "-1", "+1", " 1", "1 ", "0x10", "1e3", "ten",
                           "18446744073709551616"}) {
    EXPECT_EQ(ParseNumber(text), std::nullopt) << text;
  }
}

TEST(UnitsTest, ParseSizeTakesBinarySuffixes) {
  EXPECT_EQ(ParseSize("512"), 512u);
  EXPECT_EQ(ParseSize("4k"), 4096u);
  EXPECT_EQ(ParseSize("64M"), 64u << 20);
  EXPECT_EQ(ParseSize("64MiB"), 64u << 20);
  EXPECT_EQ(ParseSize("2GB"), uint64_t{2} << 30);
  EXPECT_EQ(ParseSize("1T"), uint64_t{1} << 40);
  for (const char* text :
       {"", "M", "-1M", "1.5G", "1X", "1MM", "1 M", "16777216T", "1MiBs"}) {
    EXPECT_EQ(ParseSize(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace qcow2::cli
