#include "cli/progress_meter.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "checker/printable.h"
#include "cli/output_file.h"
#include "cli/units.h"

namespace qcow2::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTerminalPeriod{250};
constexpr std::chrono::milliseconds kPipePeriod{1000};
// Back to the start of the line, and clear to its end (ECMA-48 EL).
constexpr std::string_view kClearLine = "\r\x1B[K";

// Progress is a convenience: if standard error is gone, the check goes on.
void Put(int descriptor, std::string_view text) {
  static_cast<void>(WriteAll(descriptor, text, "standard error"));
}

}  // namespace

std::string ProgressLine(std::string_view label, uint64_t done_bytes,
                         uint64_t total_bytes, double seconds) {
  std::string text = checker::Printable(label) + ": ";
  const uint64_t total = std::max(done_bytes, total_bytes);
  if (total_bytes == 0) return text + "starting";
  const double share =
      static_cast<double>(done_bytes) / static_cast<double>(total);
  text += std::to_string(static_cast<int>(share * 100)) + "% (";
  text += HumanBytes(done_bytes) + " of " + HumanBytes(total) + ")";
  if (done_bytes == 0 || seconds <= 0) return text;
  const double rate = static_cast<double>(done_bytes) / seconds;
  text += ", " + HumanBytes(static_cast<uint64_t>(rate)) + "/s, ";
  text += HumanSeconds(static_cast<double>(total - done_bytes) / rate);
  return text + " left";
}

ProgressMeter::ProgressMeter(const checker::Progress& progress,
                             std::string label, int descriptor, bool terminal)
    : progress_(progress),
      label_(std::move(label)),
      descriptor_(descriptor),
      terminal_(terminal),
      thread_([this] { Show(); }) {}

ProgressMeter::~ProgressMeter() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    done_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void ProgressMeter::Show() {
  const Clock::time_point begin = Clock::now();
  const auto period = terminal_ ? kTerminalPeriod : kPipePeriod;
  bool shown = false;
  std::unique_lock<std::mutex> lock(mutex_);
  while (!wake_.wait_for(lock, period, [this] { return done_; })) {
    const std::chrono::duration<double> elapsed = Clock::now() - begin;
    const std::string line = ProgressLine(
        label_, progress_.done_bytes.load(std::memory_order_relaxed),
        progress_.total_bytes.load(std::memory_order_relaxed), elapsed.count());
    Put(descriptor_, terminal_ ? std::string(kClearLine) + line : line + "\n");
    shown = true;
  }
  if (shown && terminal_) Put(descriptor_, kClearLine);
}

}  // namespace qcow2::cli
