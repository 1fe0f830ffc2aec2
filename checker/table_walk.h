// Reads many tables of one size, in order of their offsets, with several
// threads; findings come out in that order however the threads ran.
//
// Reads only. The threads are joined before WalkTables returns.
#ifndef CHECKER_TABLE_WALK_H_
#define CHECKER_TABLE_WALK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "checker/check_state.h"

namespace qcow2::checker {

// One thread's part of a walk. Each is used by one thread at a time.
class TableVisitor {
 public:
  virtual ~TableVisitor() = default;

  // Table `index` of the walk: its bytes (zeros where unreadable or past the
  // end of the file), and the bad spots in it. Findings go to `sink`.
  virtual void VisitTable(uint64_t index, std::span<const std::byte> bytes,
                          const std::vector<UnreadableRange>& unreadable,
                          FindingSink& sink) = 0;

  // The same for a table that lies in a hole of the file: all of it is zeros,
  // and there may be more such tables than anyone could look at.
  virtual void VisitHole(uint64_t index, FindingSink& sink) = 0;

  // Called after each batch of tables, before the thread may wait for
  // anything: give back locks.
  virtual void EndBatch() {}
};

struct TableWalk {
  uint64_t tables = 0;
  uint64_t table_bytes = 0;
  // The offset in the file of table `index`, ascending with `index` for fast
  // reading.
  std::function<uint64_t(uint64_t index)> offset_of;
  // Makes one thread's visitor.
  std::function<std::unique_ptr<TableVisitor>()> make_visitor;
};

// Visits every table once, unless the check is cancelled. Appends the findings
// to state.sink.
void WalkTables(CheckState& state, const TableWalk& walk);

// Threads a walk may use: options.jobs, or one a processor, at most 8.
unsigned WorkerCount(const CheckOptions& options);

}  // namespace qcow2::checker

#endif  // CHECKER_TABLE_WALK_H_
