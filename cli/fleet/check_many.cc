#include "cli/fleet/check_many.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cli/exit_code.h"
#include "cli/finding_place.h"
#include "cli/fleet/baseline.h"
#include "cli/fleet/image_finder.h"
#include "cli/fleet/live_table.h"
#include "cli/fleet/rate_limit.h"
#include "cli/fleet/state.h"
#include "cli/fleet/summary.h"
#include "cli/fleet/work_queue.h"
#include "cli/session.h"
#include "engine/status_macros.h"
#include "engine/storage/nbd_address.h"

namespace qcow2::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// The state is written once a second, but may not take more than this share of
// the time.
constexpr std::chrono::seconds kStatePeriod{1};
constexpr double kStateShare = 0.05;

unsigned JobsOf(const Options& options) {
  if (options.jobs != 0) return options.jobs;
  return std::clamp(std::thread::hardware_concurrency(), 1u, 8u);
}

double SecondsSince(Clock::time_point begin) {
  return Seconds(Clock::now() - begin).count();
}

checker::Counts CountsOf(const ImageState& image) {
  return {.corruptions = image.corruptions,
          .leaks = image.leaks,
          .warnings = image.warnings,
          .suspect_orphans = image.suspect_orphans};
}

// The state of --state while a run goes on. For one thread at a time.
class Memory {
 public:
  absl::Status Open(const std::string& path) {
    path_ = path;
    if (path_.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(state_, ReadState(path_));
    BeginRound(state_);
    return Write();  // where it cannot be written is said before the checks
  }

  bool Knows(const std::string& path) const {
    return state_.images.contains(path);
  }
  bool IsDue(const std::string& path) const {
    return path_.empty() || cli::IsDue(state_, path);
  }
  // The last check of the image, all zeros if there was none.
  ImageState LastOf(const std::string& path) const {
    const auto image = state_.images.find(path);
    return image == state_.images.end() ? ImageState{} : image->second;
  }

  EarlierVerdict EarlierOf(const std::string& path) const {
    const ImageState last = LastOf(path);
    return {last.succeeded, CountsOf(last), last.leaked_bytes};
  }

  absl::Status Remember(const ImageReport& report) {
    if (path_.empty()) return absl::OkStatus();
    const checker::CheckReport& now = Now(report);
    const EarlierVerdict earlier = EarlierOf(now.image.path);
    const int exit_code = ExitCodeOf(now);
    const int64_t time = std::time(nullptr);
    const bool verdict = (exit_code & kExitOperationalError) == 0;
    const checker::Counts counts =
        verdict ? now.counts : AtLeast(now.counts, earlier.counts);
    const uint64_t leaked = LeakedBytes(report);
    state_.images[now.image.path] = {
        .round = state_.round,
        .checked = time,
        .succeeded = verdict ? time : earlier.time,
        .status = StatusOf(report),
        .exit_code = exit_code,
        .corruptions = counts.corruptions,
        .leaks = counts.leaks,
        .warnings = counts.warnings,
        .suspect_orphans = counts.suspect_orphans,
        .leaked_bytes =
            verdict ? leaked : std::max(leaked, earlier.leaked_bytes),
        .seconds = now.statistics.seconds};
    return Clock::now() >= next_write_ ? Write() : absl::OkStatus();
  }

  absl::Status Close(bool round_finished) {
    if (path_.empty()) return absl::OkStatus();
    state_.round_finished = round_finished;
    return Write();
  }

 private:
  absl::Status Write() {
    const Clock::time_point begin = Clock::now();
    absl::Status written = WriteState(state_, path_);
    const Seconds pause((Seconds(Clock::now() - begin) / kStateShare));
    next_write_ =
        Clock::now() +
        std::max<Clock::duration>(
            kStatePeriod, std::chrono::duration_cast<Clock::duration>(pause));
    return written;
  }

  std::string path_;  // empty: nothing is remembered
  FleetState state_;
  Clock::time_point next_write_;
};

class Run {
 public:
  Run(const Options& options, const Surroundings& surroundings,
      Outputs& outputs)
      : options_(options), surroundings_(surroundings), outputs_(outputs) {
    if (options.fleet.max_rate_bytes != 0) {
      rate_limit_.emplace(options.fleet.max_rate_bytes);
    }
  }

  absl::Status Check() {
    RETURN_IF_ERROR(ReadBaselines());
    RETURN_IF_ERROR(memory_.Open(options_.fleet.state_file));
    Find();
    Arrange();
    CheckAll();
    RETURN_IF_ERROR(failure_);
    return Conclude();
  }

  int exit_code() const { return summary_.exit_code; }

 private:
  bool IsCancelled() const {
    return surroundings_.cancel != nullptr && *surroundings_.cancel;
  }

  absl::Status ReadBaselines() {
    if (options_.fleet.baselines.empty()) return absl::OkStatus();
    baseline_.emplace();
    summary_.change.emplace();
    for (const std::string& path : options_.fleet.baselines) {
      const absl::Status read = baseline_->Read(path);
      if (absl::IsNotFound(read)) {
        // As on the first night.
        Complain(surroundings_, "there is no baseline '" + path +
                                    "' yet: what is not in another is new");
      } else {
        RETURN_IF_ERROR(read);
      }
    }
    return absl::OkStatus();
  }

  void Find() {
    if (!options_.fleet.any()) {
      for (const std::string& image : options_.images) {
        images_.push_back(NamedImage(image));
      }
      summary_.found = images_.size();
      return;
    }
    FoundImages found = FindImages(
        {.arguments = options_.images,
         .options = options_.fleet,
         .was_image =
             [&](const std::string& path) { return memory_.Knows(path); },
         .remark =
             [&](const std::string& what) { Complain(surroundings_, what); },
         .cancel = surroundings_.cancel,
         .named_files = options_.named_files});
    search_cancelled_ = IsCancelled();
    images_ = std::move(found.images);
    summary_.found = images_.size();
    summary_.other_names = found.other_names;
    summary_.doubtful = found.doubtful;
    for (const absl::Status& error : found.errors) {
      Complain(surroundings_, error);
      summary_.errors.emplace_back(error.message());
      summary_.exit_code |= kExitOperationalError;
    }
  }

  // Leaves those that are due, the one checked longest ago first.
  void Arrange() {
    for (const FleetImage& image : images_) not_checked_.insert(image.path);
    summary_.earlier = std::erase_if(images_, [&](const FleetImage& image) {
      return !memory_.IsDue(image.path);
    });
    std::ranges::stable_sort(images_, {}, [&](const FleetImage& image) {
      return memory_.LastOf(image.path).checked;
    });
  }

  void CheckAll() {
    const size_t jobs = std::min<size_t>(JobsOf(options_), images_.size());
    std::vector<double> expected;
    expected.reserve(images_.size());
    for (const FleetImage& image : images_) {
      expected.push_back(memory_.LastOf(image.path).seconds);
    }
    queue_.emplace(std::move(expected), Limits());
    if (ShowsProgress(options_, surroundings_)) {
      table_.emplace(surroundings_.standard_error,
                     surroundings_.standard_error_is_terminal, jobs,
                     images_.size());
    }
    std::vector<std::thread> threads;
    for (size_t row = 1; row < jobs; ++row) {
      threads.emplace_back([this, row] { Work(row); });
    }
    Work(0);
    for (std::thread& thread : threads) thread.join();
    table_.reset();
  }

  SharedLimits Limits() const {
    SharedLimits limits = {.jobs = JobsOf(options_),
                           .memory_bytes = options_.memory_limit_bytes,
                           .cancel = surroundings_.cancel};
    if (options_.fleet.time_budget_seconds) {
      limits.deadline =
          begin_ + std::chrono::seconds(*options_.fleet.time_budget_seconds);
    }
    return limits;
  }

  // What each thread does.
  void Work(size_t row) {
    while (const std::optional<cli::Work> work = queue_->Take()) {
      checker::Progress progress;
      const FleetImage& image = images_[work->index];
      if (table_) table_->Begin(row, image.path, progress);
      ImageReport report = {.found = CheckOne(image, *work, progress)};
      if (table_) {
        table_->Finish(row, StatusOf(report) != ImageStatus::kClean);
      }
      queue_->Done();
      Deliver(work->index, std::move(report));
    }
  }

  absl::StatusOr<std::unique_ptr<File>> Open(const FleetImage& image) {
    if (!image.address.empty()) {
      return OpenImage(image.address, options_, surroundings_);
    }
    ASSIGN_OR_RETURN(std::unique_ptr<File> file, OpenFound(image));
    if (!options_.force_share) {
      RETURN_IF_ERROR(LockAsReader(*file, image.path));
    }
    return file;
  }

  checker::CheckReport CheckOne(const FleetImage& image, const cli::Work& work,
                                checker::Progress& progress) {
    const absl::StatusOr<std::unique_ptr<File>> file = Open(image);
    if (!file.ok()) return NotOpened(image.path, file.status());
    checker::CheckOptions check = CheckOptionsFrom(options_);
    check.jobs = work.jobs;
    check.memory_limit_bytes = work.memory_bytes;
    check.cancel = surroundings_.cancel;
    check.progress = &progress;
    checker::CheckReport report = CheckFile(**file, image.path, check);
    ForgetIfLost(**file, report);
    AddCircumstances(image.path, FindJournalOf(image.path), report);
    return report;
  }

  checker::CheckReport CheckFile(File& file, const std::string& path,
                                 const checker::CheckOptions& check) {
    if (!rate_limit_) return checker::CheckImage(file, path, check);
    const RateLimitedFile slow(file, *rate_limit_, surroundings_.cancel);
    return checker::CheckImage(slow, path, check);
  }

  // Passes on what came of an image; of a plain list in its order.
  void Deliver(size_t index, ImageReport report) {
    const std::lock_guard<std::mutex> lock(deliver_mutex_);
    if (options_.fleet.any()) {
      Pass(index, report);
      return;
    }
    held_back_.emplace(index, std::move(report));
    for (auto next = held_back_.begin();
         next != held_back_.end() && next->first == next_delivered_;
         next = held_back_.erase(next), ++next_delivered_) {
      Pass(next->first, next->second);
    }
  }

  // `deliver_mutex_` is held.
  void Pass(size_t index, ImageReport& report) {
    if (!failure_.ok()) return;
    // A check that is cut short says nothing of the image; who named it is told
    // nevertheless how far it came.
    if (report.found.cancelled && options_.fleet.any()) return;
    not_checked_.erase(images_[index].path);
    if (baseline_) {
      report.change = baseline_->Compare(report);
      report.known = baseline_->StillKnown(report.found);
    }
    AddToSummary(report, images_[index].overlays, summary_);
    const auto pass_on = [&] {
      failure_ = outputs_.Add(report, memory_.EarlierOf(images_[index].path));
    };
    if (table_) {
      table_->Around(pass_on);
    } else {
      pass_on();
    }
    // Only after its report is out, so that none is lost.
    if (failure_.ok()) failure_ = memory_.Remember(report);
    if (!failure_.ok()) queue_->Stop();
  }

  // Images of the baseline that no file is left of.
  void AddMissing() {
    FleetChange& change = *summary_.change;
    for (std::string& path : baseline_->Images()) {
      struct stat status;
      if (!IsInShard(path, options_.fleet.shard)) continue;
      if (IsNbdAddress(path)) continue;    // not of this machine
      if (!IsWholeInJson(path)) continue;  // nobody knows where it was
      if (lstat(path.c_str(), &status) == 0 || errno != ENOENT) continue;
      if (change.missing.size() < kMaxMissingListed) {
        change.missing.push_back(std::move(path));
      } else {
        ++change.missing_omitted;
      }
    }
  }

  // The metrics have all images, not only those of this run.
  void AddRemembered() {
    for (const std::string& path : not_checked_) {
      if (!memory_.Knows(path)) continue;
      const ImageState image = memory_.LastOf(path);
      outputs_.AddRemembered({.path = path,
                              .status = image.status,
                              .exit_code = image.exit_code,
                              .counts = CountsOf(image),
                              .seconds = image.seconds,
                              .leaked_bytes = image.leaked_bytes,
                              .checked = image.checked,
                              .succeeded = image.succeeded,
                              .remembered = true});
    }
  }

  absl::Status Conclude() {
    summary_.left = images_.size() - summary_.checked;
    summary_.seconds = SecondsSince(begin_);
    if (search_cancelled_ || (IsCancelled() && summary_.left > 0)) {
      summary_.end = FleetEnd::kCancelled;
      summary_.exit_code |= kExitCancelled;
    } else if (queue_->out_of_time()) {
      summary_.end = FleetEnd::kTimeBudget;
    }
    if (baseline_) AddMissing();
    AddRemembered();
    RETURN_IF_ERROR(memory_.Close(summary_.end == FleetEnd::kComplete));
    return outputs_.End(options_.fleet.any() ? &summary_ : nullptr);
  }

  const Options& options_;
  const Surroundings& surroundings_;
  Outputs& outputs_;
  const Clock::time_point begin_ = Clock::now();
  std::optional<RateLimit> rate_limit_;
  std::vector<FleetImage> images_;
  bool search_cancelled_ = false;
  std::optional<Baseline> baseline_;
  std::optional<WorkQueue> queue_;
  std::optional<LiveTable> table_;

  std::mutex deliver_mutex_;
  // All below are guarded by deliver_mutex_ while threads run.
  Memory memory_;
  FleetSummary summary_;
  std::set<std::string> not_checked_;  // paths of images found
  absl::Status failure_;
  std::map<size_t, ImageReport> held_back_;
  size_t next_delivered_ = 0;
};

}  // namespace

absl::Status CheckMany(const Options& options, const Surroundings& surroundings,
                       Outputs& outputs, int& exit_code) {
  if (options.sandbox) {
    return absl::InvalidArgumentError(
        "--sandbox is for one image: the next could not be opened");
  }
  Run run(options, surroundings, outputs);
  absl::Status done = run.Check();
  exit_code |= run.exit_code();
  return done;
}

}  // namespace qcow2::cli
