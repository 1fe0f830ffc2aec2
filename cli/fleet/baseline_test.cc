#include "cli/fleet/baseline.h"

#include "cli/exit_code.h"
#include "cli/finding_place.h"
#include "cli/json_printer.h"
#include "cli/sample_reports.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

using checker::CheckReport;
using checker::Finding;
using checker::Problem;

Baseline Of(const CheckReport& report) {
  Baseline baseline;
  baseline.Add(Json::parse(JsonReport({report}, JsonLayout::kOneLine)));
  return baseline;
}

Finding Leak(uint64_t first, uint64_t count) {
  Finding finding;
  finding.problem = Problem::kClusterLeaked;
  finding.count = count;
  finding.location.structure = checker::Structure::kHostCluster;
  finding.host = {
      .first_cluster = first, .clusters = count, .offset_bytes = first * 65536};
  return finding;
}

CheckReport Leaky(const std::vector<Finding>& leaks) {
  CheckReport report = CleanReport();
  report.status = checker::CheckStatus::kLeaks;
  for (const Finding& leak : leaks) {
    report.counts.leaks += leak.count;
    AddFinding(leak, report);
  }
  return report;
}

TEST(BaselineTest, TheSameReportHasNoChange) {
  for (const CheckReport& report :
       {CleanReport(), LeakyReport(), CorruptReport(), UnopenedReport(),
        FullReport()}) {
    const ImageChange change = Of(report).Compare({report});
    EXPECT_FALSE(change.any());
    EXPECT_EQ(change.exit_code, kExitClean);
  }
}

TEST(BaselineTest, AllOfAnUnknownImageIsNew) {
  const ImageChange change = Baseline().Compare({CorruptReport()});
  EXPECT_EQ(change.problems.size(), CorruptReport().problems.size());
  EXPECT_EQ(change.warnings.size(), CorruptReport().warnings.size());
  EXPECT_EQ(change.exit_code, kExitErrorsLeft);
  EXPECT_TRUE(change.gone.empty());
}

TEST(BaselineTest, ALeakBesideALeakIsReportedAlone) {
  const ImageChange change =
      Of(Leaky({Leak(7, 3)})).Compare({Leaky({Leak(6, 5)})});
  ASSERT_EQ(change.problems.size(), 2u);
  EXPECT_EQ(change.problems[0].host->first_cluster, 6u);
  EXPECT_EQ(change.problems[0].count, 1u);
  EXPECT_EQ(change.problems[1].host->first_cluster, 10u);
  EXPECT_EQ(change.problems[1].host->clusters, 1u);
  EXPECT_EQ(change.problems[1].host->offset_bytes, 10u * 65536);
  EXPECT_EQ(change.new_leaks, 2u);
  EXPECT_TRUE(change.gone.empty());
  EXPECT_EQ(change.exit_code, kExitErrorsLeft);
}

TEST(BaselineTest, WhatWentIsGoneAndNoError) {
  const ImageChange change =
      Of(Leaky({Leak(7, 3)})).Compare({Leaky({Leak(7, 1), Leak(9, 1)})});
  EXPECT_TRUE(change.problems.empty());
  ASSERT_EQ(change.gone.size(), 1u);
  EXPECT_EQ(change.gone[0].code, "cluster-leaked");
  EXPECT_EQ(change.gone[0].severity, "leak");
  EXPECT_EQ(change.gone[0].count, 1u);
  EXPECT_EQ(change.exit_code, kExitClean);
  EXPECT_TRUE(change.any());
}

TEST(BaselineTest, AnotherProblemAtTheSamePlaceIsNew) {
  Finding other = Leak(7, 3);
  other.problem = Problem::kRefcountTooLow;
  const ImageChange change = Of(Leaky({Leak(7, 3)})).Compare({Leaky({other})});
  EXPECT_EQ(change.problems.size(), 1u);
  EXPECT_EQ(change.gone.size(), 1u);
}

TEST(BaselineTest, PartOfARunOfEntriesKeepsItsGuestRange) {
  Finding entries;
  entries.problem = Problem::kL2EntryPastEnd;
  entries.location.structure = checker::Structure::kActiveL2;
  entries.location.table_offset = 0x40000;
  entries.location.index = 10;
  entries.count = 4;
  entries.guest.emplace_back();
  entries.guest[0].offset_bytes = 655360;
  entries.guest[0].length_bytes = uint64_t{4} * 65536;
  Finding before = entries;
  before.count = 3;
  before.guest[0].length_bytes = uint64_t{3} * 65536;
  const ImageChange change = Of(Leaky({before})).Compare({Leaky({entries})});
  ASSERT_EQ(change.problems.size(), 1u);
  EXPECT_EQ(change.problems[0].location.index, 13u);
  ASSERT_EQ(change.problems[0].guest.size(), 1u);
  EXPECT_EQ(change.problems[0].guest[0].offset_bytes, 13u * 65536);
  EXPECT_EQ(change.problems[0].guest[0].length_bytes, 65536u);
}

TEST(BaselineTest, WhatCannotBeCheckedAnyMoreIsAnErrorAndNotGone) {
  CheckReport failed = UnopenedReport();
  failed.image.path = LeakyReport().image.path;
  const ImageChange change = Of(LeakyReport()).Compare({failed});
  EXPECT_TRUE(change.newly_failed);
  EXPECT_TRUE(change.gone.empty());
  EXPECT_EQ(change.exit_code, kExitOperationalError);
}

// A list that was cut off by --max-problems.
TEST(BaselineTest, FindingsThatWereNotListedMayHaveBeenThere) {
  CheckReport cut = Leaky({Leak(7, 1)});
  cut.counts.leaks = 500;
  cut.problems_omitted = 499;
  CheckReport other = Leaky({Leak(90, 1)});
  other.counts.leaks = 500;
  other.problems_omitted = 499;
  EXPECT_FALSE(Of(cut).Compare({other}).any());
  other.counts.leaks = 501;
  const ImageChange more = Of(cut).Compare({other});
  EXPECT_EQ(more.problems.size(), 1u);
  EXPECT_EQ(more.exit_code, kExitErrorsLeft);
  // The new ones may be among those that are not listed.
  CheckReport same = cut;
  ++same.counts.leaks;
  ++same.problems_omitted;
  EXPECT_EQ(Of(cut).Compare({same}).exit_code, kExitErrorsLeft);
}

TEST(BaselineTest, TheLaterReportOfAnImageCounts) {
  Baseline baseline = Of(LeakyReport());
  CheckReport clean = CleanReport();
  clean.image.path = LeakyReport().image.path;
  baseline.Add(Json::parse(JsonReport({clean}, JsonLayout::kOneLine)));
  EXPECT_EQ(baseline.Compare({LeakyReport()}).exit_code, kExitErrorsLeft);
  EXPECT_EQ(baseline.Images(),
            std::vector<std::string>{LeakyReport().image.path});
}

// One whose image could not be looked at, with what the baseline knows of it.
ImageReport Unchecked(const Baseline& baseline) {
  CheckReport failed = UnopenedReport();
  failed.image.path = LeakyReport().image.path;
  return {.found = failed, .known = baseline.StillKnown(failed)};
}

TEST(BaselineTest, WhatIsKnownOfAnImageOutlivesNightsWithoutAVerdict) {
  const CheckReport leaky = Leaky({Leak(7, 3), Leak(90, 1)});
  Baseline baseline = Of(leaky);
  const std::string known = Unchecked(baseline).known;
  for (int night = 0; night < 3; ++night) {
    const ImageReport unchecked = Unchecked(baseline);
    EXPECT_EQ(unchecked.known, known) << "it neither shrinks nor grows";
    baseline = Baseline();
    baseline.Add(Json::parse(JsonReport(unchecked, JsonLayout::kOneLine)));
    EXPECT_FALSE(baseline.Compare(unchecked).any());
  }
  EXPECT_FALSE(baseline.Compare({leaky}).any());
  EXPECT_EQ(baseline.Compare({Leaky({Leak(7, 3)})}).gone.size(), 1u);
  EXPECT_EQ(baseline.Compare({Leaky({Leak(7, 4)})}).new_leaks, 1u);
  // With a verdict there is nothing to remember.
  EXPECT_EQ(baseline.StillKnown(leaky), "");
  EXPECT_EQ(Of(CleanReport()).StillKnown(Unchecked(baseline).found), "");
}

TEST(BaselineTest, WhatAFailedCheckFoundIsNotRememberedTwice) {
  CheckReport partial = Leaky({Leak(7, 3)});
  partial.status = checker::CheckStatus::kInconclusive;
  partial.errors = {"cannot read"};
  const Baseline baseline = Of(Leaky({Leak(7, 3), Leak(90, 1)}));
  const Json known = Json::parse(baseline.StillKnown(partial));
  ASSERT_EQ(known["findings"].size(), 1u);
  EXPECT_EQ(known["findings"][0]["host"]["first_cluster"], 90);
}

TEST(BaselineTest, AReportWithoutAVerdictTakesNothingAway) {
  const CheckReport leaky = Leaky({Leak(7, 3)});
  Baseline baseline = Of(leaky);
  CheckReport failed = UnopenedReport();
  failed.image.path = leaky.image.path;
  baseline.Add(Json::parse(JsonReport({failed}, JsonLayout::kOneLine)));
  EXPECT_FALSE(baseline.Compare({leaky}).any());
  EXPECT_FALSE(baseline.Compare({failed}).newly_failed);
}

TEST(BaselineTest, NamesThatAreNoUtf8AreKnownAgain) {
  Finding finding = Leak(7, 1);
  finding.location.snapshot = "\xff\xfe";
  CheckReport report = Leaky({finding});
  report.image.path = "/images/\xff";
  EXPECT_FALSE(Of(report).Compare({report}).any());
}

TEST(BaselineTest, AReportOfAnyShapeDoesNoHarm) {
  Baseline baseline;
  for (const char* text :
       {R"({"image":{"path":"a"},"problems":7,"counts":[],"exit_code":"4"})",
        R"({"image":{"path":"a"},"problems":[7,{},{"location":7,"host":[]}]})",
        R"({"image":{"path":"a"},"problems":[{"code":1,"count":-1,
            "location":{"index":18446744073709551615}}]})",
        R"({"image":{"path":"a"},"known":7})",
        R"({"image":{"path":"a"},"exit_code":8,"known":{"findings":[7,{}],
            "leaks":"x","all_listed":[]}})"}) {
    baseline.Add(Json::parse(text));
  }
  EXPECT_EQ(baseline.Images().size(), 1u);
}

TEST(BaselineTest, FingerprintsAreOfTheCodeAndThePlace) {
  const std::string print = Fingerprint(PlaceOf(Leak(7, 3)));
  EXPECT_EQ(print.size(), 16u);
  EXPECT_EQ(print, Fingerprint(PlaceOf(Leak(7, 4))));
  EXPECT_NE(print, Fingerprint(PlaceOf(Leak(8, 3))));
  Finding other = Leak(7, 3);
  other.problem = Problem::kRefcountTooLow;
  EXPECT_NE(print, Fingerprint(PlaceOf(other)));
}

}  // namespace
}  // namespace qcow2::cli
