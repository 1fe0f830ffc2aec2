// Reading a journal. Nothing in it is taken on trust: every byte that is handed
// out is covered by a checksum that held.
#ifndef REPAIR_JOURNAL_JOURNAL_READER_H_
#define REPAIR_JOURNAL_JOURNAL_READER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"
#include "repair/journal/journal_format.h"

namespace qcow2::repair {

// What the first blocks say.
struct JournalFront {
  // Never kNone.
  JournalState state = JournalState::kIncomplete;
  // Always, but for a kIncomplete whose header was not written to the end.
  std::optional<JournalHeader> header;
  // Always, but for kIncomplete.
  std::optional<JournalSeal> seal;
  // Of kIncomplete: something was written as the commit record that is none. It
  // was cut off by a crash (and the image is the old one), or it is damaged
  // (and the image may be anything).
  bool commit_record_broken = false;
};

// FailedPrecondition: not a journal, or one of another version. DataLoss: it is
// damaged. Both name the file.
absl::StatusOr<JournalFront> ReadJournalFront(const File& journal);

// One entry of the body.
struct Entry {
  EntryHeader header;
  // Of a record.
  std::span<const std::byte> old_bytes;
  std::span<const std::byte> new_bytes;

  uint64_t end() const { return header.offset + header.length(); }
};

// Goes through the body once, from the front to the back.
class EntryReader {
 public:
  // Up to the end of the file, or of the body when `seal` tells it. `journal`
  // must outlive the reader.
  EntryReader(const File& journal, const JournalHeader& header,
              const std::optional<JournalSeal>& seal);

  // The next entry, good until the next call; null behind the last. DataLoss
  // when it is damaged, not where it may be, or cut off; and at the end when
  // the body is not the one that was sealed.
  absl::StatusOr<const Entry*> Next();

 private:
  // Brings the next `length` bytes of the body into the buffer. Fewer at its
  // end.
  absl::StatusOr<std::span<const std::byte>> Peek(size_t length);
  void Consume(size_t length);
  absl::Status CheckPlace(const EntryHeader& entry) const;
  absl::Status CheckSeal() const;
  absl::Status Damaged(const char* what) const;

  const File& journal_;
  const JournalHeader header_;
  const std::optional<JournalSeal> seal_;
  uint64_t read_offset_ = kBodyOffset;  // Of what comes after the buffer.
  std::vector<std::byte> buffer_;
  size_t used_ = 0;  // How much of the buffer was consumed.
  Entry entry_;
  uint64_t entries_ = 0;
  uint64_t image_offset_ = 0;  // Where the entries so far end.
  uint32_t checksum_;
};

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_JOURNAL_READER_H_
