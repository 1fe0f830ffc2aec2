// --compat=qemu-img: opens, checks, repairs and prints as `qemu-img check`
// does.
#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "checker/problems.h"
#include "cli/compat_printer.h"
#include "cli/exit_code.h"
#include "cli/output_file.h"
#include "cli/run.h"
#include "cli/session.h"
#include "engine/storage/nbd_address.h"

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

// As with qemu-img, what was found goes to standard error, quiet or not.
void PrintFindings(const CheckReport& report,
                   const Surroundings& surroundings) {
  static_cast<void>(WriteAll(surroundings.standard_error,
                             CompatFindingLines(report), "standard error"));
}

absl::Status Print(const CheckReport& report, const CompatFixed& fixed,
                   const Options& options, const Surroundings& surroundings) {
  PrintFindings(report, surroundings);
  if (options.quiet) return absl::OkStatus();
  return WriteAll(surroundings.standard_output,
                  options.output == OutputFormat::kJson
                      ? CompatJsonReport(report, fixed)
                      : CompatHumanReport(report, fixed),
                  "standard output");
}

// What a check came to: printed, and as an exit code.
CompatExitCode Conclude(const CheckReport& report, const CompatFixed& fixed,
                        const Options& options,
                        const Surroundings& surroundings) {
  const std::string path = ShownAddress(options.images[0]);
  if (report.cancelled) {
    Complain(surroundings, "cancelled");
    return kCompatNotChecked;
  }
  if (report.qemu.refused || report.status == checker::CheckStatus::kError) {
    return CouldNotOpen(path, RefusalOf(report), surroundings);
  }
  const absl::Status done = Print(report, fixed, options, surroundings);
  if (!done.ok()) {
    Complain(surroundings, done);
    return kCompatNotChecked;
  }
  if (report.qemu.check_errors > 0) Complain(surroundings, "Check failed");
  return CompatExitCodeOf(report);
}

// Why the repair came to nothing, or nothing if it did not.
std::string FailureOf(const repair::TransactionReport& transaction) {
  if (transaction.conclusion == repair::Conclusion::kCancelled) {
    return "cancelled; the image was not changed";
  }
  if (transaction.conclusion == repair::Conclusion::kNotProven) {
    return "Repair failed: the plan did not pass its proof: " +
           transaction.proof->failures[0].message;
  }
  if (transaction.error.ok()) return {};
  return "Repair failed: " + std::string(transaction.error.message());
}

CompatExitCode RepairAndPrint(std::unique_ptr<File> file,
                              const Options& options,
                              const Surroundings& surroundings) {
  const std::string path = ShownAddress(options.images[0]);
  const CheckReport before = CheckOpenImage(*file, path, options, surroundings);
  if (before.cancelled) {
    Complain(surroundings, "cancelled");
    return kCompatNotChecked;
  }
  PrintFindings(before, surroundings);
  file.reset();  // its locks would keep the repair from having its own
  const repair::TransactionReport transaction =
      RepairOnly(options.images[0], options, surroundings).transaction;
  if (const std::string failure = FailureOf(transaction); !failure.empty()) {
    Complain(surroundings, failure);
    return kCompatNotChecked;
  }
  if (!ChangedImage(transaction)) {
    return Conclude(before, {}, options, surroundings);
  }
  if (!options.quiet && !transaction.undo_path.empty()) {
    Complain(surroundings, "the undo file is '" + transaction.undo_path + "'");
  }
  const absl::StatusOr<std::unique_ptr<File>> again =
      OpenImage(options.images[0], options, surroundings);
  if (!again.ok()) {
    return CouldNotOpen(path, std::string(again.status().message()),
                        surroundings);
  }
  const CheckReport after =
      CheckOpenImage(**again, path, options, surroundings);
  return Conclude(after, CompatFixedBetween(before, after), options,
                  surroundings);
}

CompatExitCode CheckAndPrint(const File& file, const Options& options,
                             const Surroundings& surroundings) {
  return Conclude(CheckOpenImage(file, ShownAddress(options.images[0]), options,
                                 surroundings),
                  {}, options, surroundings);
}

}  // namespace

int RunCompat(const Options& options, const Surroundings& surroundings) {
  const std::string path = ShownAddress(options.images[0]);
  absl::StatusOr<std::unique_ptr<File>> file =
      OpenImage(options.images[0], options, surroundings);
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
  if (options.task == Task::kRepair) {
    return RepairAndPrint(*std::move(file), options, surroundings);
  }
  return CheckAndPrint(**file, options, surroundings);
}

}  // namespace qcow2::cli
