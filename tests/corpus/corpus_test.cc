// Checks every image of the corpus and compares what is found with what its
// case expects; and the corpus with the problem table.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "checker/check.h"
#include "checker/problems.h"
#include "cli/exit_code.h"
#include "tests/corpus/case_test.h"
#include "tests/corpus/corpus_case.h"
#include "tests/corpus/expectation.h"

namespace qcow2::corpus {
namespace {

using checker::CheckReport;

class CorpusTest : public CaseTest {
 protected:
  void ExpectReport(const CheckReport& report) const {
    const Json& expected = case_->expectation();
    EXPECT_EQ(CodesIn(report), CodesExpected(expected));
    EXPECT_EQ(UnfulfilledDetails(report, expected), "");
    EXPECT_EQ(NameOf(report.status), expected["status"].get<std::string>());
    EXPECT_EQ(cli::ExitCodeOf(report), expected["exit_code"].get<int>());
    EXPECT_EQ(report.problems_omitted, 0u);
  }
};

TEST_P(CorpusTest, FindsWhatIsExpected) {
  const auto report = case_->Check({});
  ASSERT_TRUE(report.ok()) << report.status();
  ExpectReport(*report);
}

TEST_P(CorpusTest, LeavesTheFileAsItWas) {
  ASSERT_TRUE(case_->Check({}).ok());
  const auto after = case_->ReadBack();
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_TRUE(*after == case_->image());
}

TEST_P(CorpusTest, FindsTheSameInMemoryWithOneWorkerAndLittleMemory) {
  checker::CheckOptions options;
  options.jobs = 1;
  options.memory_limit_bytes = 1;
  ExpectReport(case_->CheckInMemory(options));
}

INSTANTIATE_TEST_SUITE_P(Corpus, CorpusTest, testing::ValuesIn(CaseNames()),
                         [](const auto& info) {
                           return TestNameOf(info.param);
                         });

std::set<std::string> CodesOfAllCases() {
  std::set<std::string> codes;
  for (const std::string& name : CaseNames()) {
    const auto expectation = ReadExpectation(name);
    EXPECT_TRUE(expectation.ok()) << expectation.status();
    if (expectation.ok()) codes.merge(CodesExpected(*expectation));
  }
  return codes;
}

TEST(CorpusCompletenessTest, EveryProblemHasACaseOrATestElsewhere) {
  const auto not_files = ReadNotFiles();
  ASSERT_TRUE(not_files.ok()) << not_files.status();
  const std::set<std::string> raised = CodesOfAllCases();
  for (const checker::ProblemRow& row : checker::AllProblems()) {
    const std::string code(row.code);
    EXPECT_NE(raised.contains(code), not_files->contains(code)) << code;
  }
}

TEST(CorpusCompletenessTest, HealthyImagesExpectNotesAtMost) {
  int healthy = 0;
  for (const std::string& name : CaseNames()) {
    if (!name.starts_with("healthy-")) continue;
    ++healthy;
    const auto expectation = ReadExpectation(name);
    ASSERT_TRUE(expectation.ok()) << expectation.status();
    for (const std::string& code : CodesExpected(*expectation)) {
      const auto problem = checker::FindProblem(code);
      ASSERT_TRUE(problem.has_value()) << code;
      EXPECT_EQ(checker::RowOf(*problem).severity, checker::Severity::kNote)
          << name << ": " << code;
    }
  }
  EXPECT_GE(healthy, 40);
}

}  // namespace
}  // namespace qcow2::corpus
