#include "cli/word_wrap.h"

#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

TEST(WordWrapTest, ShortTextIsOneLine) {
  EXPECT_EQ(Wrap("a b", 0, 4), "a b\n");
  EXPECT_EQ(Wrap("a b", 2, 4), "  a b\n");
  EXPECT_EQ(Wrap("", 0, 4), "\n");
}

TEST(WordWrapTest, BreaksAtTheLastSpaceThatFits) {
  const std::string fits(79, 'x');
  EXPECT_EQ(Wrap(fits, 0, 4), fits + "\n");
  const std::string word(39, 'x');
  EXPECT_EQ(Wrap(word + " " + word + " end", 0, 4),
            word + " " + word + "\n    end\n");
  EXPECT_EQ(Wrap(word + " " + word, 1, 4), " " + word + "\n    " + word + "\n");
}

TEST(WordWrapTest, AWordThatIsTooLongHasALineOfItsOwn) {
  const std::string word(100, 'x');
  EXPECT_EQ(Wrap("a " + word + " b", 0, 2), "a\n  " + word + "\n  b\n");
}

}  // namespace
}  // namespace qcow2::cli
