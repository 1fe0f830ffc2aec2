// A run over many images that is cancelled at any read of any of them: its exit
// code says so, and no report of an image claims more than was looked at.
//
// Also what ThreadSanitizer sees of the threads of such a run.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/run.h"
#include "engine/storage/memory_file.h"
#include "tests/cancellation/cancelled_file.h"
#include "tests/corpus/corpus_case.h"

namespace qcow2 {
namespace {

using Json = nlohmann::json;

constexpr char kServer[] = "nbd://server/";
constexpr const char* kCases[] = {"healthy-v3", "cluster-leaked",
                                  "refcount-too-low", "healthy-snapshot",
                                  "l2-entry-reserved"};

class CancelFleetTest : public testing::Test {
 protected:
  // The analyzer takes the assertions of nlohmann/json for exceptions.
  struct Outcome {  // NOLINT(bugprone-exception-escape)
    int exit_code = 0;
    std::map<std::string, std::string> status;  // of each image reported
    Json summary;
  };

  void SetUp() override {
    for (const char* name : kCases) {
      auto unpacked = corpus::UnpackedCase::Unpack(name);
      ASSERT_TRUE(unpacked.ok()) << unpacked.status();
      images_[std::string(kServer) + name] = (*unpacked)->image();
    }
  }

  cli::Options MakeOptions() const {
    cli::Options options;
    for (const auto& [address, image] : images_) {
      options.images.push_back(address);
    }
    options.output = cli::OutputFormat::kNdjson;
    options.jobs = 3;
    options.fleet.time_budget_seconds = 3600;  // so that there is a summary
    return options;
  }

  Outcome Run(CancelPoint& point) const {
    std::map<std::string, std::unique_ptr<MemoryFile>> files;
    for (const auto& [address, image] : images_) {
      files[address] = std::make_unique<MemoryFile>(image);
    }
    const std::string path = testing::TempDir() + "/output";
    const int output = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int nowhere = open("/dev/null", O_WRONLY);
    Outcome outcome;
    outcome.exit_code =
        cli::Run(MakeOptions(), {.standard_output = output,
                                 .standard_error = nowhere,
                                 .cancel = point.flag(),
                                 .open_remote = [&](const std::string& address,
                                                    const cli::RemoteOptions&)
                                     -> absl::StatusOr<std::unique_ptr<File>> {
                                   return std::make_unique<CancelledFile>(
                                       *files.at(address), point);
                                 }});
    close(output);
    close(nowhere);
    ReadOutput(path, outcome);
    return outcome;
  }

  static void ReadOutput(const std::string& path, Outcome& outcome) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      const Json json = Json::parse(line);
      if (json.contains("summary")) {
        outcome.summary = json["summary"];
      } else {
        outcome.status[json["image"]["path"]] = json["status"];
      }
    }
  }

  std::map<std::string, std::vector<std::byte>> images_;
};

TEST_F(CancelFleetTest, LeftAloneItChecksAll) {
  CancelPoint never(0);
  const Outcome outcome = Run(never);
  EXPECT_EQ(outcome.exit_code, cli::kExitErrorsLeft);
  EXPECT_EQ(outcome.status.size(), std::size(kCases));
  EXPECT_EQ(outcome.summary["end"], "complete");
}

TEST_F(CancelFleetTest, AtEveryRead) {
  CancelPoint never(0);
  const Outcome whole = Run(never);
  uint64_t cancelled = 0;
  for (uint64_t at = 1; at <= never.passed(); ++at) {
    SCOPED_TRACE(testing::Message()
                 << "read " << at << " of " << never.passed());
    CancelPoint point(at);
    const Outcome outcome = Run(point);
    ASSERT_FALSE(outcome.summary.is_null());
    const bool complete = outcome.summary["end"] == "complete" &&
                          (outcome.exit_code & cli::kExitCancelled) == 0;
    if (complete) {
      EXPECT_EQ(outcome.status, whole.status);
      EXPECT_EQ(outcome.exit_code, whole.exit_code);
      continue;
    }
    ++cancelled;
    EXPECT_NE(outcome.exit_code & cli::kExitCancelled, 0);
    for (const auto& [image, status] : outcome.status) {
      EXPECT_TRUE(status == whole.status.at(image) ||
                  status == "inconclusive" || status == "corrupt")
          << image << ": " << status;
    }
  }
  EXPECT_GT(cancelled, 0u);
}

}  // namespace
}  // namespace qcow2
