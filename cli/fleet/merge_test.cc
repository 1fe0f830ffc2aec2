#include "cli/fleet/merge.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

constexpr char kA[] = R"({"schema_version":1,"image":{"path":"a"}})";
constexpr char kB[] = R"({"schema_version":1,"image":{"path":"b"}})";
constexpr char kSummary[] = R"({"schema_version":1,"summary":{}})";

// The exit code of a merge of reports with these lines.
int MergeLines(const std::vector<std::vector<std::string>>& reports) {
  Options options;
  options.output = OutputFormat::kNdjson;
  for (const std::vector<std::string>& lines : reports) {
    options.images.push_back(testing::TempDir() + "/report" +
                             std::to_string(options.images.size()));
    std::ofstream file(options.images.back());
    for (const std::string& line : lines) file << line << "\n";
  }
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  const int code =
      Merge(options, {.standard_output = nowhere, .standard_error = nowhere});
  close(nowhere);
  return code;
}

TEST(MergeTest, WholeReportsAreOne) {
  EXPECT_EQ(MergeLines({{kA, kSummary}, {kB, kSummary}}), kExitClean);
}

TEST(MergeTest, AReportWithoutASummaryWasCutShort) {
  EXPECT_EQ(MergeLines({{kA, kSummary}, {kB}}), kExitOperationalError);
  EXPECT_EQ(MergeLines({{kA, kSummary}, {}}), kExitOperationalError);
}

TEST(MergeTest, AnImageIsInOneReportOnly) {
  EXPECT_EQ(MergeLines({{kA, kSummary}, {kA, kSummary}}),
            kExitOperationalError);
}

TEST(MergeTest, NamesThatAreNoUtf8MayBeToldAsTheSame) {
  constexpr char kReplaced[] =
      R"({"schema_version":1,"image":{"path":"a\ufffd"}})";
  EXPECT_EQ(MergeLines({{kReplaced, kReplaced, kSummary}}), kExitClean);
  EXPECT_EQ(MergeLines({{kReplaced, kSummary}, {kReplaced, kSummary}}),
            kExitClean);
}

}  // namespace
}  // namespace qcow2::cli
