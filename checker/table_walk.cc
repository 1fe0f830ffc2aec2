#include "checker/table_walk.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "checker/hole_finder.h"

namespace qcow2::checker {
namespace {

// A batch is what a thread takes at a time: enough to make taking cheap,
// little enough to spread a small image over the threads.
constexpr uint64_t kBatchBytes = uint64_t{1} << 20;
constexpr uint64_t kBatchTables = 256;
// Tables closer to each other than this are read in one go.
constexpr uint64_t kMaxGapBytes = uint64_t{16} << 10;
// What is read in one go at most. Little enough to stay in a processor's cache,
// and for a system that reads ahead to be ahead of it.
constexpr uint64_t kReadBytes = uint64_t{64} << 10;
// What is asked for in one go at most.
constexpr uint64_t kMaxRowBytes = 2 * kBatchBytes;
// A walk longer than this first asks where the file has data at all: sparse
// files can claim more tables than anyone could read.
constexpr uint64_t kAskForHolesBytes = uint64_t{1} << 30;
// A batch of such a walk, most of which is probably not there.
constexpr uint64_t kBatchTablesWithHoles = 64;
// So many batches are asked of a disk before they are needed: while the tables
// of one are looked at, the disk has something to do.
constexpr uint64_t kBatchesAhead = 8;
constexpr unsigned kMaxWorkers = 8;
// Less than this is done by one thread before a second one is under way, unless
// the user names a number.
constexpr uint64_t kBytesPerWorker = uint64_t{8} << 20;

class Walker {
 public:
  Walker(CheckState& state, const TableWalk& walk)
      : state_(state),
        walk_(walk),
        ask_for_holes_(walk.tables > kAskForHolesBytes / walk.table_bytes),
        batch_tables_(std::clamp<uint64_t>(
            kBatchBytes / walk.table_bytes,
            ask_for_holes_ ? kBatchTablesWithHoles : 1, kBatchTables)),
        batches_((walk.tables + batch_tables_ - 1) / batch_tables_) {}

  void Run();

 private:
  void RunWorker();
  void RunBatch(uint64_t batch, TableVisitor& visitor, HoleFinder& holes,
                std::vector<std::byte>& buffer);
  // Reads tables [first, end), which lie close together, to the beginning of
  // the buffer.
  std::vector<UnreadableRange> ReadGroup(uint64_t first, uint64_t end,
                                         std::vector<std::byte>& buffer) const;
  void VisitGroup(uint64_t first, uint64_t end,
                  std::span<const std::byte> bytes,
                  const std::vector<UnreadableRange>& unreadable,
                  TableVisitor& visitor, FindingSink& sink) const;
  uint64_t Workers() const;
  // The tables of a batch: [first, end).
  std::pair<uint64_t, uint64_t> TablesOf(uint64_t batch) const;
  // Lets the system read what is left of `batch`, from table `first` on, and
  // the batches after it while that one is looked at.
  void ReadAheadOf(uint64_t batch, uint64_t first);
  // The same for tables [first, end).
  void ReadAhead(uint64_t first, uint64_t end) const;
  // Asks for each of the groups of tables [first, end).
  void AskForGroups(uint64_t first, uint64_t end) const;
  // Asks for each of the rows of several groups in [first, end).
  void AskForRows(uint64_t first, uint64_t end) const;
  // Where the tables of a group, [first, end), lie.
  ByteRange RangeOf(uint64_t first, uint64_t end) const;
  // Whether a table at `offset` lies close behind one at `last`.
  bool Follows(uint64_t last, uint64_t offset) const;
  // The end of the group of close tables that begins at `first`: of those that
  // are read in one go.
  uint64_t GroupEnd(uint64_t first, uint64_t end) const {
    return CloseEnd(first, end, kReadBytes);
  }
  // The end of the close tables that begin at `first`, of which there are more
  // than `most_bytes` only if it is one.
  uint64_t CloseEnd(uint64_t first, uint64_t end, uint64_t most_bytes) const;

  CheckState& state_;
  const TableWalk& walk_;
  const bool ask_for_holes_;
  const uint64_t batch_tables_;
  const uint64_t batches_;
  // A sink for a batch's findings.
  std::unique_ptr<FindingSink> TakeSink();
  // Hands in a batch's findings; they go on to the state in batch order.
  void HandIn(uint64_t batch, std::unique_ptr<FindingSink> sink);

  std::atomic<uint64_t> next_batch_{0};
  // Batches before it were asked of the disk, or read.
  std::atomic<uint64_t> next_to_read_ahead_{0};
  std::mutex mutex_;
  // Batches that are done but have one before them that is not; null: nothing
  // was found.
  std::map<uint64_t, std::unique_ptr<FindingSink>> done_;
  uint64_t next_to_append_ = 0;
  // Sinks that were emptied: a full one has room for a thousand findings, which
  // is better used again than asked for again.
  std::vector<std::unique_ptr<FindingSink>> spare_sinks_;
};

uint64_t Walker::CloseEnd(uint64_t first, uint64_t end,
                          uint64_t most_bytes) const {
  const uint64_t begin_offset = walk_.offset_of(first);
  uint64_t next = first + 1;
  uint64_t last = begin_offset;
  // There can be millions of tables: each is asked for its place once.
  while (next < end) {
    const uint64_t offset = walk_.offset_of(next);
    if (!Follows(last, offset) ||
        offset - begin_offset + walk_.table_bytes > most_bytes) {
      break;
    }
    last = offset;
    ++next;
  }
  return next;
}

bool Walker::Follows(uint64_t last, uint64_t offset) const {
  return offset >= last && offset <= last + walk_.table_bytes + kMaxGapBytes;
}

ByteRange Walker::RangeOf(uint64_t first, uint64_t end) const {
  const uint64_t offset = walk_.offset_of(first);
  return {offset, walk_.offset_of(end - 1) - offset + walk_.table_bytes};
}

std::pair<uint64_t, uint64_t> Walker::TablesOf(uint64_t batch) const {
  const uint64_t first = batch * batch_tables_;
  return {first, std::min(first + batch_tables_, walk_.tables)};
}

// Not where most tables are expected to be holes: they are not worth asking for
// before it is known which are.
void Walker::ReadAheadOf(uint64_t batch, uint64_t first) {
  if (ask_for_holes_) return;
  const uint64_t end = std::min(batch + 1 + kBatchesAhead, batches_);
  uint64_t next = next_to_read_ahead_.load();
  while (true) {
    const uint64_t wanted = std::max(next, batch);
    if (wanted >= end) return;
    if (!next_to_read_ahead_.compare_exchange_weak(next, wanted + 1)) continue;
    const auto [batch_first, batch_end] = TablesOf(wanted);
    ReadAhead(std::max(first, batch_first), batch_end);
    next = wanted + 1;
  }
}

void Walker::ReadAhead(uint64_t first, uint64_t end) const {
  if (state_.reader.slow_disk()) AskForRows(first, end);
  AskForGroups(first, end);
}

void Walker::AskForRows(uint64_t first, uint64_t end) const {
  while (first < end) {
    const uint64_t row_end = CloseEnd(first, end, kMaxRowBytes);
    if (GroupEnd(first, row_end) < row_end) {
      state_.reader.file().Advise(Access::kRowWillNeed,
                                  RangeOf(first, row_end));
    }
    first = row_end;
  }
}

void Walker::AskForGroups(uint64_t first, uint64_t end) const {
  while (first < end) {
    const uint64_t group_end = GroupEnd(first, end);
    const ByteRange range = RangeOf(first, group_end);
    const bool follows =
        first > 0 && Follows(walk_.offset_of(first - 1), range.offset);
    state_.reader.file().Advise(
        follows ? Access::kWillFollow : Access::kWillNeed, range);
    first = group_end;
  }
}

std::vector<UnreadableRange> Walker::ReadGroup(
    uint64_t first, uint64_t end, std::vector<std::byte>& buffer) const {
  const ByteRange range = RangeOf(first, end);
  if (buffer.size() < range.length) buffer.resize(range.length);
  return state_.reader.Read(range.offset,
                            std::span(buffer).first(range.length));
}

void Walker::VisitGroup(uint64_t first, uint64_t end,
                        std::span<const std::byte> bytes,
                        const std::vector<UnreadableRange>& unreadable,
                        TableVisitor& visitor, FindingSink& sink) const {
  const uint64_t begin_offset = walk_.offset_of(first);
  for (uint64_t i = first; i < end; ++i) {
    const uint64_t offset = walk_.offset_of(i);
    std::vector<UnreadableRange> here;
    for (const UnreadableRange& range : unreadable) {
      const uint64_t from = std::max(range.offset_bytes, offset);
      const uint64_t to = std::min(range.offset_bytes + range.length_bytes,
                                   offset + walk_.table_bytes);
      if (from < to) here.push_back({from, to - from, range.reason});
    }
    visitor.VisitTable(
        i, bytes.subspan(offset - begin_offset, walk_.table_bytes), here, sink);
  }
}

void Walker::RunBatch(uint64_t batch, TableVisitor& visitor, HoleFinder& holes,
                      std::vector<std::byte>& buffer) {
  std::unique_ptr<FindingSink> sink = TakeSink();
  auto [first, end] = TablesOf(batch);
  bool asked = false;
  while (first < end && !state_.reader.Cancelled()) {
    if (ask_for_holes_ &&
        holes.IsHole(walk_.offset_of(first), walk_.table_bytes)) {
      visitor.VisitHole(first, *sink);
      ++first;
      continue;
    }
    if (!asked && state_.reader.from_disk()) {
      asked = true;
      ReadAheadOf(batch, first);
    }
    const uint64_t group_end = GroupEnd(first, end);
    const std::vector<UnreadableRange> unreadable =
        ReadGroup(first, group_end, buffer);
    VisitGroup(first, group_end, buffer, unreadable, visitor, *sink);
    first = group_end;
  }
  visitor.EndBatch();
  HandIn(batch, std::move(sink));
}

std::unique_ptr<FindingSink> Walker::TakeSink() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (spare_sinks_.empty()) {
    return std::make_unique<FindingSink>(state_.options.MaxPerProblem());
  }
  std::unique_ptr<FindingSink> sink = std::move(spare_sinks_.back());
  spare_sinks_.pop_back();
  return sink;
}

void Walker::HandIn(uint64_t batch, std::unique_ptr<FindingSink> sink) {
  const bool found_any = !sink->empty();
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!found_any) spare_sinks_.push_back(std::exchange(sink, nullptr));
  done_[batch] = std::move(sink);
  while (!done_.empty() && done_.begin()->first == next_to_append_) {
    std::unique_ptr<FindingSink>& first = done_.begin()->second;
    if (first != nullptr) {
      state_.sink.Append(*first);
      spare_sinks_.push_back(std::move(first));
    }
    done_.erase(done_.begin());
    ++next_to_append_;
  }
}

void Walker::RunWorker() {
  const std::unique_ptr<TableVisitor> visitor = walk_.make_visitor();
  HoleFinder holes(state_.reader.file());
  std::vector<std::byte> buffer;
  uint64_t batch;
  while ((batch = next_batch_.fetch_add(1)) < batches_ &&
         !state_.reader.Cancelled()) {
    RunBatch(batch, *visitor, holes, buffer);
  }
}

uint64_t Walker::Workers() const {
  const uint64_t workers =
      std::min<uint64_t>(WorkerCount(state_.options), batches_);
  if (state_.options.jobs != 0) return workers;
  const uint64_t per_worker = kBytesPerWorker / walk_.table_bytes;
  return std::min(workers, (walk_.tables + per_worker - 1) / per_worker);
}

void Walker::Run() {
  const uint64_t workers = Workers();
  std::vector<std::thread> threads;
  for (uint64_t i = 1; i < workers; ++i) {
    threads.emplace_back([this] { RunWorker(); });
  }
  if (workers > 0) RunWorker();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

void WalkTables(CheckState& state, const TableWalk& walk) {
  if (walk.tables == 0) return;
  Walker(state, walk).Run();
}

unsigned WorkerCount(const CheckOptions& options) {
  if (options.jobs != 0) return std::min(options.jobs, 256u);
  return std::clamp(std::thread::hardware_concurrency(), 1u, kMaxWorkers);
}

}  // namespace qcow2::checker
