// Which sectors of a corpus image a check reads, for tests that make one after
// the other unreadable.
//
// For tests only.
#ifndef TESTS_CORPUS_SECTORS_READ_H_
#define TESTS_CORPUS_SECTORS_READ_H_

#include <cstdint>
#include <vector>

#include "tests/corpus/corpus_case.h"

namespace qcow2::corpus {

// Bytes that a bad spot takes.
inline constexpr uint64_t kSectorBytes = 512;

// Offsets in bytes of sectors that a deep check reads and that hold anything:
// of the header, the tables and compressed data; of long runs of them some.
// Those of other data between two tables may be read along with them, and lose
// nothing; so may what is behind the last entry of a table.
std::vector<uint64_t> SectorsRead(const UnpackedCase& unpacked);

}  // namespace qcow2::corpus

#endif  // TESTS_CORPUS_SECTORS_READ_H_
