// Reads a table of entries of varying size from front to back through one small
// buffer, so that a table may be as long as it likes.
//
// Reads only; counts in the check's sink what could not be read.
#ifndef CHECKER_TABLE_STREAM_H_
#define CHECKER_TABLE_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "checker/check_state.h"

namespace qcow2::checker {

class TableStream {
 public:
  // A table that begins at `table_offset` of the image. The state must outlive
  // the stream.
  TableStream(CheckState& state, uint64_t table_offset)
      : state_(state), table_offset_(table_offset) {}

  // Fills `out` from `position`, in bytes from the table's start. What lies
  // past the end of the file, or cannot be read, is zeros; returns why in the
  // latter case, else an empty string. Cheapest when positions ascend.
  // table_offset + position + out.size() must be addressable.
  std::string ReadAt(uint64_t position, std::span<std::byte> out);

 private:
  void Fill(uint64_t position, size_t length);

  CheckState& state_;
  uint64_t table_offset_;
  uint64_t begin_ = 0;  // of the buffer, from the table's start
  std::vector<std::byte> buffer_;
  std::vector<UnreadableRange> unreadable_;  // in the buffer
};

}  // namespace qcow2::checker

#endif  // CHECKER_TABLE_STREAM_H_
