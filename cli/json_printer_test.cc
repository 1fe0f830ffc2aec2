#include "cli/json_printer.h"

#include <nlohmann/json.hpp>

#include "cli/sample_reports.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

TEST(JsonPrinterTest, CleanReportInFull) {
  EXPECT_EQ(JsonReport({CleanReport()}, JsonLayout::kIndented), R"({
  "schema_version": 1,
  "tool": {
    "name": "qcow2-fsck",
    "version": "0.1.0"
  },
  "image": {
    "path": "disk.qcow2",
    "format": "qcow2",
    "version": 3,
    "virtual_size": 1073741824,
    "cluster_size": 65536,
    "refcount_bits": 16,
    "file_size": 1376256,
    "image_end_offset": 1376256,
    "snapshots": 1,
    "bitmaps": 0,
    "features": [],
    "compression_type": "deflate"
  },
  "status": "clean",
  "exit_code": 0,
  "cancelled": false,
  "counts": {
    "corruptions": 0,
    "leaks": 0,
    "warnings": 0,
    "notes": 0,
    "suspect_orphans": 0,
    "fixed": 0,
    "unreadable_bytes": 0
  },
  "problems": [],
  "warnings": [],
  "problems_omitted": 0,
  "statistics": {
    "clusters": 21,
    "guest_clusters": 16384,
    "allocated_clusters": 16,
    "fragmented_clusters": 1,
    "compressed_clusters": 0,
    "metadata_bytes": 262144,
    "l2_tables": 1,
    "refcount_blocks": 1,
    "passes": 1,
    "seconds": 0.25,
    "map_memory": 4096,
    "peak_memory": 3145728
  },
  "errors": []
})");
}

TEST(JsonPrinterTest, OneFindingInFull) {
  const nlohmann::ordered_json report = nlohmann::ordered_json::parse(
      JsonReport({FullReport()}, JsonLayout::kIndented));
  EXPECT_EQ(report["problems"][0].dump(2), R"({
  "id": 1,
  "code": "l2-entry-unaligned",
  "number": 501,
  "fingerprint": "69aa561efaf48aee",
  "severity": "corruption",
  "message": "active L2 table at 0x50000 of snapshot \"one\", entry 12, offset names a cluster at 0x60200, which is not cluster aligned",
  "count": 1,
  "location": {
    "structure": "active L2 table",
    "table_offset": 327680,
    "index": 12,
    "field": "offset",
    "snapshot": "one"
  },
  "host": {
    "first_cluster": 6,
    "clusters": 1,
    "offset": 393216
  },
  "guest": [
    {
      "offset": 786432,
      "length": 65536,
      "snapshot": "one",
      "vm_state": true
    }
  ],
  "guest_ranges_omitted": 3,
  "owners": [
    "active L2",
    "guest data"
  ],
  "expected": 18446744073709551615,
  "actual": 393728,
  "root_cause": 1,
  "suspect_orphan": true,
  "repair": {
    "action": "mend-entry",
    "class": "safe",
    "applied": false
  }
})");
}

TEST(JsonPrinterTest, WhatIsNotKnownIsLeftOut) {
  const nlohmann::json report = nlohmann::json::parse(
      JsonReport({CorruptReport()}, JsonLayout::kIndented));
  const nlohmann::json& dirty = report["warnings"][0];
  for (const char* key : {"host", "expected", "actual", "suspect_orphan",
                          "guest_ranges_omitted"}) {
    EXPECT_FALSE(dirty.contains(key)) << key;
  }
  EXPECT_FALSE(dirty["location"].contains("index"));
  EXPECT_TRUE(dirty["guest"].empty());
}

TEST(JsonPrinterTest, AFileThatIsNoImageHasNoGeometry) {
  const nlohmann::json report = nlohmann::json::parse(
      JsonReport({UnopenedReport()}, JsonLayout::kIndented));
  EXPECT_EQ(report["image"].dump(),
            R"({"file_size":0,"format":null,"path":"gone.qcow2"})");
  EXPECT_EQ(report["status"], "error");
  EXPECT_EQ(report["exit_code"], 8);
  EXPECT_EQ(report["errors"][0],
            "cannot open 'gone.qcow2': No such file or directory");
}

TEST(JsonPrinterTest, ARepairedReport) {
  const nlohmann::json report =
      nlohmann::json::parse(JsonReport(RepairedReport(), JsonLayout::kOneLine));
  EXPECT_EQ(report["status"], "partially-repaired");
  EXPECT_EQ(report["counts"]["fixed"], 3);
  EXPECT_EQ(report["counts"]["corruptions"], 0);
  EXPECT_EQ(report["problems"][0]["repair"]["applied"], true);
  EXPECT_EQ(report["problems"][1]["repair"]["applied"], false);
  const nlohmann::json& transaction = report["transaction"];
  EXPECT_EQ(transaction["plan"]["edits"][0]["findings"].dump(), "[1]");
  EXPECT_EQ(transaction["plan"]["guest_changes"][0]["kind"], "recovered");
  EXPECT_EQ(transaction["left"][0]["remedy"], "--free-suspects");
}

TEST(JsonPrinterTest, ADryRunHasMendedNothing) {
  const nlohmann::json report =
      nlohmann::json::parse(JsonReport(PlannedReport(), JsonLayout::kOneLine));
  EXPECT_EQ(report["status"], "corrupt");
  EXPECT_EQ(report["counts"]["fixed"], 0);
  EXPECT_EQ(report["counts"]["corruptions"], 2);
  EXPECT_EQ(report["problems"][0]["repair"]["applied"], false);
  EXPECT_EQ(report["transaction"]["fixes"], 3);
  EXPECT_FALSE(report["transaction"].contains("undo_file"));
}

TEST(JsonPrinterTest, OneLineHasNoNewlineInside) {
  checker::CheckReport report = FullReport();
  report.image.path = "a\nb";
  const std::string text = JsonReport({report}, JsonLayout::kOneLine);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(text)["image"]["path"], "a\nb");
}

TEST(JsonPrinterTest, NamesThatAreNotUtf8StillMakeJson) {
  checker::CheckReport report = CleanReport();
  report.image.path = "\xFF.qcow2";
  const std::string text = JsonReport({report}, JsonLayout::kOneLine);
  EXPECT_EQ(nlohmann::json::parse(text)["image"]["path"], "\uFFFD.qcow2");
}

}  // namespace
}  // namespace qcow2::cli
