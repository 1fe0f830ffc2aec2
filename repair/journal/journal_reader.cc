#include "repair/journal/journal_reader.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "repair/journal/crc32c.h"

namespace qcow2::repair {
namespace {

constexpr size_t kReadAhead = size_t{256} * 1024;

absl::Status DamagedJournal(const File& journal, const char* what) {
  return absl::DataLossError(
      absl::StrCat("the journal '", journal.name(), "' is damaged: ", what));
}

absl::StatusOr<std::vector<std::byte>> ReadFrontBlocks(const File& journal) {
  std::vector<std::byte> blocks(kBodyOffset);
  ASSIGN_OR_RETURN(const size_t count, journal.Pread(0, blocks));
  blocks.resize(count);
  return blocks;
}

// The part of `blocks`, which may be cut short, that the record of `state` has.
std::span<const std::byte> StateRecord(std::span<const std::byte> blocks,
                                       JournalState state) {
  const size_t offset =
      std::min<size_t>(StateRecordOffset(state), blocks.size());
  return blocks.subspan(offset,
                        std::min(kStateRecordLength, blocks.size() - offset));
}

// Sets the state and the seal from the records that are whole.
absl::Status ReadStates(const File& journal, std::span<const std::byte> blocks,
                        JournalFront& front) {
  for (const JournalState state : kRecordedStates) {
    const std::optional<JournalSeal> seal =
        DecodeStateRecord(StateRecord(blocks, state), state);
    if (!seal.has_value()) continue;
    if (front.seal.has_value() && *front.seal != *seal) {
      return DamagedJournal(journal, "its state records contradict each other");
    }
    front.state = state;
    front.seal = seal;
  }
  const std::span<const std::byte> commit =
      StateRecord(blocks, JournalState::kCommitted);
  front.commit_record_broken =
      front.state == JournalState::kIncomplete &&
      std::any_of(commit.begin(), commit.end(),
                  [](std::byte byte) { return byte != std::byte{0}; });
  return absl::OkStatus();
}

// The length that [offset, offset + length) has in an image of `size` bytes.
uint64_t LengthWithin(uint64_t offset, uint64_t length, uint64_t size) {
  return offset >= size ? 0 : std::min(length, size - offset);
}

}  // namespace

absl::StatusOr<JournalFront> ReadJournalFront(const File& journal) {
  ASSIGN_OR_RETURN(const std::vector<std::byte> blocks,
                   ReadFrontBlocks(journal));
  JournalFront front;
  RETURN_IF_ERROR(ReadStates(journal, blocks, front));
  JournalHeader header;
  switch (DecodeJournalHeader(blocks, header)) {
    case HeaderVerdict::kGood:
      front.header = header;
      return front;
    case HeaderVerdict::kOtherVersion:
      return absl::FailedPreconditionError(
          absl::StrCat("the journal '", journal.name(),
                       "' was written by another version of this program"));
    case HeaderVerdict::kTorn:
      if (front.state == JournalState::kIncomplete &&
          !front.commit_record_broken) {
        return front;
      }
      return DamagedJournal(journal, "its header is not whole");
    case HeaderVerdict::kForeign:
      if (front.state != JournalState::kIncomplete) {
        return DamagedJournal(journal, "its header is not whole");
      }
      break;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("'", journal.name(), "' is not a journal of this program"));
}

EntryReader::EntryReader(const File& journal, const JournalHeader& header,
                         const std::optional<JournalSeal>& seal)
    : journal_(journal),
      header_(header),
      seal_(seal),
      checksum_(Crc32c(EncodeJournalHeader(header))) {}

absl::Status EntryReader::Damaged(const char* what) const {
  return absl::DataLossError(
      absl::StrCat("the journal '", journal_.name(), "' is damaged: ", what,
                   " at offset ", read_offset_ - (buffer_.size() - used_)));
}

absl::StatusOr<std::span<const std::byte>> EntryReader::Peek(size_t length) {
  if (buffer_.size() - used_ < length) {
    buffer_.erase(buffer_.begin(),
                  buffer_.begin() + static_cast<ptrdiff_t>(used_));
    used_ = 0;
    const size_t kept = buffer_.size();
    const uint64_t left =
        seal_.has_value() ? seal_->body_length - (read_offset_ - kBodyOffset)
                          : std::numeric_limits<uint64_t>::max();
    buffer_.resize(kept + std::min<uint64_t>(kReadAhead, left));
    ASSIGN_OR_RETURN(
        const size_t count,
        journal_.Pread(read_offset_, std::span(buffer_).subspan(kept)));
    buffer_.resize(kept + count);
    read_offset_ += count;
  }
  return std::span<const std::byte>(buffer_).subspan(
      used_, std::min(length, buffer_.size() - used_));
}

void EntryReader::Consume(size_t length) {
  checksum_ = Crc32c(std::span<const std::byte>(buffer_).subspan(used_, length),
                     checksum_);
  used_ += length;
}

absl::Status EntryReader::CheckPlace(const EntryHeader& entry) const {
  const bool first = entries_ == 0;
  if (first &&
      (entry.kind != EntryHeader::Kind::kRecord || entry.offset != 0)) {
    return Damaged("no record of the image's header");
  }
  // Files end before 2^63, so that the sums with an entry's length are safe.
  if (entry.offset < image_offset_ ||
      entry.offset > std::numeric_limits<int64_t>::max() ||
      (!first && entry.length() == 0)) {
    return Damaged("an entry that is not in order");
  }
  if (LengthWithin(entry.offset, entry.length(), header_.old_size) !=
          entry.old_length ||
      LengthWithin(entry.offset, entry.length(), header_.new_size) !=
          entry.new_length) {
    return Damaged("an entry that does not end with the image");
  }
  return absl::OkStatus();
}

absl::Status EntryReader::CheckSeal() const {
  if (!seal_.has_value()) return absl::OkStatus();
  if (read_offset_ - kBodyOffset != seal_->body_length) {
    return Damaged("cut off");
  }
  if (entries_ != seal_->entries || checksum_ != seal_->checksum) {
    return Damaged("not what was committed");
  }
  return absl::OkStatus();
}

absl::StatusOr<const Entry*> EntryReader::Next() {
  ASSIGN_OR_RETURN(const std::span<const std::byte> head,
                   Peek(kEntryHeaderLength));
  if (head.empty()) {
    RETURN_IF_ERROR(CheckSeal());
    if (entries_ == 0) return Damaged("no record of the image's header");
    return nullptr;
  }
  const std::optional<EntryHeader> header = DecodeEntryHeader(head);
  if (!header.has_value()) return Damaged("no whole entry");
  RETURN_IF_ERROR(CheckPlace(*header));
  const size_t length = kEntryHeaderLength + header->payload_length();
  ASSIGN_OR_RETURN(const std::span<const std::byte> whole, Peek(length));
  if (whole.size() < length) return Damaged("cut off");
  const std::span<const std::byte> payload = whole.subspan(kEntryHeaderLength);
  if (header->kind == EntryHeader::Kind::kRecord &&
      Crc32c(payload) != header->checksum) {
    return Damaged("a record whose checksum is wrong");
  }
  Consume(length);
  const bool is_record = header->kind == EntryHeader::Kind::kRecord;
  const size_t old_length = is_record ? header->old_length : 0;
  entry_ = {.header = *header,
            .old_bytes = payload.first(old_length),
            .new_bytes = payload.subspan(old_length)};
  ++entries_;
  image_offset_ = entry_.end();
  return &entry_;
}

}  // namespace qcow2::repair
