// Shows on standard error how far a check has come.
//
// Has a thread of its own, which ends with the object.
#ifndef CLI_PROGRESS_METER_H_
#define CLI_PROGRESS_METER_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "checker/check.h"

namespace qcow2::cli {

// "disk.qcow2: 40% (1.2 GiB of 3.0 GiB), 800 MiB/s, 2.2 s left". Without the
// share and the time left as long as the total is not known.
std::string ProgressLine(std::string_view label, uint64_t done_bytes,
                         uint64_t total_bytes, double seconds);

class ProgressMeter {
 public:
  // Starts to show `progress`, which must outlive this object, on `descriptor`.
  // On a terminal one line is rewritten several times a second and cleared in
  // the end; elsewhere a line is written each second. Shows nothing for a check
  // that is over sooner.
  ProgressMeter(const checker::Progress& progress, std::string label,
                int descriptor, bool terminal);
  ProgressMeter(const ProgressMeter&) = delete;
  ProgressMeter& operator=(const ProgressMeter&) = delete;
  ~ProgressMeter();

 private:
  void Show();

  const checker::Progress& progress_;
  const std::string label_;
  const int descriptor_;
  const bool terminal_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace qcow2::cli

#endif  // CLI_PROGRESS_METER_H_
