// qcow2-tool on every image of the corpus, sound or damaged: each command that
// reads ends by itself, and says on one line what is wrong or prints something.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/cli/program.h"
#include "tests/corpus/case_test.h"
#include "tests/corpus/corpus_case.h"

namespace qcow2 {
namespace {

class ToolCorpusTest : public corpus::CaseTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(CaseTest::SetUp());
    WriteFile(folder_ / "secret", "secret");
  }
  std::string secret() const { return "--secret-file=" + folder_ / "secret"; }

  void ExpectAnswer(const std::vector<std::string>& arguments) const {
    const Outcome outcome = Tool(arguments);
    const std::string& error = outcome.standard_error;
    SCOPED_TRACE(arguments[0] + ": " + error);
    if (outcome.exit_code == 0) {
      EXPECT_EQ(error, "");
      return;
    }
    EXPECT_EQ(outcome.exit_code, arguments[0] == "compare" ? 2 : 1);
    EXPECT_FALSE(opens());
    EXPECT_TRUE(error.starts_with("qcow2-tool: "));
    EXPECT_EQ(error.find('\n'), error.size() - 1);
    EXPECT_NE(error.find(case_->directory()), std::string::npos);
  }

  Folder folder_;
};

TEST_P(ToolCorpusTest, AnswersOrSaysWhyNot) {
  const std::string& image = case_->image_path();
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{
           {"info", "--output=json", image},
           {"map", "--output=json", secret(), image},
           {"dump", image},
           {"convert", "--source-" + secret().substr(2), "-f", "qcow2", "-O",
            "raw", image, folder_ / "raw"},
           {"compare", secret(), "-f", "qcow2", "-F", "qcow2", image, image},
           {"snapshot", "list", image},
           {"bitmap", "list", secret(), image}}) {
    ExpectAnswer(arguments);
  }
  const auto now = case_->ReadBack();
  ASSERT_TRUE(now.ok()) << now.status();
  EXPECT_TRUE(*now == case_->image());
}

INSTANTIATE_TEST_SUITE_P(Corpus, ToolCorpusTest,
                         testing::ValuesIn(corpus::CaseNames()),
                         [](const auto& info) {
                           return corpus::TestNameOf(info.param);
                         });

}  // namespace
}  // namespace qcow2
