// The files in docs/ say what the program does: the generated ones are those
// the generator makes, and the others name every option, code and section.
#include <fstream>
#include <iterator>
#include <string>

#include "checker/problems.h"
#include "cli/exit_code.h"
#include "cli/options.h"
#include "cli/problems_page.h"
#include "cli/report_schema.h"
#include "cli/version.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

constexpr char kHowTo[] = "bazel run //cli:generate_docs -- $PWD/docs";

std::string File(const std::string& name) {
  std::ifstream stream(name);
  EXPECT_TRUE(stream) << name;
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::string Page(const std::string& name) { return File("docs/" + name); }

bool Holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(DocsTest, TheSchemaIsUpToDate) {
  EXPECT_TRUE(Page("report.schema.json") == ReportSchema()) << kHowTo;
}

TEST(DocsTest, TheProblemsAreUpToDate) {
  EXPECT_TRUE(Page("problems.md") == ProblemsPage()) << kHowTo;
}

TEST(DocsTest, FormatHasTheSectionOfEveryProblem) {
  const std::string page = Page("format.md");
  for (const checker::ProblemRow& row : checker::AllProblems()) {
    EXPECT_TRUE(Holds(page, "\n## " + std::string(row.spec) + "\n"))
        << row.code << ": " << row.spec;
  }
}

TEST(DocsTest, TheVersionIsThatOfTheProgram) {
  const std::string version(kToolVersion);
  EXPECT_TRUE(
      Holds(Page("qcow2-fsck.8"), "\n.Os qcow2-fsck " + version + "\n"));
  const std::string changes = File("CHANGELOG.md");
  const size_t newest = changes.find("\n## [");
  ASSERT_NE(newest, std::string::npos);
  EXPECT_EQ(changes.substr(newest).find("\n## [" + version + "] - 20"), 0);
}

// In the manual a long option is written ".Fl Fl name".
TEST(DocsTest, TheManualHasEveryOption) {
  const std::string page = Page("qcow2-fsck.8");
  for (const std::string& name : OptionNames()) {
    const std::string option = "Fl Fl " + name;
    EXPECT_TRUE(Holds(page, ".It " + option) || Holds(page, " , " + option))
        << name;
  }
}

TEST(DocsTest, TheManualHasEveryExitCode) {
  const std::string page = Page("qcow2-fsck.8");
  for (const ExitCodeRow& row : AllExitCodes()) {
    EXPECT_TRUE(Holds(page, "\n.It " + std::to_string(row.code) + "\n"))
        << row.code;
  }
}

TEST(DocsTest, TheJsonPageNamesEveryKey) {
  const std::string page = Page("json.md");
  for (const char* key : {"schema_version",
                          "tool",
                          "image",
                          "status",
                          "exit_code",
                          "cancelled",
                          "counts",
                          "problems",
                          "warnings",
                          "problems_omitted",
                          "statistics",
                          "errors",
                          "id",
                          "code",
                          "number",
                          "severity",
                          "message",
                          "count",
                          "location",
                          "host",
                          "guest",
                          "guest_ranges_omitted",
                          "owners",
                          "expected",
                          "actual",
                          "root_cause",
                          "suspect_orphan",
                          "repair",
                          "fingerprint",
                          "change",
                          "gone",
                          "known",
                          "summary",
                          "end",
                          "images",
                          "by_status",
                          "damaged",
                          "damaged_omitted",
                          "leaked_bytes",
                          "overlays"}) {
    EXPECT_TRUE(Holds(page, "`" + std::string(key) + "`")) << key;
  }
}

}  // namespace
}  // namespace qcow2::cli
