// --compat=qemu-img: opens, checks and prints as `qemu-img check` does.
#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>

#include "checker/problems.h"
#include "cli/compat_printer.h"
#include "cli/exit_code.h"
#include "cli/output_file.h"
#include "cli/run.h"
#include "cli/session.h"

namespace qcow2::cli {
namespace {

using checker::CheckReport;

constexpr std::string_view kNoChecks =
    "This image format does not support checks";

bool IsOtherFormat(std::string_view format) {
  static constexpr std::string_view kFormats[] = {
      "raw", "qcow", "vmdk",  "vdi",   "vpc", "vhdx",
      "qed", "luks", "bochs", "cloop", "dmg", "parallels"};
  return std::find(std::begin(kFormats), std::end(kFormats), format) !=
         std::end(kFormats);
}

// A file is taken for qcow2 when its first eight bytes say so: the magic and a
// version of at least 2.
absl::StatusOr<bool> LooksLikeQcow2(const File& file) {
  std::array<std::byte, 8> start = {};
  const absl::Status read = ReadZeroFilled(file, 0, start);
  if (!read.ok()) return read;
  static constexpr std::array<uint8_t, 4> kMagic = {'Q', 'F', 'I', 0xFB};
  const bool magic = std::equal(
      kMagic.begin(), kMagic.end(), start.begin(),
      [](uint8_t a, std::byte b) { return a == std::to_integer<uint8_t>(b); });
  const bool large = start[4] != std::byte{0} || start[5] != std::byte{0} ||
                     start[6] != std::byte{0};
  return magic && (large || std::to_integer<unsigned>(start[7]) >= 2);
}

CompatExitCode CouldNotOpen(const std::string& path, const std::string& why,
                            const Surroundings& surroundings) {
  Complain(surroundings, "Could not open '" + path + "': " + why);
  return kCompatNotChecked;
}

// Why the image was refused, from the first finding that says so.
std::string RefusalOf(const CheckReport& report) {
  for (const checker::Finding& finding : report.problems) {
    if (checker::RowOf(finding.problem).qemu == checker::QemuClass::kRefused) {
      return DescribeFinding(finding);
    }
  }
  return report.errors.empty() ? "the image cannot be used" : report.errors[0];
}

absl::Status Print(const CheckReport& report, const Options& options,
                   const Surroundings& surroundings) {
  // As with qemu-img, what was found goes to standard error, quiet or not.
  static_cast<void>(WriteAll(surroundings.standard_error,
                             CompatFindingLines(report), "standard error"));
  if (options.quiet) return absl::OkStatus();
  return WriteAll(surroundings.standard_output,
                  options.output == OutputFormat::kJson
                      ? CompatJsonReport(report)
                      : CompatHumanReport(report),
                  "standard output");
}

CompatExitCode CheckAndPrint(const File& file, const Options& options,
                             const Surroundings& surroundings) {
  const std::string& path = options.images[0];
  const CheckReport report = CheckOpenImage(file, path, options, surroundings);
  if (report.cancelled) {
    Complain(surroundings, "cancelled");
    return kCompatNotChecked;
  }
  if (report.qemu.refused || report.status == checker::CheckStatus::kError) {
    return CouldNotOpen(path, RefusalOf(report), surroundings);
  }
  if (absl::Status done = Print(report, options, surroundings); !done.ok()) {
    Complain(surroundings, done);
    return kCompatNotChecked;
  }
  if (report.qemu.check_errors > 0) Complain(surroundings, "Check failed");
  return CompatExitCodeOf(report);
}

}  // namespace

int RunCompat(const Options& options, const Surroundings& surroundings) {
  const std::string& path = options.images[0];
  const absl::StatusOr<std::unique_ptr<File>> file =
      OpenImage(path, options.force_share);
  if (!file.ok()) {
    return CouldNotOpen(path, std::string(file.status().message()),
                        surroundings);
  }
  if (IsOtherFormat(options.format)) {
    Complain(surroundings, kNoChecks);
    return kCompatNotSupported;
  }
  if (!options.format.empty() && options.format != "qcow2") {
    return CouldNotOpen(path, "Unknown driver '" + options.format + "'",
                        surroundings);
  }
  if (options.format.empty()) {
    const absl::StatusOr<bool> qcow2 = LooksLikeQcow2(**file);
    if (!qcow2.ok()) {
      return CouldNotOpen(path, std::string(qcow2.status().message()),
                          surroundings);
    }
    if (!*qcow2) {
      Complain(surroundings, kNoChecks);
      return kCompatNotSupported;
    }
  }
  return CheckAndPrint(**file, options, surroundings);
}

}  // namespace qcow2::cli
