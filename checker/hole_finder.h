// Where a file is known to hold nothing but zeros without reading it: sparse
// files can claim more tables than anyone could read.
//
// Asks the file for its holes; reads nothing. Each thread has its own.
#ifndef CHECKER_HOLE_FINDER_H_
#define CHECKER_HOLE_FINDER_H_

#include <cstdint>

#include "engine/storage/file.h"

namespace qcow2::checker {

class HoleFinder {
 public:
  // `file` must outlive the finder.
  explicit HoleFinder(const File& file) : file_(file) {}

  // Whether all of [offset, offset + length) is known to be zeros. Remembers
  // the last answer of the file, so that neighbours cost nothing. What lies
  // past the end of the file is a hole.
  bool IsHole(uint64_t offset, uint64_t length);

 private:
  void Ask(uint64_t offset);

  const File& file_;
  // What is known: a hole, then data up to known_end_.
  uint64_t hole_begin_ = 0;
  uint64_t data_begin_ = 0;
  uint64_t known_end_ = 0;
};

}  // namespace qcow2::checker

#endif  // CHECKER_HOLE_FINDER_H_
