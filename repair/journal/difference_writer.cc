#include "repair/journal/difference_writer.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "engine/status_macros.h"
#include "repair/journal/crc32c.h"

namespace qcow2::repair {
namespace {

// Bytes of one of the two images up to its end.
absl::StatusOr<std::span<const std::byte>> ReadSide(
    const File& file, uint64_t size, ByteRange range,
    std::vector<std::byte>& buffer) {
  buffer.resize(
      range.offset >= size ? 0 : std::min(range.length, size - range.offset));
  ASSIGN_OR_RETURN(const size_t count, file.Pread(range.offset, buffer));
  if (count != buffer.size()) {
    return absl::DataLossError("a file became shorter while it was read");
  }
  return std::span<const std::byte>(buffer);
}

std::span<const std::byte> Part(std::span<const std::byte> side, size_t begin,
                                size_t end) {
  begin = std::min(begin, side.size());
  return side.subspan(begin, std::min(end, side.size()) - begin);
}

bool AllZero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

// Whether two parts are alike, where the shorter goes on with zeros.
bool Alike(std::span<const std::byte> a, std::span<const std::byte> b) {
  const size_t common = std::min(a.size(), b.size());
  return std::ranges::equal(a.first(common), b.first(common)) &&
         AllZero(a.subspan(common)) && AllZero(b.subspan(common));
}

// Ascending, disjoint, not touching, and within `size`.
std::vector<ByteRange> Merged(std::span<const ByteRange> ranges,
                              uint64_t size) {
  std::vector<ByteRange> clipped;
  for (const ByteRange range : ranges) {
    if (range.offset >= size || range.length == 0) continue;
    clipped.push_back(
        {range.offset, std::min(range.length, size - range.offset)});
  }
  std::ranges::sort(clipped, {}, &ByteRange::offset);
  std::vector<ByteRange> merged;
  for (const ByteRange range : clipped) {
    if (merged.empty() ||
        merged.back().offset + merged.back().length < range.offset) {
      merged.push_back(range);
      continue;
    }
    ByteRange& last = merged.back();
    const uint64_t end =
        std::max(last.offset + last.length, range.offset + range.length);
    last.length = end - last.offset;
  }
  return merged;
}

// The differences and witnesses of one transaction, from the front to the back.
class DifferenceWriter {
 public:
  DifferenceWriter(const File& image, const OverlayFile& planned,
                   std::vector<ByteRange> witnesses,
                   const JournalHeader& header, JournalWriter& writer)
      : image_(image),
        planned_(planned),
        witnesses_(std::move(witnesses)),
        next_witness_(witnesses_.begin()),
        old_size_(header.old_size),
        new_size_(header.new_size),
        writer_(writer) {}

  // The record of the first sector, in any case: the corrupt bit is set there.
  absl::Status WriteHeader();

  // What differs within a range behind everything before.
  absl::Status WriteRange(ByteRange range);

  // What the image has behind the end of a shorter plan.
  absl::Status WriteCutOff();

  // The witnesses up to `end` that were not written yet.
  absl::Status WriteWitnesses(uint64_t end);

  bool found_any() const { return found_any_; }

 private:
  absl::Status WritePiece(ByteRange piece);
  absl::Status WriteWitness(ByteRange range);

  const File& image_;
  const OverlayFile& planned_;
  const std::vector<ByteRange> witnesses_;
  std::vector<ByteRange>::const_iterator next_witness_;
  const uint64_t old_size_;
  const uint64_t new_size_;
  JournalWriter& writer_;
  std::vector<std::byte> old_buffer_;
  std::vector<std::byte> new_buffer_;
  // Everything before it has its records and witnesses.
  uint64_t done_ = 0;
  bool found_any_ = false;
};

absl::Status DifferenceWriter::WriteHeader() {
  const ByteRange first = {0, kSector};
  ASSIGN_OR_RETURN(const auto old_bytes,
                   ReadSide(image_, old_size_, first, old_buffer_));
  ASSIGN_OR_RETURN(const auto new_bytes,
                   ReadSide(planned_, new_size_, first, new_buffer_));
  found_any_ = !Alike(old_bytes, new_bytes) || old_size_ != new_size_;
  done_ = std::max(old_bytes.size(), new_bytes.size());
  return writer_.AddRecord(0, old_bytes, new_bytes);
}

absl::Status DifferenceWriter::WriteRange(ByteRange range) {
  const uint64_t end = range.offset + range.length;
  uint64_t begin = std::max(range.offset, done_);
  while (begin < end) {
    const uint64_t length = std::min<uint64_t>(end - begin, kRecordLengthMax);
    RETURN_IF_ERROR(WritePiece({begin, length}));
    begin += length;
  }
  return absl::OkStatus();
}

absl::Status DifferenceWriter::WritePiece(ByteRange piece) {
  ASSIGN_OR_RETURN(const auto old_bytes,
                   ReadSide(image_, old_size_, piece, old_buffer_));
  ASSIGN_OR_RETURN(const auto new_bytes,
                   ReadSide(planned_, new_size_, piece, new_buffer_));
  const size_t length = std::max(old_bytes.size(), new_bytes.size());
  const auto differs_at = [&](size_t at) {
    return !Alike(Part(old_bytes, at, at + kSector),
                  Part(new_bytes, at, at + kSector));
  };
  size_t begin = 0;
  while (begin < length) {
    size_t end = begin;
    while (end < length && differs_at(end)) {
      end = std::min<size_t>(end + kSector, length);
    }
    if (end == begin) {
      begin += kSector;
      continue;
    }
    RETURN_IF_ERROR(WriteWitnesses(piece.offset + begin));
    RETURN_IF_ERROR(writer_.AddRecord(piece.offset + begin,
                                      Part(old_bytes, begin, end),
                                      Part(new_bytes, begin, end)));
    found_any_ = true;
    done_ = piece.offset + end;
    begin = end;
  }
  return absl::OkStatus();
}

absl::Status DifferenceWriter::WriteCutOff() {
  uint64_t offset = new_size_;
  while (offset < old_size_) {
    ASSIGN_OR_RETURN(const ByteRange data, image_.NextData(offset));
    if (data.length == 0) break;
    RETURN_IF_ERROR(WriteRange(data));
    offset = data.offset + data.length;
  }
  return absl::OkStatus();
}

absl::Status DifferenceWriter::WriteWitnesses(uint64_t end) {
  while (next_witness_ != witnesses_.end() && next_witness_->offset < end) {
    const uint64_t witness_end = next_witness_->offset + next_witness_->length;
    uint64_t begin = std::max(next_witness_->offset, done_);
    while (begin < std::min(end, witness_end)) {
      const uint64_t length = std::min<uint64_t>(
          std::min(end, witness_end) - begin, kWitnessLengthMax);
      RETURN_IF_ERROR(WriteWitness({begin, length}));
      begin += length;
      done_ = begin;
    }
    if (witness_end > end) break;
    ++next_witness_;
  }
  return absl::OkStatus();
}

absl::Status DifferenceWriter::WriteWitness(ByteRange range) {
  // Not one of the buffers of the piece that comes behind it.
  std::vector<std::byte> buffer;
  ASSIGN_OR_RETURN(const auto bytes,
                   ReadSide(image_, old_size_, range, buffer));
  return writer_.AddWitness(range.offset, static_cast<uint32_t>(range.length),
                            Crc32c(bytes));
}

}  // namespace

absl::StatusOr<bool> WriteDifferences(const File& image,
                                      const OverlayFile& planned,
                                      std::span<const ByteRange> witnesses,
                                      const JournalHeader& header,
                                      JournalWriter& writer) {
  const uint64_t in_both = std::min(header.old_size, header.new_size);
  DifferenceWriter differences(image, planned, Merged(witnesses, in_both),
                               header, writer);
  RETURN_IF_ERROR(differences.WriteHeader());
  for (const ByteRange range : planned.DirtyRanges()) {
    RETURN_IF_ERROR(differences.WriteRange(range));
  }
  RETURN_IF_ERROR(differences.WriteWitnesses(in_both));
  RETURN_IF_ERROR(differences.WriteCutOff());
  return differences.found_any();
}

}  // namespace qcow2::repair
