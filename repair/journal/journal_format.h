// The bytes of a journal file as values, and back. docs/journal.md draws them.
//
// Pure, no I/O. Integers are big-endian, as in the image.
#ifndef REPAIR_JOURNAL_JOURNAL_FORMAT_H_
#define REPAIR_JOURNAL_JOURNAL_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "repair/journal/journal.h"

namespace qcow2::repair {

inline constexpr uint32_t kJournalVersion = 1;

// The header and each state record have a block of their own: writing one never
// puts another at risk.
inline constexpr uint64_t kJournalBlock = 4096;
inline constexpr uint64_t kBodyOffset = 5 * kJournalBlock;

// No entry is about more bytes of the image than this.
inline constexpr uint32_t kRecordLengthMax = 64 * 1024;
inline constexpr uint32_t kWitnessLengthMax = 1024 * 1024;

// Changes are looked for, and written, in units of this many bytes. The first
// unit of the image has the header's fields in it: it is written last, and a
// disk writes that much at once or not at all.
inline constexpr uint64_t kSector = 512;

// Block 0.
struct JournalHeader {
  ImageIdentity identity;
  uint64_t old_size = 0;
  uint64_t new_size = 0;
  bool keep_undo = false;

  friend bool operator==(const JournalHeader&, const JournalHeader&) = default;
};

inline constexpr size_t kJournalHeaderLength = 52;
using EncodedJournalHeader = std::array<std::byte, kJournalHeaderLength>;

EncodedJournalHeader EncodeJournalHeader(const JournalHeader& header);

enum class HeaderVerdict {
  kGood,
  kOtherVersion,  // Whole, but written by another version of the program.
  kTorn,          // What a crash while it is written may leave, or damage.
  kForeign,       // The file was never a journal.
};

// `header` is set when the verdict is kGood. `bytes` may be cut short.
HeaderVerdict DecodeJournalHeader(std::span<const std::byte> bytes,
                                  JournalHeader& header);

// What a state record says of all that is in the journal, so that it holds for
// this header and this body only.
struct JournalSeal {
  uint64_t body_length = 0;
  uint64_t entries = 0;
  // CRC-32C of the encoded header followed by the body.
  uint32_t checksum = 0;

  friend bool operator==(const JournalSeal&, const JournalSeal&) = default;
};

inline constexpr size_t kStateRecordLength = 40;
using EncodedStateRecord = std::array<std::byte, kStateRecordLength>;

// The states that have a record, in the order of their blocks, 1 to 4.
inline constexpr std::array<JournalState, 4> kRecordedStates = {
    JournalState::kCommitted, JournalState::kApplied, JournalState::kUndoing,
    JournalState::kUndone};

// Where the record of `state`, one of kRecordedStates, is in the file.
uint64_t StateRecordOffset(JournalState state);

EncodedStateRecord EncodeStateRecord(JournalState state,
                                     const JournalSeal& seal);

// Nothing unless `bytes` are a whole record of `state`.
std::optional<JournalSeal> DecodeStateRecord(std::span<const std::byte> bytes,
                                             JournalState state);

// What each entry of the body begins with.
struct EntryHeader {
  enum class Kind {
    // The old bytes, then the new ones follow. Each end at the end of the old
    // and of the new image.
    kRecord,
    // Nothing follows: `checksum` is that of bytes that must not change.
    kWitness,
  };
  Kind kind = Kind::kRecord;
  uint64_t offset = 0;
  uint32_t old_length = 0;
  uint32_t new_length = 0;
  uint32_t checksum = 0;

  // The bytes of the image it is about, of both images.
  uint32_t length() const {
    return old_length > new_length ? old_length : new_length;
  }
  // The bytes that follow.
  uint32_t payload_length() const {
    return kind == Kind::kRecord ? old_length + new_length : 0;
  }

  friend bool operator==(const EntryHeader&, const EntryHeader&) = default;
};

inline constexpr size_t kEntryHeaderLength = 32;
using EncodedEntryHeader = std::array<std::byte, kEntryHeaderLength>;

EncodedEntryHeader EncodeEntryHeader(const EntryHeader& entry);

// Nothing when the bytes' own checksum, the kind or the lengths are wrong.
std::optional<EntryHeader> DecodeEntryHeader(std::span<const std::byte> bytes);

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_JOURNAL_FORMAT_H_
