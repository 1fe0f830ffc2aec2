#include "repair/journal/journal_writer.h"

#include <algorithm>

#include "engine/status_macros.h"
#include "repair/journal/crc32c.h"

namespace qcow2::repair {
namespace {

constexpr size_t kPendingMax = size_t{256} * 1024;

}  // namespace

absl::Status JournalWriter::Begin(const JournalHeader& header) {
  const EncodedJournalHeader encoded = EncodeJournalHeader(header);
  seal_.checksum = Crc32c(encoded);
  std::vector<std::byte> blocks(kBodyOffset);
  std::copy(encoded.begin(), encoded.end(), blocks.begin());
  return journal_.Pwrite(0, blocks);
}

absl::Status JournalWriter::AddRecord(uint64_t offset,
                                      std::span<const std::byte> old_bytes,
                                      std::span<const std::byte> new_bytes) {
  const EntryHeader entry = {
      .kind = EntryHeader::Kind::kRecord,
      .offset = offset,
      .old_length = static_cast<uint32_t>(old_bytes.size()),
      .new_length = static_cast<uint32_t>(new_bytes.size()),
      .checksum = Crc32c(new_bytes, Crc32c(old_bytes))};
  RETURN_IF_ERROR(Append(EncodeEntryHeader(entry)));
  RETURN_IF_ERROR(Append(old_bytes));
  RETURN_IF_ERROR(Append(new_bytes));
  ++seal_.entries;
  record_bytes_ += entry.length();
  return absl::OkStatus();
}

absl::Status JournalWriter::AddWitness(uint64_t offset, uint32_t length,
                                       uint32_t checksum) {
  RETURN_IF_ERROR(Append(EncodeEntryHeader({.kind = EntryHeader::Kind::kWitness,
                                            .offset = offset,
                                            .old_length = length,
                                            .new_length = length,
                                            .checksum = checksum})));
  ++seal_.entries;
  witness_bytes_ += length;
  return absl::OkStatus();
}

absl::Status JournalWriter::Append(std::span<const std::byte> bytes) {
  pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  return pending_.size() < kPendingMax ? absl::OkStatus() : WriteOut();
}

absl::Status JournalWriter::WriteOut() {
  RETURN_IF_ERROR(journal_.Pwrite(kBodyOffset + seal_.body_length, pending_));
  seal_.checksum = Crc32c(pending_, seal_.checksum);
  seal_.body_length += pending_.size();
  pending_.clear();
  return absl::OkStatus();
}

absl::StatusOr<JournalSeal> JournalWriter::Finish() {
  if (!pending_.empty()) RETURN_IF_ERROR(WriteOut());
  return seal_;
}

absl::Status WriteState(File& journal, JournalState state,
                        const JournalSeal& seal) {
  RETURN_IF_ERROR(
      journal.Pwrite(StateRecordOffset(state), EncodeStateRecord(state, seal)));
  return journal.Flush();
}

}  // namespace qcow2::repair
