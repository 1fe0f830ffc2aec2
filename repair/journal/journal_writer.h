// JournalWriter: writes a journal from the front to the back, with little
// memory. What it writes is of no effect until WriteState says kCommitted.
#ifndef REPAIR_JOURNAL_JOURNAL_WRITER_H_
#define REPAIR_JOURNAL_JOURNAL_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"
#include "repair/journal/journal_format.h"

namespace qcow2::repair {

class JournalWriter {
 public:
  // `journal`, an empty file, must outlive the writer.
  explicit JournalWriter(File& journal) : journal_(journal) {}

  // Writes the header and the blocks of the states, empty: later there will be
  // room for them even on a full disk. First, and once.
  absl::Status Begin(const JournalHeader& header);

  // The bytes at `offset` of the old and of the new image. Entries must be
  // added in the order of their offsets.
  absl::Status AddRecord(uint64_t offset, std::span<const std::byte> old_bytes,
                         std::span<const std::byte> new_bytes);

  // `length` bytes at `offset`, in both images, whose CRC-32C is `checksum`.
  absl::Status AddWitness(uint64_t offset, uint32_t length, uint32_t checksum);

  // Writes out what is left. Last, and once; nothing is flushed.
  absl::StatusOr<JournalSeal> Finish();

  // Bytes of the image in records and witnesses.
  uint64_t record_bytes() const { return record_bytes_; }
  uint64_t witness_bytes() const { return witness_bytes_; }

 private:
  absl::Status Append(std::span<const std::byte> bytes);
  absl::Status WriteOut();

  File& journal_;
  JournalSeal seal_;
  // What comes next in the body and is not yet written.
  std::vector<std::byte> pending_;
  uint64_t record_bytes_ = 0;
  uint64_t witness_bytes_ = 0;
};

// Writes the record of `state` and returns when it is on stable storage. On an
// error it may be there or not.
absl::Status WriteState(File& journal, JournalState state,
                        const JournalSeal& seal);

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_JOURNAL_WRITER_H_
