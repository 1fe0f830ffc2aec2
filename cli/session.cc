#include "cli/session.h"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

#include "cli/other_files.h"
#include "cli/progress_meter.h"
#include "cli/sandbox.h"
#include "engine/status_macros.h"
#include "engine/storage/nbd_address.h"
#include "engine/storage/posix_file.h"
#include "repair/discard_freed.h"
#include "repair/repair.h"
#include "repair/target.h"

namespace qcow2::cli {
namespace {

using checker::CheckReport;
using checker::Problem;

absl::Status Busy(const std::string& path) {
  return absl::UnavailableError(
      "'" + path +
      "' is in use: another program holds a lock on it, probably a running "
      "virtual machine or another tool that writes to it. Stop that first, or "
      "check with --force-share (-U); what is written meanwhile may then show "
      "up as problems");
}

// The options of a check, with a progress meter as long as this lives.
class Watched {
 public:
  Watched(const std::string& path, const Options& options,
          const Surroundings& surroundings)
      : check_(CheckOptionsFrom(options)) {
    check_.cancel = surroundings.cancel;
    if (!ShowsProgress(options, surroundings)) return;
    check_.progress = &progress_;
    meter_.emplace(progress_, path, surroundings.standard_error,
                   surroundings.standard_error_is_terminal);
  }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;

  const checker::CheckOptions& options() const { return check_; }
  void FillOwnership(checker::OwnershipMap* ownership) {
    check_.ownership = ownership;
  }

 private:
  checker::CheckOptions check_;
  checker::Progress progress_;
  std::optional<ProgressMeter> meter_;
};

repair::JournalPaths PathsFrom(const Options& options) {
  return {.journal = options.journal_file, .undo = options.undo_file};
}

// What the state of the journal beside an image means for it.
std::optional<std::pair<Problem, std::string>> JudgeJournal(
    const absl::StatusOr<repair::JournalInfo>& journal) {
  using repair::JournalState;
  if (!journal.ok()) {
    return std::pair(Problem::kRepairRemains,
                     std::string(journal.status().message()));
  }
  switch (journal->state) {
    case JournalState::kNone:
      return std::nullopt;
    case JournalState::kIncomplete:
      return std::pair(Problem::kRepairRemains,
                       "it did not come to change the image");
    case JournalState::kCommitted:
      return std::pair(Problem::kRepairPending,
                       "a repair was changing the image");
    case JournalState::kUndoing:
      return std::pair(Problem::kRepairPending,
                       "a repair was being taken back");
    case JournalState::kApplied:
    case JournalState::kUndone:
      break;
  }
  return std::pair(Problem::kRepairRemains,
                   "all was done but to put its journal away");
}

CheckReport CheckOnly(const std::string& image, const Options& options,
                      const Surroundings& surroundings, PictureParts* parts) {
  const std::string path = ShownAddress(image);
  const absl::StatusOr<std::unique_ptr<File>> file =
      OpenImage(image, options, surroundings);
  if (!file.ok()) return NotOpened(path, file.status());
  const absl::StatusOr<repair::JournalInfo> journal = FindJournalOf(image);
  if (options.sandbox) {
    const absl::Status entered = EnterSandbox();
    if (!entered.ok()) return NotOpened(path, entered);
  }
  CheckReport report =
      CheckOpenImage(**file, path, options, surroundings,
                     parts == nullptr ? nullptr : &parts->ownership);
  if (parts != nullptr) parts->partitions = ReadGuestPartitions(**file);
  AddCircumstances(image, journal, report);
  return report;
}

absl::StatusOr<std::unique_ptr<File>> Connect(
    const std::string& address, bool writable, const Options& options,
    const Surroundings& surroundings) {
  if (!surroundings.open_remote) {
    return absl::UnimplementedError("'" + ShownAddress(address) +
                                    "' is not a local file");
  }
  return surroundings.open_remote(
      address, {.writable = writable,
                .timeout = std::chrono::seconds(options.remote_timeout_seconds),
                .cancel = surroundings.cancel});
}

// How a repair opens the image; empty for a local file. Refers to all three.
repair::OpenRemote OpenerFor(const std::string& image, const Options& options,
                             const Surroundings& surroundings) {
  if (!IsNbdAddress(image)) return {};
  return [&](bool writable) {
    return Connect(image, writable, options, surroundings);
  };
}

void AddJournal(const absl::StatusOr<repair::JournalInfo>& journal,
                CheckReport& report) {
  auto judged = JudgeJournal(journal);
  if (!judged.has_value()) return;
  checker::Finding finding;
  finding.problem = judged->first;
  finding.location.structure = checker::Structure::kFile;
  finding.detail = std::move(judged->second);
  AddFinding(std::move(finding), report);
  if (judged->first == Problem::kRepairRemains) {
    ++report.counts.warnings;
    return;
  }
  ++report.counts.corruptions;
  report.status = checker::CheckStatus::kCorrupt;
}

void AddNotLocked(CheckReport& report) {
  checker::Finding finding;
  finding.problem = Problem::kImageNotLocked;
  finding.location.structure = checker::Structure::kFile;
  AddFinding(std::move(finding), report);
  ++report.counts.notes;
}

// What options.task is, if not a check.
repair::RepairReport Change(const std::string& image, const Options& options,
                            const Surroundings& surroundings,
                            PictureParts* parts) {
  if (options.task == Task::kRepair) {
    return RepairOnly(image, options, surroundings, parts);
  }
  const std::string path = ShownAddress(image);
  Watched watched(path, options, surroundings);
  const repair::JournalPaths paths = PathsFrom(options);
  if (options.task == Task::kDiscard) {
    return repair::DiscardFreed(
        path, {.check = watched.options(),
               .dry_run = options.dry_run,
               .paths = paths,
               .keep_undo = options.keep_undo,
               .open_remote = OpenerFor(image, options, surroundings)});
  }
  const repair::RecoverRequest request{
      .check = watched.options(),
      .paths = paths,
      .options = {.accept_moved_image = options.moved_image},
      .open_remote = OpenerFor(image, options, surroundings)};
  return options.task == Task::kUndo ? repair::UndoImage(path, request)
                                     : repair::RecoverImage(path, request);
}

}  // namespace

bool ShowsProgress(const Options& options, const Surroundings& surroundings) {
  if (options.progress == ProgressMode::kAuto) {
    return surroundings.standard_error_is_terminal;
  }
  return options.progress == ProgressMode::kOn;
}

checker::CheckOptions CheckOptionsFrom(const Options& options) {
  checker::CheckOptions check;
  check.overlap = options.overlap;
  check.deep = options.deep;
  check.qemu_compatible = options.qemu_compatible;
  check.max_problems = options.max_problems;
  check.jobs = options.jobs;
  check.memory_limit_bytes = options.memory_limit_bytes;
  if (options.named_files != NamedFilePolicy::kNone) {
    check.open_other_file = [policy = options.named_files](
                                const std::string& name,
                                const std::string& base) {
      return OpenOtherFile(name, base, policy);
    };
  }
  return check;
}

absl::StatusOr<repair::JournalInfo> FindJournalOf(const std::string& image) {
  if (IsNbdAddress(image)) return repair::JournalInfo{};
  return repair::FindPendingJournal(image, {});
}

void AddCircumstances(const std::string& image,
                      const absl::StatusOr<repair::JournalInfo>& journal,
                      CheckReport& report) {
  AddJournal(journal, report);
  if (IsNbdAddress(image)) AddNotLocked(report);
}

absl::Status LockAsReader(File& file, const std::string& path) {
  const absl::Status locked = file.Lock(kReaderLocks);
  return absl::IsUnavailable(locked) ? Busy(path) : locked;
}

absl::StatusOr<std::unique_ptr<File>> OpenImage(
    const std::string& image, const Options& options,
    const Surroundings& surroundings) {
  if (IsNbdAddress(image)) {
    return Connect(image, false, options, surroundings);
  }
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, PosixFile::Open(image));
  if (!options.force_share) RETURN_IF_ERROR(LockAsReader(*file, image));
  return file;
}

CheckReport NotOpened(const std::string& path, const absl::Status& status) {
  CheckReport report;
  report.status = checker::CheckStatus::kError;
  report.image.path = path;
  report.errors.emplace_back(status.message());
  report.cancelled = absl::IsCancelled(status);
  std::error_code failed;
  if (std::filesystem::is_directory(path, failed)) {
    report.errors.back() += "; --recursive checks the images in it";
  }
  return report;
}

CheckReport CheckOpenImage(const File& file, const std::string& path,
                           const Options& options,
                           const Surroundings& surroundings,
                           checker::OwnershipMap* ownership) {
  Watched watched(path, options, surroundings);
  watched.FillOwnership(ownership);
  CheckReport report = checker::CheckImage(file, path, watched.options());
  ForgetIfLost(file, report);
  return report;
}

void ForgetIfLost(const File& file, CheckReport& report) {
  if (!IsNbdAddress(report.image.path)) return;
  // A connection that is lost stays so.
  std::byte probe{};
  const absl::Status lost = file.Pread(0, std::span(&probe, 1)).status();
  if (lost.ok()) return;
  CheckReport nothing = NotOpened(report.image.path, lost);
  nothing.image = report.image;
  nothing.statistics = report.statistics;
  nothing.cancelled = nothing.cancelled || report.cancelled;
  report = std::move(nothing);
}

repair::RepairReport RepairOnly(const std::string& image,
                                const Options& options,
                                const Surroundings& surroundings,
                                PictureParts* parts) {
  const std::string path = ShownAddress(image);
  Watched watched(path, options, surroundings);
  repair::RepairRequest request;
  if (parts != nullptr) {
    watched.FillOwnership(&parts->ownership);
    request.look = [parts](File& file) {
      parts->partitions = ReadGuestPartitions(file);
    };
  }
  request.options.mode = options.repair_mode;
  request.options.free_suspects = options.free_suspects;
  request.options.drop_snapshots = options.drop_snapshots;
  request.options.check = watched.options();
  request.dry_run = options.dry_run;
  request.paths = PathsFrom(options);
  request.keep_undo = options.keep_undo;
  request.open_remote = OpenerFor(image, options, surroundings);
  return repair::RepairImage(path, request);
}

ImageReport ProcessImage(const std::string& image, const Options& options,
                         const Surroundings& surroundings,
                         PictureParts* parts) {
  if (options.task == Task::kCheck) {
    return {.found = CheckOnly(image, options, surroundings, parts)};
  }
  ImageReport report = FromRepair(Change(image, options, surroundings, parts));
  // What was done besides a repair has no check of its own for this.
  if (options.task != Task::kRepair && parts != nullptr) {
    CheckOnly(image, options, surroundings, parts);
  }
  if (IsNbdAddress(image) &&
      report.found.status != checker::CheckStatus::kError) {
    AddNotLocked(report.found);
    if (report.after.has_value()) AddNotLocked(*report.after);
  }
  return report;
}

}  // namespace qcow2::cli
