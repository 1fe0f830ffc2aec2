// Compares the counts of --compat=qemu-img with those of `qemu-img check` on
// every image of the corpus: as recorded when the corpus was made, and live
// where qemu-img 7.2 is installed.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>

#include "checker/check.h"
#include "tests/corpus/case_test.h"
#include "tests/corpus/corpus_case.h"

namespace qcow2::corpus {
namespace {

// What a run of `qemu-img check --output=json` comes to.
struct QemuResult {
  bool refused = false;
  uint64_t corruptions = 0;
  uint64_t leaks = 0;
  uint64_t check_errors = 0;

  friend bool operator==(const QemuResult&, const QemuResult&) = default;
};

std::ostream& operator<<(std::ostream& out, const QemuResult& result) {
  if (result.refused) return out << "refused";
  return out << result.corruptions << " corruptions, " << result.leaks
             << " leaks, " << result.check_errors << " check errors";
}

QemuResult Recorded(const Json& qemu) {
  return {qemu["refused"].get<bool>(), qemu["corruptions"].get<uint64_t>(),
          qemu["leaks"].get<uint64_t>(), qemu["check_errors"].get<uint64_t>()};
}

// qemu-img gives no report when it cannot open the image, nor when the check
// itself runs into an error that ends it; its exit code is 1 in both cases, and
// what was counted until then is not known.
QemuResult Ours(const checker::QemuCounts& counts, bool no_report) {
  if (counts.refused || (no_report && counts.check_errors > 0)) {
    return {.refused = true};
  }
  return {false, counts.corruptions, counts.leaks, counts.check_errors};
}

// The standard output of a command.
std::string OutputOf(const std::string& command) {
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return output;
  std::array<char, 4096> piece;
  size_t got = 0;
  while ((got = fread(piece.data(), 1, piece.size(), pipe)) > 0) {
    output.append(piece.data(), got);
  }
  pclose(pipe);
  return output;
}

bool QemuImgIsInstalled() {
  static const bool installed =
      OutputOf("qemu-img --version 2>/dev/null").find("version 7.2") !=
      std::string::npos;
  return installed;
}

// Runs qemu-img on an unpacked case, with the options the case was recorded
// with. The limit on open files ends a backing chain that is a ring.
QemuResult Live(const UnpackedCase& unpacked, const std::string& name) {
  std::string command = "cd '" + unpacked.directory() +
                        "' && ulimit -n 128 && qemu-img check "
                        "--output=json";
  const Json options =
      unpacked.expectation().value("qemu_options", Json::array());
  for (const Json& option : options) {
    command += " '" + option.get<std::string>() + "'";
  }
  if (options.empty()) command += " -f qcow2 '" + name + ".qcow2'";
  const std::string output = OutputOf(command + " 2>/dev/null");
  if (output.empty()) return {.refused = true};
  const Json report = Json::parse(output, nullptr, /*allow_exceptions=*/false);
  return {report.is_discarded(), report.value("corruptions", uint64_t{0}),
          report.value("leaks", uint64_t{0}),
          report.value("check-errors", uint64_t{0})};
}

using CompatTest = CaseTest;

TEST_P(CompatTest, CountsWhatQemuImgCounted) {
  if (case_->expectation().contains("qemu_differs")) {
    GTEST_SKIP() << case_->expectation()["qemu_differs"].get<std::string>();
  }
  checker::CheckOptions options;
  options.qemu_compatible = true;
  const auto report = case_->Check(options);
  ASSERT_TRUE(report.ok()) << report.status();
  const QemuResult recorded = Recorded(case_->expectation()["qemu"]);
  EXPECT_EQ(Ours(report->qemu, recorded.refused), recorded);
}

TEST_P(CompatTest, RecordIsWhatQemuImgSays) {
  if (!QemuImgIsInstalled()) GTEST_SKIP() << "qemu-img 7.2 is not installed";
  EXPECT_EQ(Recorded(case_->expectation()["qemu"]), Live(*case_, GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Corpus, CompatTest, testing::ValuesIn(CaseNames()),
                         [](const auto& info) {
                           return TestNameOf(info.param);
                         });

}  // namespace
}  // namespace qcow2::corpus
