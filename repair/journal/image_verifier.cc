#include "repair/journal/image_verifier.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "repair/journal/corrupt_bit.h"
#include "repair/journal/crc32c.h"

namespace qcow2::repair {
namespace {

// The byte number `i` of one side of a record. Past its end the image was, or
// will be, grown with zeros.
std::byte ByteAt(std::span<const std::byte> side, size_t i) {
  return i < side.size() ? side[i] : std::byte{0};
}

const char* NameOf(ExpectImage expected) {
  switch (expected) {
    case ExpectImage::kOld:
      return "the old image";
    case ExpectImage::kNew:
      return "the repaired image";
    case ExpectImage::kMixed:
      break;
  }
  return "the old nor the repaired image";
}

// Whether `actual` is one side of the record from end to end: the usual case,
// and quicker to see than a byte at a time.
bool IsWholly(ExpectImage expected, const Entry& entry,
              std::span<const std::byte> actual) {
  return (expected != ExpectImage::kNew &&
          std::ranges::equal(actual, entry.old_bytes)) ||
         (expected != ExpectImage::kOld &&
          std::ranges::equal(actual, entry.new_bytes));
}

// One comparison of an image with a journal.
class ImageVerifier {
 public:
  ImageVerifier(const File& image, const JournalHeader& header,
                ExpectImage expected)
      : image_(image),
        header_(header),
        expected_(expected),
        shorter_(std::min(header.old_size, header.new_size)),
        longer_(std::max(header.old_size, header.new_size)),
        end_of_entries_(shorter_) {}

  absl::Status CheckSize();
  absl::Status CheckEntry(const Entry& entry);
  // After the last entry.
  absl::Status CheckEnd() { return CheckZeros(end_of_entries_, size_); }

 private:
  absl::Status CheckRecord(const Entry& entry);
  absl::Status CheckWitness(const Entry& entry);
  absl::Status CheckZeros(uint64_t begin, uint64_t end);
  bool IsExpected(const Entry& entry, size_t i, std::byte actual) const;
  absl::StatusOr<std::span<const std::byte>> Read(uint64_t offset,
                                                  uint64_t length);
  absl::Status Differs(uint64_t offset) const;

  const File& image_;
  const JournalHeader header_;
  const ExpectImage expected_;
  const uint64_t shorter_;
  const uint64_t longer_;
  uint64_t size_ = 0;
  // What lies between this and the next record must be zeros.
  uint64_t end_of_entries_;
  std::vector<std::byte> buffer_;
};

absl::Status ImageVerifier::Differs(uint64_t offset) const {
  return absl::FailedPreconditionError(absl::StrCat(
      "'", image_.name(), "' was changed by something else: at offset ", offset,
      expected_ == ExpectImage::kMixed ? " it is neither " : " it is not ",
      NameOf(expected_)));
}

absl::Status ImageVerifier::CheckSize() {
  ASSIGN_OR_RETURN(size_, image_.Size());
  const bool good = expected_ == ExpectImage::kOld ? size_ == header_.old_size
                    : expected_ == ExpectImage::kNew
                        ? size_ == header_.new_size
                        : size_ >= shorter_ && size_ <= longer_;
  if (good) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "'", image_.name(), "' was changed by something else: it has ", size_,
      " bytes, while the old image had ", header_.old_size,
      " and the repaired one ", header_.new_size));
}

absl::StatusOr<std::span<const std::byte>> ImageVerifier::Read(
    uint64_t offset, uint64_t length) {
  buffer_.resize(length);
  ASSIGN_OR_RETURN(const size_t count, image_.Pread(offset, buffer_));
  return std::span<const std::byte>(buffer_).first(count);
}

bool ImageVerifier::IsExpected(const Entry& entry, size_t i,
                               std::byte actual) const {
  const std::byte old_byte = ByteAt(entry.old_bytes, i);
  const std::byte new_byte = ByteAt(entry.new_bytes, i);
  if (expected_ == ExpectImage::kOld) return actual == old_byte;
  if (expected_ == ExpectImage::kNew) return actual == new_byte;
  if (actual == old_byte || actual == new_byte) return true;
  if (entry.header.offset + i != kCorruptBitOffset) return false;
  return (HasPlaceForCorruptBit(entry.old_bytes) &&
          actual == (old_byte | kCorruptBit)) ||
         (HasPlaceForCorruptBit(entry.new_bytes) &&
          actual == (new_byte | kCorruptBit));
}

absl::Status ImageVerifier::CheckRecord(const Entry& entry) {
  ASSIGN_OR_RETURN(const std::span<const std::byte> actual,
                   Read(entry.header.offset, entry.header.length()));
  if (IsWholly(expected_, entry, actual)) return absl::OkStatus();
  for (size_t i = 0; i < actual.size(); ++i) {
    if (!IsExpected(entry, i, actual[i])) {
      return Differs(entry.header.offset + i);
    }
  }
  return absl::OkStatus();
}

absl::Status ImageVerifier::CheckWitness(const Entry& entry) {
  ASSIGN_OR_RETURN(const std::span<const std::byte> actual,
                   Read(entry.header.offset, entry.header.length()));
  if (Crc32c(actual) == entry.header.checksum) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "'", image_.name(), "' was changed by something else: the ",
      entry.header.length(), " bytes at offset ", entry.header.offset,
      ", from which the repair was planned, are not what they were"));
}

absl::Status ImageVerifier::CheckZeros(uint64_t begin, uint64_t end) {
  constexpr uint64_t kPiece = uint64_t{256} * 1024;
  while (begin < end) {
    ASSIGN_OR_RETURN(const ByteRange data, image_.NextData(begin));
    if (data.length == 0 || data.offset >= end) break;
    const uint64_t length = std::min({data.length, end - data.offset, kPiece});
    ASSIGN_OR_RETURN(const std::span<const std::byte> bytes,
                     Read(data.offset, length));
    const auto found =
        std::find_if(bytes.begin(), bytes.end(),
                     [](std::byte byte) { return byte != std::byte{0}; });
    if (found != bytes.end()) {
      return Differs(data.offset +
                     static_cast<uint64_t>(found - bytes.begin()));
    }
    begin = data.offset + length;
  }
  return absl::OkStatus();
}

absl::Status ImageVerifier::CheckEntry(const Entry& entry) {
  RETURN_IF_ERROR(
      CheckZeros(end_of_entries_, std::min(entry.header.offset, size_)));
  end_of_entries_ = std::max(end_of_entries_, entry.end());
  return entry.header.kind == EntryHeader::Kind::kRecord ? CheckRecord(entry)
                                                         : CheckWitness(entry);
}

}  // namespace

absl::Status VerifyImage(const File& image, const File& journal,
                         const JournalFront& front, ExpectImage expected) {
  // What the image differs in is of interest only if the journal is sound.
  absl::Status difference;
  ImageVerifier verifier(image, *front.header, expected);
  difference = verifier.CheckSize();
  EntryReader entries(journal, *front.header, front.seal);
  while (true) {
    ASSIGN_OR_RETURN(const Entry* const entry, entries.Next());
    if (entry == nullptr) break;
    if (difference.ok()) difference = verifier.CheckEntry(*entry);
  }
  return difference.ok() ? verifier.CheckEnd() : difference;
}

absl::Status CheckIdentity(const File& image, const ImageIdentity& identity,
                           const JournalHeader& header) {
  const ImageIdentity& written_for = header.identity;
  if (identity.is_block_device && written_for.is_block_device) {
    return absl::OkStatus();
  }
  if (identity.is_block_device == written_for.is_block_device &&
      identity.inode == written_for.inode) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "the journal was written for another file (device ", written_for.device,
      ", inode ", written_for.inode, ") than '", image.name(), "' (device ",
      identity.device, ", inode ", identity.inode, ")"));
}

}  // namespace qcow2::repair
