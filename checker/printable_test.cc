#include "checker/printable.h"

#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

TEST(PrintableTest, OrdinaryTextStays) {
  EXPECT_EQ(Printable("before update"), "before update");
  EXPECT_EQ(Printable("Überprüfung 試験 \xF0\x9F\x92\xBE"),
            "Überprüfung 試験 \xF0\x9F\x92\xBE");
}

TEST(PrintableTest, ControlCharactersAreSpelledOut) {
  EXPECT_EQ(Printable("a\x1B[2Jb\n"), "a\\x1b[2Jb\\x0a");
  EXPECT_EQ(Printable(std::string_view("\0\x7F", 2)), "\\x00\\x7f");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "31m"),
            "\\xc2\\x9b31m");  // CSI in one byte
}

TEST(PrintableTest, CharactersThatReorderALineAreSpelledOut) {
  EXPECT_EQ(Printable("a\u202Egnp"), "a\\xe2\\x80\\xaegnp");
  EXPECT_EQ(Printable("\u2028"), "\\xe2\\x80\\xa8");
}

TEST(PrintableTest, BytesThatAreNotUtf8AreSpelledOut) {
  EXPECT_EQ(Printable("\xFFok"), "\\xffok");
  EXPECT_EQ(Printable("\xC0\xAF"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(Printable("\xED\xA0\x80"), "\\xed\\xa0\\x80");  // surrogate
  EXPECT_EQ(Printable("\xE4\xBD"), "\\xe4\\xbd");           // cut short
}

TEST(PrintableTest, TwiceIsAsGoodAsOnce) {
  const std::string once = Printable("\x1B\\x1b");
  EXPECT_EQ(Printable(once), once);
}

}  // namespace
}  // namespace qcow2::checker
