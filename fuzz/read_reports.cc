// Any bytes are a file of reports: it is refused, or it is a baseline, with
// which no more is new than what is there, and can be merged. What was merged
// is a report as well, which merging leaves as it is.
//
// The last byte, behind the newline that ends a report, chooses the format that
// is printed, so that any report is an input.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "cli/fleet/baseline.h"
#include "cli/fleet/merge.h"
#include "cli/sample_reports.h"
#include "fuzz/fuzz_target.h"

namespace {

using qcow2::checker::Finding;
using qcow2::cli::Baseline;
using qcow2::cli::ImageChange;
using qcow2::cli::ImageReport;
using qcow2::cli::Options;
using qcow2::cli::OutputFormat;

constexpr size_t kMaxInputBytes = size_t{64} << 10;

// A file that is there as long as the process.
class ScratchFile {
 public:
  explicit ScratchFile(const std::string& name)
      : path_(std::filesystem::temp_directory_path() /
              (name + "." + std::to_string(getpid()))),
        descriptor_(
            open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
    FUZZ_CHECK(descriptor_ >= 0);
  }
  ~ScratchFile() {
    close(descriptor_);
    unlink(path_.c_str());
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  const std::string& path() const { return path_; }
  int descriptor() const { return descriptor_; }

  void Empty() {
    FUZZ_CHECK(ftruncate(descriptor_, 0) == 0);
    FUZZ_CHECK(lseek(descriptor_, 0, SEEK_SET) == 0);
  }
  void Put(std::string_view text) {
    Empty();
    FUZZ_CHECK(write(descriptor_, text.data(), text.size()) ==
               static_cast<ssize_t>(text.size()));
  }
  std::string Text() const {
    std::string text(static_cast<size_t>(lseek(descriptor_, 0, SEEK_END)),
                     '\0');
    FUZZ_CHECK(pread(descriptor_, text.data(), text.size(), 0) ==
               static_cast<ssize_t>(text.size()));
    return text;
  }

 private:
  const std::string path_;
  const int descriptor_;
};

struct Files {
  ScratchFile input{"fuzz-reports"};
  ScratchFile output{"fuzz-merged"};
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
};

uint64_t Occurrences(const std::vector<Finding>& findings) {
  uint64_t sum = 0;
  for (const Finding& finding : findings) sum += finding.count;
  return sum;
}

void CheckAgainst(const Baseline& baseline, const ImageReport& report) {
  const ImageChange change = baseline.Compare(report);
  FUZZ_CHECK(Occurrences(change.problems) <=
             Occurrences(report.found.problems));
  FUZZ_CHECK(Occurrences(change.warnings) <=
             Occurrences(report.found.warnings));
  for (const Finding& finding : change.problems) {
    FUZZ_CHECK(finding.count > 0 && !DescribeFinding(finding).empty());
  }
  FUZZ_CHECK(change.new_corruptions <= report.found.counts.corruptions);
  FUZZ_CHECK(change.new_leaks <= report.found.counts.leaks);
}

bool IsBaseline(const std::string& path) {
  Baseline baseline;
  const absl::Status status = baseline.Read(path);
  if (!status.ok()) {
    FUZZ_CHECK(!status.message().empty());
    return false;
  }
  for (const auto& report :
       {qcow2::cli::CleanReport(), qcow2::cli::CorruptReport(),
        qcow2::cli::UnopenedReport(), qcow2::cli::FullReport()}) {
    CheckAgainst(baseline, {.found = report});
  }
  return true;
}

// What merging the input prints.
std::string Merged(OutputFormat format, Files& files, int& exit_code) {
  Options options;
  options.output = format;
  options.images = {files.input.path()};
  files.output.Empty();
  exit_code =
      qcow2::cli::Merge(options, {.standard_output = files.output.descriptor(),
                                  .standard_error = files.nowhere});
  return files.output.Text();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Files files;
  if (size == 0 || size > kMaxInputBytes) return 0;
  files.input.Put({reinterpret_cast<const char*>(data), size});
  constexpr OutputFormat kFormats[] = {
      OutputFormat::kNdjson, OutputFormat::kJson, OutputFormat::kHuman};
  const OutputFormat format = kFormats[data[size - 1] % 3];
  const bool sound = IsBaseline(files.input.path());
  int exit_code = 0;
  const std::string merged = Merged(format, files, exit_code);
  FUZZ_CHECK(!merged.empty() && exit_code >= 0 && exit_code < 64);
  FUZZ_CHECK(sound || exit_code != 0);
  if (format == OutputFormat::kHuman) return 0;
  files.input.Put(merged);
  FUZZ_CHECK(IsBaseline(files.input.path()));
  int again = 0;
  // Now every image is there once, and so is every error.
  const std::string settled = Merged(format, files, again);
  FUZZ_CHECK(again == exit_code);
  files.input.Put(settled);
  FUZZ_CHECK(Merged(format, files, again) == settled);
  FUZZ_CHECK(again == exit_code);
  return 0;
}
