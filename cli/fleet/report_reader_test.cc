#include "cli/fleet/report_reader.h"

#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

constexpr char kA[] = R"({"schema_version":1,"image":{"path":"a"}})";
constexpr char kB[] = R"({"schema_version":1,"image":{"path":"b"}})";
constexpr char kSummary[] = R"({"schema_version":1,"summary":{}})";

struct Read {
  absl::StatusOr<bool> whole = false;
  std::string images;  // their paths, one behind the other
  size_t summaries = 0;
};

Read ReadText(const std::string& text) {
  const std::string path = testing::TempDir() + "/report";
  std::ofstream(path) << text;
  Read read;
  read.whole = ReadReports(path, [&](const Json& report) {
    if (report.contains("summary")) {
      ++read.summaries;
    } else {
      read.images += report["image"]["path"].get<std::string>();
    }
  });
  return read;
}

TEST(ReportReaderTest, EveryForm) {
  const std::string a = kA;
  const std::string b = kB;
  const std::string summary = kSummary;
  for (const std::string& text :
       {a + "\n" + b + "\n" + summary + "\n",
        "[" + a + "," + b + "," + summary + "]",
        "[\n" + a + ",\n" + b + "\n,\n" + summary + "\n]\n"}) {
    const Read read = ReadText(text);
    ASSERT_TRUE(read.whole.ok()) << read.whole.status();
    EXPECT_TRUE(*read.whole);
    EXPECT_EQ(read.images, "ab");
    EXPECT_EQ(read.summaries, 1u);
  }
  EXPECT_EQ(ReadText("{\n\"schema_version\":1,\n\"image\":{\"path\":\"a\"}}\n")
                .images,
            "a");
  EXPECT_TRUE(ReadText("[]").whole.value_or(false));
}

TEST(ReportReaderTest, ALineThatWasCutOff) {
  const Read read = ReadText(std::string(kA) + "\n" + std::string(kB, 20));
  ASSERT_TRUE(read.whole.ok());
  EXPECT_FALSE(*read.whole);
  EXPECT_EQ(read.images, "a");
}

// Copying and printing what is nested that deeply took more stack than there
// is.
TEST(ReportReaderTest, NestedSoDeeplyThatTheStackRanOut) {
  for (const size_t depth : {size_t{100}, size_t{1} << 17}) {
    const std::string nested =
        R"({"schema_version":1,"image":{"path":"a"},"x":)" +
        std::string(depth, '[') + std::string(depth, ']') + "}";
    for (const std::string& text : {nested + "\n", "[" + nested + "]"}) {
      EXPECT_TRUE(absl::IsInvalidArgument(ReadText(text).whole.status()));
    }
  }
  EXPECT_EQ(ReadText(R"({"schema_version":1,"image":{"path":"a"},"x":[[[{}]]]})"
                     "\n")
                .images,
            "a");
}

// Every key was compared with all before it.
TEST(ReportReaderTest, SoManyKeysInOneObjectThatReadingDidNotEnd) {
  std::string text = R"({"schema_version":1,"image":{"path":"a"})";
  for (int i = 0; i < 200'000; ++i) {
    text += ",\"k" + std::to_string(i) + "\":0";
  }
  EXPECT_TRUE(absl::IsInvalidArgument(ReadText(text + "}\n").whole.status()));
}

TEST(ReportReaderTest, WhatIsNoReport) {
  for (const std::string& text :
       {std::string("text"), std::string(), std::string("{}\n"),
        std::string("[1]"), std::string(kA) + "\nnonsense\n",
        std::string(R"({"schema_version":2,"image":{"path":"a"}})") + "\n",
        std::string(R"({"schema_version":1,"image":{"path":7}})") + "\n",
        std::string(R"({"schema_version":1,"summary":7})") + "\n"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ReadText(text).whole.status())) << text;
  }
  EXPECT_TRUE(absl::IsNotFound(
      ReadReports(testing::TempDir() + "/none", [](const Json&) {}).status()));
}

}  // namespace
}  // namespace qcow2::cli
