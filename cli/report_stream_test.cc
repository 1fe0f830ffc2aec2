#include "cli/report_stream.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/sample_reports.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

std::string Stream(OutputFormat format, size_t images,
                   const std::vector<checker::CheckReport>& reports) {
  ReportStream stream(
      format, images,
      images == 1 ? StreamShape::kOneImage : StreamShape::kList);
  std::string text;
  for (const checker::CheckReport& report : reports)
    text += stream.Add({report});
  return text + stream.End();
}

TEST(ReportStreamTest, OneImageIsOneJsonObject) {
  const std::string text = Stream(OutputFormat::kJson, 1, {CleanReport()});
  EXPECT_TRUE(nlohmann::json::parse(text).is_object());
  EXPECT_TRUE(text.ends_with("}\n"));
}

TEST(ReportStreamTest, SeveralImagesAreAJsonArray) {
  const nlohmann::json array = nlohmann::json::parse(
      Stream(OutputFormat::kJson, 2, {CleanReport(), CorruptReport()}));
  ASSERT_EQ(array.size(), 2u);
  EXPECT_EQ(array[1]["status"], "corrupt");
}

TEST(ReportStreamTest, AnArrayThatIsCutShortIsStillJson) {
  EXPECT_EQ(
      nlohmann::json::parse(Stream(OutputFormat::kJson, 3, {CleanReport()}))
          .size(),
      1u);
  EXPECT_TRUE(
      nlohmann::json::parse(Stream(OutputFormat::kJson, 3, {})).empty());
}

TEST(ReportStreamTest, NdjsonIsOneLineAnImage) {
  const std::string text =
      Stream(OutputFormat::kNdjson, 2, {CleanReport(), CorruptReport()});
  const size_t newline = text.find('\n');
  EXPECT_TRUE(nlohmann::json::accept(text.substr(0, newline)));
  EXPECT_TRUE(nlohmann::json::accept(text.substr(newline + 1)));
  EXPECT_EQ(text.find('\n', newline + 1), text.size() - 1);
}

TEST(ReportStreamTest, PeopleGetASummaryOfSeveralImages) {
  const std::string text = Stream(
      OutputFormat::kHuman, 4, {CleanReport(), CorruptReport(), CleanReport()});
  EXPECT_TRUE(
      text.ends_with("\n3 of 4 images looked at: clean 2, corrupt 1.\n"
                     "Exit code 4: errors or leaks are left in an image.\n"))
      << text;
  EXPECT_EQ(Stream(OutputFormat::kHuman, 1, {CleanReport()}).find("of 1 image"),
            std::string::npos);
}

// A run over many, with its summary.
std::string Fleet(OutputFormat format,
                  const std::vector<checker::CheckReport>& reports) {
  ReportStream stream(format, 1, StreamShape::kFleet);
  FleetSummary summary;
  std::string text;
  for (const checker::CheckReport& report : reports) {
    text += stream.Add({report});
    AddToSummary({report}, 0, summary);
  }
  return text + stream.End(&summary);
}

TEST(ReportStreamTest, OfAFleetPeopleSeeWhatIsNotClean) {
  const std::string text =
      Fleet(OutputFormat::kHuman, {CleanReport(), LeakyReport()});
  EXPECT_EQ(text.find("clean: no problems found"), std::string::npos);
  EXPECT_TRUE(text.find("LEAKS") != std::string::npos);
  EXPECT_TRUE(text.find("2 of 0 images checked") != std::string::npos) << text;
  EXPECT_TRUE(text.ends_with(".\n"));
}

TEST(ReportStreamTest, OfAFleetProgramsSeeAllAndTheSummary) {
  for (const size_t images : {0u, 2u}) {
    const nlohmann::json array = nlohmann::json::parse(
        Fleet(OutputFormat::kJson,
              std::vector<checker::CheckReport>(images, CleanReport())));
    ASSERT_EQ(array.size(), images + 1);
    EXPECT_EQ(array[images]["summary"]["images"]["checked"], images);
  }
  const std::string lines =
      Fleet(OutputFormat::kNdjson, {CleanReport(), LeakyReport()});
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 3);
  const std::string last =
      lines.substr(lines.rfind('\n', lines.size() - 2) + 1);
  EXPECT_TRUE(nlohmann::json::parse(last).contains("summary"));
}

}  // namespace
}  // namespace qcow2::cli
