#include "cli/fleet/live_table.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "checker/printable.h"
#include "cli/output_file.h"
#include "cli/progress_meter.h"
#include "cli/units.h"

namespace qcow2::cli {
namespace {

constexpr std::chrono::milliseconds kTerminalPeriod{250};
constexpr std::chrono::milliseconds kPipePeriod{1000};
// More images side by side than this are not worth the lines.
constexpr size_t kMaxLines = 16;
constexpr size_t kDefaultWidth = 80;
constexpr std::string_view kDots = "...";

double Now() {
  const std::chrono::duration<double> now =
      std::chrono::steady_clock::now().time_since_epoch();
  return now.count();
}

size_t WidthOf(int descriptor) {
  winsize size = {};
  if (ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) {
    return kDefaultWidth;
  }
  return size.ws_col;
}

// Progress is a convenience: if standard error is gone, the checks go on.
void Put(int descriptor, std::string_view text) {
  static_cast<void>(WriteAll(descriptor, text, "standard error"));
}

}  // namespace

std::string FleetLine(const FleetProgress& progress) {
  std::string text = std::to_string(progress.done) + " of " +
                     Counted(progress.total, "image", "images") + ", " +
                     std::to_string(progress.damaged) + " to look at";
  if (progress.done == 0 || progress.done >= progress.total) return text;
  const auto left = static_cast<double>(progress.total - progress.done);
  const double seconds =
      progress.seconds / static_cast<double>(progress.done) * left;
  return text + ", about " + HumanSeconds(seconds) + " left";
}

std::string FitLine(const std::string& text, size_t width) {
  std::string line = checker::Printable(text);
  if (line.size() <= width) return line;
  const size_t kept = width - std::min(width, kDots.size());
  return std::string(kDots).substr(0, width) + line.substr(line.size() - kept);
}

LiveTable::LiveTable(int descriptor, bool terminal, size_t rows,
                     uint64_t images)
    : descriptor_(descriptor), terminal_(terminal), start_(Now()), rows_(rows) {
  progress_.total = images;
  thread_ = std::thread([this] { Show(); });
}

LiveTable::~LiveTable() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    done_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void LiveTable::Begin(size_t row, const std::string& path,
                      const checker::Progress& progress) {
  const std::lock_guard<std::mutex> lock(mutex_);
  rows_[row] = {path, &progress, Seconds()};
}

void LiveTable::Finish(size_t row, bool damaged) {
  const std::lock_guard<std::mutex> lock(mutex_);
  rows_[row].progress = nullptr;
  ++progress_.done;
  if (damaged) ++progress_.damaged;
}

void LiveTable::Around(const std::function<void()>& print) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Clear();
  print();
}

void LiveTable::Show() {
  const auto period = terminal_ ? kTerminalPeriod : kPipePeriod;
  std::unique_lock<std::mutex> lock(mutex_);
  while (!wake_.wait_for(lock, period, [this] { return done_; })) {
    progress_.seconds = Seconds();
    if (terminal_) {
      Draw();
    } else {
      Put(descriptor_, FleetLine(progress_) + "\n");
    }
  }
  Clear();
}

double LiveTable::Seconds() const { return Now() - start_; }

std::vector<std::string> LiveTable::Lines() const {
  std::vector<std::string> lines = {FleetLine(progress_)};
  for (const Row& row : rows_) {
    if (row.progress == nullptr || lines.size() == kMaxLines) continue;
    lines.push_back(ProgressLine(
        row.path, row.progress->done_bytes.load(std::memory_order_relaxed),
        row.progress->total_bytes.load(std::memory_order_relaxed),
        Seconds() - row.begun));
  }
  return lines;
}

void LiveTable::Draw() {
  Clear();
  const size_t width = WidthOf(descriptor_) - 1;
  std::string text;
  const std::vector<std::string> lines = Lines();
  for (const std::string& line : lines) text += FitLine(line, width) + "\n";
  Put(descriptor_, text);
  lines_shown_ = lines.size();
}

// Up by as many lines as there are, and clear to the end (ECMA-48 CUU, ED).
void LiveTable::Clear() {
  if (lines_shown_ == 0) return;
  Put(descriptor_, "\x1B[" + std::to_string(lines_shown_) + "A\x1B[J");
  lines_shown_ = 0;
}

}  // namespace qcow2::cli
