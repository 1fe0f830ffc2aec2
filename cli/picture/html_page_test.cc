// The page as text; tests/browser has it looked at by a browser.
#include "cli/picture/html_page.h"

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "checker/check.h"
#include "checker/test_image.h"
#include "cli/picture/markup.h"
#include "cli/sample_reports.h"
#include "engine/format/entry_flags.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

using checker::TestImage;

constexpr std::time_t kNow = 1700000000;

size_t Occurrences(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + part.size())) {
    ++count;
  }
  return count;
}

// As matchers say it, but without the whole page in the message.
testing::AssertionResult Has(const std::string& page, std::string_view part) {
  if (page.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "the page has no " << part;
}

std::string PageOf(const ImageReport& report) {
  return HtmlPage(report, Picture(), kNow);
}

// A check of an image in memory, and its page.
std::string PageOf(TestImage& image, GuestPartitions partitions,
                   const std::string& path,
                   const std::atomic<bool>* cancel = nullptr) {
  checker::OwnershipMap ownership;
  checker::CheckOptions options;
  options.cancel = cancel;
  options.ownership = &ownership;
  const ImageReport report{
      .found = checker::CheckImage(image.file(), path, options)};
  return HtmlPage(report,
                  MakePicture(ownership, report.found, std::move(partitions)),
                  kNow);
}

TEST(MarkupTest, LeavesNothingThatIsMarkup) {
  EXPECT_EQ(Markup("a<b> & \"c\" 'd'"),
            "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
  EXPECT_EQ(Markup("\x01\xff"), "\\x01\\xff");
  EXPECT_EQ(Markup("a\xef\xbf\xbf"), "a\xef\xbf\xbd");
  EXPECT_EQ(Markup("\xc3\xa9"), "\xc3\xa9");
}

TEST(HtmlPageTest, SaysWhatTheReportSays) {
  const std::string page = PageOf({.found = CorruptReport()});
  for (const char* part :
       {"<header class=\"corrupt\">", "CORRUPT: ", "id=\"f1\"",
        "l2-entry-unaligned", "which causes:", "checked 2023-11-14 22:13 UTC",
        "There is no map"}) {
    EXPECT_TRUE(Has(page, part));
  }
  EXPECT_FALSE(Has(page, "{{"));
  const std::string clean = PageOf({.found = CleanReport()});
  EXPECT_TRUE(Has(clean, "<header class=\"clean\">"));
  EXPECT_TRUE(Has(clean, "Nothing is wrong."));
  const std::string unopened = PageOf({.found = UnopenedReport()});
  EXPECT_TRUE(Has(unopened, "<header class=\"error\">"));
  EXPECT_TRUE(Has(unopened, "What could not be done"));
  EXPECT_TRUE(Has(unopened, "Nothing is known about the image."));
}

TEST(HtmlPageTest, ACancelledCheckIsNoVerdict) {
  TestImage image;
  const std::atomic<bool> cancel{true};
  const std::string page = PageOf(image, {}, "memory", &cancel);
  for (const char* part : {"Nothing is wrong", "not hit", ">free ", "too many",
                           "--max-problems"}) {
    EXPECT_FALSE(Has(page, part)) << part;
  }
  EXPECT_TRUE(Has(page, "Nothing was found until the check was cancelled."));
  EXPECT_TRUE(Has(page, "nothing damaged that is listed"));
  EXPECT_TRUE(Has(page, "unknown <b>"));
}

// What a partition is called decides nothing.
TEST(HtmlPageTest, OnlyWhatIsHitIsMarkedSo) {
  TestImage image;
  GuestPartitions partitions;
  partitions.table = "GPT";
  partitions.partitions = {{1, 0, 0x3000, "a: HIT: all damaged"}};
  EXPECT_FALSE(Has(PageOf(image, partitions, "memory"), "<li class=\"hit\">"));
  image.SetCount(TestImage::kData, 0);
  EXPECT_TRUE(Has(PageOf(image, partitions, "memory"), "<li class=\"hit\">"));
}

// There is nothing to show behind the ends of the maps.
TEST(HtmlPageTest, ButtonsLeadToPlacesOnTheMaps) {
  TestImage image;
  image.SetL2(0, image.OffsetOf(1000) | kCopiedFlag);
  GuestPartitions partitions;
  partitions.table = "MBR";
  partitions.partitions = {{1, 0, 0x3000, "first"},
                           {2, uint64_t{1} << 40, 0x3000, "far behind"}};
  const std::string page = PageOf(image, partitions, "memory");
  EXPECT_TRUE(Has(page, "l2-entry-past-end"));
  EXPECT_FALSE(Has(page, "data-cluster=\"1000\""));
  EXPECT_TRUE(Has(page, "data-partition=\"0\""));
  EXPECT_FALSE(Has(page, "data-partition=\"1\""));
}

TEST(HtmlPageTest, OptionsStayOnOneLine) {
  EXPECT_TRUE(Has(PageOf({.found = CorruptReport()}),
                  "<span class=\"option\">--repair</span>"));
}

TEST(HtmlPageTest, HasTheTransactionOfARepair) {
  const std::string page = PageOf(RepairedReport());
  EXPECT_TRUE(Has(page, "<h2 id=\"repair-title\">"));
  EXPECT_TRUE(Has(page, "<pre>plan: "));
  EXPECT_TRUE(Has(page, "\nproof: passed."));
  EXPECT_TRUE(Has(page, "What to do"));
  EXPECT_FALSE(
      Has(PageOf({.found = CorruptReport()}), "<h2 id=\"repair-title\">"));
}

TEST(HtmlPageTest, AsksForNothingAndLetsNothingRun) {
  const std::string page = PageOf(RepairedReport());
  EXPECT_TRUE(Has(page,
                  "default-src &#39;none&#39;; base-uri &#39;none&#39;; "
                  "form-action &#39;none&#39;"));
  EXPECT_EQ(Occurrences(page, "&#39;sha256-"), 2u);
  for (const char* part :
       {"unsafe", "http:", "https:", " style=\"", " src=\""}) {
    EXPECT_FALSE(Has(page, part)) << part;
  }
}

TEST(HtmlPageTest, HostileNamesAreText) {
  const std::string name =
      "</script></style><img src=x onerror=alert(1)>{{data}}\x1b[2J";
  TestImage image;
  image.PutSnapshots(
      TestImage::kFree,
      {checker::SnapshotOf(3 * image.cluster_size(),
                           image.OffsetOf(TestImage::kFree + 1), "1", name)});
  // Data of the snapshot that is damaged, so that its name is everywhere.
  image.WriteBe64(image.OffsetOf(TestImage::kFree + 1),
                  image.OffsetOf(TestImage::kFree + 2));
  image.WriteBe64(image.OffsetOf(TestImage::kFree + 2),
                  image.OffsetOf(TestImage::kFree + 3));
  GuestPartitions partitions;
  partitions.table = name;
  partitions.partitions = {{1, 0, 0x3000, name}};
  partitions.notes = {name};
  const std::string page = PageOf(image, partitions, "/images/" + name);
  EXPECT_FALSE(Has(page, "<img"));
  EXPECT_EQ(Occurrences(page, "</script>"), 2u);
  EXPECT_EQ(Occurrences(page, "<script"), 2u);
  EXPECT_EQ(Occurrences(page, "</style>"), 1u);
  EXPECT_FALSE(Has(page, "\x1b"));
  // Once as text of the page, and in the data.
  EXPECT_TRUE(Has(page, "&lt;img src=x onerror=alert(1)&gt;{{data}}"));
  EXPECT_TRUE(Has(page, "\\u003cimg src=x onerror=alert(1)\\u003e"));
}

TEST(HtmlPageTest, DataOfTheMapsNamesOwners) {
  TestImage image;
  // The second guest cluster is the L1 table.
  image.SetL2(1, image.OffsetOf(TestImage::kL1) | kCopiedFlag);
  image.SetCount(TestImage::kData + 1, 0);
  const std::string page = PageOf(image, {}, "memory");
  // Cluster 3: an L1 table (class 3) that overlaps and is damaged; owned by the
  // active L1 table and, as guest cluster 1, by data.
  EXPECT_TRUE(Has(page, "[3,1,3,3,[[1,0,1,0],[12,0,1,1,1]]"));
  EXPECT_TRUE(Has(page, "\"damaged\":[[1,1]]"));
  EXPECT_TRUE(Has(page, "data-cluster=\"3\" data-clusters=\"1\""));
}

TEST(HtmlPageTest, ListsNoMoreFindingsThanAPageHolds) {
  checker::CheckReport report = LeakyReport();
  const checker::Finding leak = report.problems.front();
  report.problems.assign(kMaxPageFindings + 7, leak);
  uint32_t id = 0;
  for (checker::Finding& finding : report.problems) {
    finding.id = finding.root_cause = ++id;
  }
  const std::string page = PageOf({.found = report});
  EXPECT_EQ(Occurrences(page, "<li id=\"f"), kMaxPageFindings);
  EXPECT_TRUE(Has(page, "7 more findings are not listed here"));
}

// A name can be six times as long as markup, and in every line.
TEST(HtmlPageTest, NamesDoNotMakeThePageLarge) {
  checker::CheckReport report = LeakyReport();
  checker::Finding finding = report.problems.front();
  finding.guest.assign(
      8, checker::GuestRange{0, 65536, std::string(255, '"'), false});
  report.problems.assign(kMaxPageFindings, finding);
  uint32_t id = 0;
  for (checker::Finding& one : report.problems) {
    one.id = one.root_cause = ++id;
  }
  const std::string page = PageOf({.found = report});
  EXPECT_LT(page.size(), size_t{10} << 20);
  EXPECT_TRUE(Has(page, "more findings are not listed here"));
}

}  // namespace
}  // namespace qcow2::cli
