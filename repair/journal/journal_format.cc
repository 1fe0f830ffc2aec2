#include "repair/journal/journal_format.h"

#include <algorithm>

#include "engine/format/byte_order.h"
#include "repair/journal/crc32c.h"

namespace qcow2::repair {
namespace {

constexpr uint64_t kHeaderMagic = 0x5146'5343'4b4a'4e4c;  // "QFSCKJNL"
constexpr uint64_t kStateMagic = 0x5146'5343'4b53'5441;   // "QFSCKSTA"
constexpr uint32_t kRecordMagic = 0x5245'4344;            // "RECD"
constexpr uint32_t kWitnessMagic = 0x5749'544e;           // "WITN"

constexpr uint32_t kFlagKeepUndo = 1u << 0;
constexpr uint32_t kFlagBlockDevice = 1u << 1;

// Whether the last four of the first `length` bytes are the checksum of those
// before.
bool ChecksumHolds(std::span<const std::byte> bytes, size_t length) {
  return bytes.size() >= length &&
         LoadBe32(&bytes[length - 4]) == Crc32c(bytes.first(length - 4));
}

template <size_t kLength>
void StoreChecksum(std::array<std::byte, kLength>& bytes) {
  StoreBe32(&bytes[kLength - 4], Crc32c(std::span(bytes).first(kLength - 4)));
}

// A crash leaves of a write what arrived, and zeros where nothing did.
bool IsPartOfMagic(std::span<const std::byte> bytes) {
  std::array<std::byte, 8> magic;
  StoreBe64(magic.data(), kHeaderMagic);
  for (size_t i = 0; i < std::min(bytes.size(), magic.size()); ++i) {
    if (bytes[i] != magic[i] && bytes[i] != std::byte{0}) return false;
  }
  return true;
}

uint32_t StateNumber(JournalState state) {
  return static_cast<uint32_t>(
             std::find(kRecordedStates.begin(), kRecordedStates.end(), state) -
             kRecordedStates.begin()) +
         1;
}

}  // namespace

EncodedJournalHeader EncodeJournalHeader(const JournalHeader& header) {
  EncodedJournalHeader bytes = {};
  StoreBe64(&bytes[0], kHeaderMagic);
  StoreBe32(&bytes[8], kJournalVersion);
  StoreBe32(&bytes[12],
            (header.keep_undo ? kFlagKeepUndo : 0) |
                (header.identity.is_block_device ? kFlagBlockDevice : 0));
  StoreBe64(&bytes[16], header.identity.device);
  StoreBe64(&bytes[24], header.identity.inode);
  StoreBe64(&bytes[32], header.old_size);
  StoreBe64(&bytes[40], header.new_size);
  StoreChecksum(bytes);
  return bytes;
}

HeaderVerdict DecodeJournalHeader(std::span<const std::byte> bytes,
                                  JournalHeader& header) {
  if (!IsPartOfMagic(bytes)) return HeaderVerdict::kForeign;
  if (!ChecksumHolds(bytes, kJournalHeaderLength) ||
      LoadBe64(bytes.data()) != kHeaderMagic) {
    return HeaderVerdict::kTorn;
  }
  if (LoadBe32(&bytes[8]) != kJournalVersion) {
    return HeaderVerdict::kOtherVersion;
  }
  const uint32_t flags = LoadBe32(&bytes[12]);
  header = {.identity = {.device = LoadBe64(&bytes[16]),
                         .inode = LoadBe64(&bytes[24]),
                         .is_block_device = (flags & kFlagBlockDevice) != 0},
            .old_size = LoadBe64(&bytes[32]),
            .new_size = LoadBe64(&bytes[40]),
            .keep_undo = (flags & kFlagKeepUndo) != 0};
  return HeaderVerdict::kGood;
}

uint64_t StateRecordOffset(JournalState state) {
  return StateNumber(state) * kJournalBlock;
}

EncodedStateRecord EncodeStateRecord(JournalState state,
                                     const JournalSeal& seal) {
  EncodedStateRecord bytes = {};
  StoreBe64(&bytes[0], kStateMagic);
  StoreBe32(&bytes[8], StateNumber(state));
  StoreBe64(&bytes[16], seal.body_length);
  StoreBe64(&bytes[24], seal.entries);
  StoreBe32(&bytes[32], seal.checksum);
  StoreChecksum(bytes);
  return bytes;
}

std::optional<JournalSeal> DecodeStateRecord(std::span<const std::byte> bytes,
                                             JournalState state) {
  if (!ChecksumHolds(bytes, kStateRecordLength) ||
      LoadBe64(bytes.data()) != kStateMagic ||
      LoadBe32(&bytes[8]) != StateNumber(state)) {
    return std::nullopt;
  }
  return JournalSeal{.body_length = LoadBe64(&bytes[16]),
                     .entries = LoadBe64(&bytes[24]),
                     .checksum = LoadBe32(&bytes[32])};
}

EncodedEntryHeader EncodeEntryHeader(const EntryHeader& entry) {
  EncodedEntryHeader bytes = {};
  StoreBe32(&bytes[0], entry.kind == EntryHeader::Kind::kRecord
                           ? kRecordMagic
                           : kWitnessMagic);
  StoreBe64(&bytes[8], entry.offset);
  StoreBe32(&bytes[16], entry.old_length);
  StoreBe32(&bytes[20], entry.new_length);
  StoreBe32(&bytes[24], entry.checksum);
  StoreChecksum(bytes);
  return bytes;
}

std::optional<EntryHeader> DecodeEntryHeader(std::span<const std::byte> bytes) {
  if (!ChecksumHolds(bytes, kEntryHeaderLength)) return std::nullopt;
  const uint32_t magic = LoadBe32(bytes.data());
  if (magic != kRecordMagic && magic != kWitnessMagic) return std::nullopt;
  const bool is_record = magic == kRecordMagic;
  const EntryHeader entry = {.kind = is_record ? EntryHeader::Kind::kRecord
                                               : EntryHeader::Kind::kWitness,
                             .offset = LoadBe64(&bytes[8]),
                             .old_length = LoadBe32(&bytes[16]),
                             .new_length = LoadBe32(&bytes[20]),
                             .checksum = LoadBe32(&bytes[24])};
  if (entry.length() > (is_record ? kRecordLengthMax : kWitnessLengthMax)) {
    return std::nullopt;
  }
  return entry;
}

}  // namespace qcow2::repair
