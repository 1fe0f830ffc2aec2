// The golden texts are what `qemu-img check` 7.2 prints for such images.
#include "cli/compat_printer.h"

#include "cli/sample_reports.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

using checker::CheckReport;

TEST(CompatPrinterTest, Clean) {
  CheckReport report = CleanReport();
  report.allocation.fragmented_clusters = 0;
  EXPECT_EQ(CompatHumanReport(report),
            "No errors were found on the image.\n"
            "16/16384 = 0.10% allocated, 0.00% fragmented, 0.00% compressed "
            "clusters\n"
            "Image end offset: 1376256\n");
  EXPECT_EQ(CompatJsonReport(report), R"({
    "image-end-offset": 1376256,
    "total-clusters": 16384,
    "check-errors": 0,
    "allocated-clusters": 16,
    "filename": "disk.qcow2",
    "format": "qcow2"
}
)");
  EXPECT_EQ(CompatFindingLines(report), "");
}

TEST(CompatPrinterTest, EveryKeyInOrder) {
  CheckReport report = CorruptReport();
  report.allocation.compressed_clusters = 4;
  report.qemu.check_errors = 8;
  report.qemu.unseen = 3;
  EXPECT_EQ(CompatJsonReport(report), R"({
    "image-end-offset": 1376256,
    "compressed-clusters": 4,
    "total-clusters": 16384,
    "corruptions": 5,
    "check-errors": 8,
    "leaks": 1,
    "allocated-clusters": 16,
    "filename": "disk.qcow2",
    "format": "qcow2",
    "fragmented-clusters": 1,
    "corruptions-unseen-by-qemu-img": 3
}
)");
}

TEST(CompatPrinterTest, Repaired) {
  CheckReport before = CorruptReport();
  before.qemu.unseen = 1;
  const CheckReport after = LeakyReport();
  const CompatFixed fixed = CompatFixedBetween(before, after);
  EXPECT_EQ(fixed.corruptions, 3u);
  EXPECT_EQ(fixed.leaks, 0u);  // two are left where there was one
  EXPECT_TRUE(CompatHumanReport(after, fixed)
                  .starts_with("The following inconsistencies were found and "
                               "repaired:\n\n    0 leaked clusters\n    3 "
                               "corruptions\n\nDouble checking the fixed image "
                               "now...\n\n2 leaked clusters were found"));
  const std::string json = CompatJsonReport(after, {3, 1});
  EXPECT_NE(json.find("    \"corruptions-fixed\": 3,\n"
                      "    \"check-errors\": 0,\n"
                      "    \"leaks\": 2,\n"
                      "    \"leaks-fixed\": 1,\n"),
            std::string::npos)
      << json;
}

TEST(CompatPrinterTest, Damaged) {
  CheckReport report = CorruptReport();
  report.qemu.check_errors = 8;
  EXPECT_EQ(CompatHumanReport(report), R"(
2 errors were found on the image.
Data may be corrupted, or further writes to the image may corrupt it.

1 leaked clusters were found on the image.
This means waste of disk space, but no harm to data.

8 internal errors have occurred during the check.
16/16384 = 0.10% allocated, 6.25% fragmented, 0.00% compressed clusters
Image end offset: 1376256
)");
}

TEST(CompatPrinterTest, FindingLines) {
  EXPECT_EQ(CompatFindingLines(CorruptReport()),
            "ERROR active L2 table at 0x50000, entry 12 names a cluster at "
            "0x60200, which is not cluster aligned\n"
            "Leaked cluster 6 refcount=1 reference=0\n"
            "ERROR cluster 7 refcount=1 reference=2\n");
  EXPECT_EQ(CompatFindingLines(LeakyReport()),
            "Leaked clusters 6-7 refcount=1 reference=0\n");
}

TEST(CompatPrinterTest, ExitCodes) {
  EXPECT_EQ(CompatExitCodeOf(CleanReport()), 0);
  EXPECT_EQ(CompatExitCodeOf(UnopenedReport()), 1);
  EXPECT_EQ(CompatExitCodeOf(CorruptReport()), 2);
  EXPECT_EQ(CompatExitCodeOf(LeakyReport()), 3);
  CheckReport report = CorruptReport();
  report.qemu.check_errors = 1;
  EXPECT_EQ(CompatExitCodeOf(report), 1);
  report = CleanReport();
  report.qemu.unseen = 1;
  EXPECT_EQ(CompatExitCodeOf(report), 2);
}

}  // namespace
}  // namespace qcow2::cli
