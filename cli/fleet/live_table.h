// Shows on standard error how a run over many images goes: on a terminal a
// table of the images that are being checked, elsewhere a line now and then.
//
// Has a thread of its own, which ends with the object.
#ifndef CLI_FLEET_LIVE_TABLE_H_
#define CLI_FLEET_LIVE_TABLE_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "checker/check.h"

namespace qcow2::cli {

// How far a run has come.
struct FleetProgress {
  uint64_t done = 0;
  uint64_t total = 0;
  uint64_t damaged = 0;  // of those done
  double seconds = 0;    // since it began
};

// "120 of 2000 images, 3 to look at, 2 min 10 s left".
std::string FleetLine(const FleetProgress& progress);

// `text`, printable, in at most `width` columns: the front gives way to "...".
std::string FitLine(const std::string& text, size_t width);

class LiveTable {
 public:
  // Shows on `descriptor` a run over `images` with `rows` at a time.
  LiveTable(int descriptor, bool terminal, size_t rows, uint64_t images);
  LiveTable(const LiveTable&) = delete;
  LiveTable& operator=(const LiveTable&) = delete;
  ~LiveTable();

  // The check of `path` begins in `row`; `progress` must live until Finish().
  void Begin(size_t row, const std::string& path,
             const checker::Progress& progress);
  void Finish(size_t row, bool damaged);

  // Calls `print` while no table is on the terminal, since what it prints may
  // go there as well.
  void Around(const std::function<void()>& print);

 private:
  struct Row {
    std::string path;
    const checker::Progress* progress = nullptr;  // null: nothing in this row
    double begun = 0;
  };

  void Show();
  double Seconds() const;
  std::vector<std::string> Lines() const;
  void Draw();
  void Clear();

  const int descriptor_;
  const bool terminal_;
  const double start_;
  std::mutex mutex_;
  std::condition_variable wake_;
  // All below are guarded by mutex_.
  std::vector<Row> rows_;
  FleetProgress progress_;
  size_t lines_shown_ = 0;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace qcow2::cli

#endif  // CLI_FLEET_LIVE_TABLE_H_
