#include "cli/explain.h"

#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

TEST(ExplainTest, ByCodeAndByNumber) {
  const std::optional<std::string> text = Explain("cluster-leaked");
  ASSERT_TRUE(text.has_value());
  EXPECT_EQ(*text,
            "cluster-leaked (312)\n"
            "\n"
            "Space is lost, no data is at risk, unless an entry that named it "
            "is damaged\n"
            "(then the leak is what is left of guest data and is marked as "
            "suspect).\n"
            "\n"
            "Message:   {where}: refcount is {actual}, but nothing refers to "
            "it\n"
            "Severity:  leak\n"
            "Area:      refcount\n"
            "Repair:    the refcount is set to zero, which frees the space (no "
            "guest data is\n"
            "           lost by it)\n"
            "qemu-img:  counted as a leak\n"
            "Format:    docs/format.md, section \"Refcounts\"\n");
  EXPECT_EQ(Explain("312"), text);
}

TEST(ExplainTest, EveryProblemIsExplainedAndListed) {
  const std::optional<std::string> list = Explain("list");
  ASSERT_TRUE(list.has_value());
  for (const checker::ProblemRow& row : checker::AllProblems()) {
    EXPECT_TRUE(Explain(row.code).has_value()) << row.code;
    const std::string line = "  " + std::string(row.code) + "  (";
    EXPECT_NE(list->find(line), std::string::npos) << row.code;
  }
}

TEST(ExplainTest, UnknownCodes) {
  EXPECT_EQ(Explain("no-such-problem"), std::nullopt);
  EXPECT_EQ(Explain("99999"), std::nullopt);
  EXPECT_EQ(Explain(""), std::nullopt);
}

}  // namespace
}  // namespace qcow2::cli
