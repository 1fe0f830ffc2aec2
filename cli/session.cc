#include "cli/session.h"

#include <optional>

#include "cli/other_files.h"
#include "cli/progress_meter.h"
#include "engine/status_macros.h"
#include "engine/storage/posix_file.h"

namespace qcow2::cli {
namespace {

using checker::CheckReport;

// A reader can live with others that read, or write what does not change what
// is read; not with a guest that writes.
constexpr LockRequest kReaderLocks = {
    .held = kLockConsistentRead,
    .shared = kLockConsistentRead | kLockWriteUnchanged,
};

absl::Status Busy(const std::string& path) {
  return absl::UnavailableError(
      "'" + path +
      "' is in use: another program holds a lock on it, probably a running "
      "virtual machine or another tool that writes to it. Stop that first, or "
      "check with --force-share (-U); what is written meanwhile may then show "
      "up as problems");
}

checker::CheckOptions CheckOptionsFrom(const Options& options) {
  checker::CheckOptions check;
  check.overlap = options.overlap;
  check.deep = options.deep;
  check.qemu_compatible = options.qemu_compatible;
  check.max_problems = options.max_problems;
  check.jobs = options.jobs;
  check.memory_limit_bytes = options.memory_limit_bytes;
  check.open_other_file = OpenOtherFile;
  return check;
}

bool ShowsProgress(const Options& options, const Surroundings& surroundings) {
  if (options.progress == ProgressMode::kAuto) {
    return surroundings.standard_error_is_terminal;
  }
  return options.progress == ProgressMode::kOn;
}

}  // namespace

absl::StatusOr<std::unique_ptr<File>> OpenImage(const std::string& path,
                                                bool force_share) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, PosixFile::Open(path));
  if (force_share) return file;
  const absl::Status locked = file->Lock(kReaderLocks);
  if (absl::IsUnavailable(locked)) return Busy(path);
  RETURN_IF_ERROR(locked);
  return file;
}

CheckReport NotOpened(const std::string& path, const absl::Status& status) {
  CheckReport report;
  report.status = checker::CheckStatus::kError;
  report.image.path = path;
  report.errors.emplace_back(status.message());
  return report;
}

CheckReport CheckOpenImage(const File& file, const std::string& path,
                           const Options& options,
                           const Surroundings& surroundings) {
  checker::CheckOptions check = CheckOptionsFrom(options);
  check.cancel = surroundings.cancel;
  checker::Progress progress;
  std::optional<ProgressMeter> meter;
  if (ShowsProgress(options, surroundings)) {
    check.progress = &progress;
    meter.emplace(progress, path, surroundings.standard_error,
                  surroundings.standard_error_is_terminal);
  }
  return checker::CheckImage(file, path, check);
}

}  // namespace qcow2::cli
