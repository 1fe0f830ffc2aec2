#include "cli/metrics_printer.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "cli/sample_reports.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

TEST(MetricsPrinterTest, AnImageHasASampleInEveryMetric) {
  EXPECT_EQ(
      MetricsText({MetricsOf({LeakyReport()}, 1700000000)}, 1700000001),
      R"(# HELP qcow2_fsck_status Result of the check: 1 for the status it has.
# TYPE qcow2_fsck_status gauge
qcow2_fsck_status{image="disk.qcow2",status="clean"} 0
qcow2_fsck_status{image="disk.qcow2",status="leaks"} 1
qcow2_fsck_status{image="disk.qcow2",status="corrupt"} 0
qcow2_fsck_status{image="disk.qcow2",status="repaired"} 0
qcow2_fsck_status{image="disk.qcow2",status="partially-repaired"} 0
qcow2_fsck_status{image="disk.qcow2",status="inconclusive"} 0
qcow2_fsck_status{image="disk.qcow2",status="error"} 0
# HELP qcow2_fsck_corruptions Corrupt entries or clusters in the image.
# TYPE qcow2_fsck_corruptions gauge
qcow2_fsck_corruptions{image="disk.qcow2"} 0
# HELP qcow2_fsck_leaks Leaked clusters in the image.
# TYPE qcow2_fsck_leaks gauge
qcow2_fsck_leaks{image="disk.qcow2"} 2
# HELP qcow2_fsck_leaked_bytes Size of the leaked clusters.
# TYPE qcow2_fsck_leaked_bytes gauge
qcow2_fsck_leaked_bytes{image="disk.qcow2"} 131072
# HELP qcow2_fsck_warnings Warnings given.
# TYPE qcow2_fsck_warnings gauge
qcow2_fsck_warnings{image="disk.qcow2"} 0
# HELP qcow2_fsck_suspect_orphans Leaked clusters that may be what is left of guest data.
# TYPE qcow2_fsck_suspect_orphans gauge
qcow2_fsck_suspect_orphans{image="disk.qcow2"} 0
# HELP qcow2_fsck_fixed Problems mended by this run.
# TYPE qcow2_fsck_fixed gauge
qcow2_fsck_fixed{image="disk.qcow2"} 0
# HELP qcow2_fsck_unreadable_bytes Bytes of metadata that cannot be read.
# TYPE qcow2_fsck_unreadable_bytes gauge
qcow2_fsck_unreadable_bytes{image="disk.qcow2"} 0
# HELP qcow2_fsck_exit_code Exit code of the check (see the manual page).
# TYPE qcow2_fsck_exit_code gauge
qcow2_fsck_exit_code{image="disk.qcow2"} 4
# HELP qcow2_fsck_virtual_size_bytes Size of the virtual disk.
# TYPE qcow2_fsck_virtual_size_bytes gauge
qcow2_fsck_virtual_size_bytes{image="disk.qcow2"} 1073741824
# HELP qcow2_fsck_file_size_bytes Length of the image file.
# TYPE qcow2_fsck_file_size_bytes gauge
qcow2_fsck_file_size_bytes{image="disk.qcow2"} 1376256
# HELP qcow2_fsck_metadata_read_bytes Metadata read by the check.
# TYPE qcow2_fsck_metadata_read_bytes gauge
qcow2_fsck_metadata_read_bytes{image="disk.qcow2"} 262144
# HELP qcow2_fsck_last_check_timestamp_seconds When the image was checked, in seconds since 1970.
# TYPE qcow2_fsck_last_check_timestamp_seconds gauge
qcow2_fsck_last_check_timestamp_seconds{image="disk.qcow2"} 1700000000
# HELP qcow2_fsck_last_success_timestamp_seconds When a check of the image last came to a verdict, in seconds since 1970; 0: not known.
# TYPE qcow2_fsck_last_success_timestamp_seconds gauge
qcow2_fsck_last_success_timestamp_seconds{image="disk.qcow2"} 1700000000
# HELP qcow2_fsck_check_duration_seconds Time the check took.
# TYPE qcow2_fsck_check_duration_seconds gauge
qcow2_fsck_check_duration_seconds{image="disk.qcow2"} 0.250000
# HELP qcow2_fsck_fleet_images Images by the result of their check.
# TYPE qcow2_fsck_fleet_images gauge
qcow2_fsck_fleet_images{status="clean"} 0
qcow2_fsck_fleet_images{status="leaks"} 1
qcow2_fsck_fleet_images{status="corrupt"} 0
qcow2_fsck_fleet_images{status="repaired"} 0
qcow2_fsck_fleet_images{status="partially-repaired"} 0
qcow2_fsck_fleet_images{status="inconclusive"} 0
qcow2_fsck_fleet_images{status="error"} 0
# HELP qcow2_fsck_fleet_corruptions Corruptions of all images.
# TYPE qcow2_fsck_fleet_corruptions gauge
qcow2_fsck_fleet_corruptions 0
# HELP qcow2_fsck_fleet_leaks Leaked clusters of all images.
# TYPE qcow2_fsck_fleet_leaks gauge
qcow2_fsck_fleet_leaks 2
# HELP qcow2_fsck_fleet_leaked_bytes Size of the leaked clusters of all images.
# TYPE qcow2_fsck_fleet_leaked_bytes gauge
qcow2_fsck_fleet_leaked_bytes 131072
# HELP qcow2_fsck_fleet_suspect_orphans Leaked clusters of all images that may be what is left of guest data.
# TYPE qcow2_fsck_fleet_suspect_orphans gauge
qcow2_fsck_fleet_suspect_orphans 0
# HELP qcow2_fsck_last_run_timestamp_seconds When the run ended, in seconds since 1970.
# TYPE qcow2_fsck_last_run_timestamp_seconds gauge
qcow2_fsck_last_run_timestamp_seconds 1700000001
)");
}

std::vector<ImageMetrics> ManyImages() {
  checker::CheckReport odd = CorruptReport();
  odd.image.path = "dir\\with \"quotes\"\nand \xFF bytes.qcow2";
  return {MetricsOf({CleanReport()}, 1700000000), MetricsOf({odd}, 1700000000),
          MetricsOf({UnopenedReport()}, 1700000000),
          MetricsOf({LeakyReport()}, 1700000000)};
}

TEST(MetricsPrinterTest, LabelsAreEscaped) {
  const std::string text = MetricsText(ManyImages(), 0);
  EXPECT_NE(text.find(R"(image="dir\\with \"quotes\"\\x0aand \\xff bytes)"),
            std::string::npos);
}

TEST(MetricsPrinterTest, AnImageGivenTwiceHasOneSampleOfEach) {
  const std::string text = MetricsText(ManyImages(), 0);
  const std::string sample = "qcow2_fsck_leaks{image=\"disk.qcow2\"} ";
  const size_t first = text.find(sample);
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(text[first + sample.size()], '2');  // of the last check
  EXPECT_EQ(text.find(sample, first + 1), std::string::npos);
}

TEST(MetricsPrinterTest, AFailedCheckKeepsTheTimeOfTheLastSuccess) {
  const EarlierVerdict earlier{.time = 1600000000};
  EXPECT_EQ(MetricsOf({UnopenedReport()}, 1700000000, earlier).succeeded,
            1600000000);
  EXPECT_EQ(MetricsOf({CorruptReport()}, 1700000000, earlier).succeeded,
            1700000000);
}

TEST(MetricsPrinterTest, AFailedCheckKeepsWhatWasFoundBefore) {
  const EarlierVerdict earlier{.time = 1600000000,
                               .counts = {.corruptions = 1000, .leaks = 7},
                               .leaked_bytes = 458752};
  const ImageMetrics failed =
      MetricsOf({UnopenedReport()}, 1700000000, earlier);
  EXPECT_EQ(failed.counts.corruptions, 1000u);
  EXPECT_EQ(failed.counts.leaks, 7u);
  EXPECT_EQ(failed.leaked_bytes, 458752u);
  const ImageMetrics clean = MetricsOf({CleanReport()}, 1700000000, earlier);
  EXPECT_EQ(clean.counts.corruptions, 0u);
  EXPECT_EQ(clean.leaked_bytes, 0u);
}

TEST(MetricsPrinterTest, OfARememberedImageSizesAreNotKnown) {
  ImageMetrics image = MetricsOf({LeakyReport()}, 1700000000);
  image.remembered = true;
  const std::string text = MetricsText({image}, 0);
  EXPECT_NE(text.find("qcow2_fsck_leaks{"), std::string::npos);
  EXPECT_NE(text.find("qcow2_fsck_fleet_leaks 2\n"), std::string::npos);
  EXPECT_EQ(text.find("size_bytes"), std::string::npos);
}

TEST(MetricsPrinterTest, OfARunAndItsBaseline) {
  ImageReport report = {.found = LeakyReport()};
  report.change.emplace();
  report.change->new_leaks = 1;
  const std::string text =
      MetricsText({MetricsOf(report, 1700000000)}, 0,
                  RunMetrics{.seconds = 2.5, .left = 7, .exit_code = 4});
  for (const char* sample :
       {"\nqcow2_fsck_new_leaks{image=\"disk.qcow2\"} 1\n",
        "\nqcow2_fsck_new_corruptions{image=\"disk.qcow2\"} 0\n",
        "\nqcow2_fsck_exit_code{image=\"disk.qcow2\"} 4\n",
        "\nqcow2_fsck_run_duration_seconds 2.500000\n",
        "\nqcow2_fsck_run_images_left 7\n", "\nqcow2_fsck_run_exit_code 4\n"}) {
    EXPECT_NE(text.find(sample), std::string::npos) << sample;
  }
}

TEST(MetricsPrinterTest, PromtoolAcceptsIt) {
  ASSERT_EQ(std::system("command -v promtool >/dev/null"), 0)
      << "promtool (Debian's package prometheus) is not installed";
  const std::string path = testing::TempDir() + "/metrics.prom";
  std::ofstream(path) << MetricsText(ManyImages(), 1700000000, RunMetrics{});
  EXPECT_EQ(std::system(("promtool check metrics <" + path).c_str()), 0);
}

}  // namespace
}  // namespace qcow2::cli
