#include "checker/metadata_reader.h"

#include <algorithm>

#include "absl/status/status.h"

namespace qcow2::checker {
namespace {

// The smallest piece a disk fails to read.
constexpr size_t kSectorBytes = 512;

void AddUnreadable(std::vector<UnreadableRange>& ranges, uint64_t offset,
                   uint64_t length, const absl::Status& status) {
  if (!ranges.empty() &&
      ranges.back().offset_bytes + ranges.back().length_bytes == offset) {
    ranges.back().length_bytes += length;
    return;
  }
  ranges.push_back({offset, length, std::string(status.message())});
}

}  // namespace

MetadataReader::MetadataReader(const File& file, const CheckOptions& options)
    : file_(file), cancel_(options.cancel), progress_(options.progress) {}

std::vector<UnreadableRange> MetadataReader::Read(
    uint64_t offset, std::span<std::byte> buffer) const {
  bytes_read_.fetch_add(buffer.size(), std::memory_order_relaxed);
  if (progress_ != nullptr) {
    progress_->done_bytes.fetch_add(buffer.size(), std::memory_order_relaxed);
  }
  const auto start = std::chrono::steady_clock::now();
  const bool all_read = ReadZeroFilled(file_, offset, buffer).ok();
  NoteTime(std::chrono::steady_clock::now() - start, buffer.size());
  if (all_read) return {};

  // Somewhere in here is a bad spot: read sector by sector to lose no more
  // than that.
  std::vector<UnreadableRange> unreadable;
  uint64_t position = offset;
  while (position < offset + buffer.size() && !Cancelled()) {
    const uint64_t sector_end =
        position / kSectorBytes * kSectorBytes + kSectorBytes;
    const size_t length =
        std::min<uint64_t>(sector_end, offset + buffer.size()) - position;
    const std::span<std::byte> piece =
        buffer.subspan(position - offset, length);
    const absl::Status status = ReadZeroFilled(file_, position, piece);
    if (!status.ok()) {
      std::fill(piece.begin(), piece.end(), std::byte{0});
      AddUnreadable(unreadable, position, length, status);
    }
    position += length;
  }
  const uint64_t done = position - offset;
  std::fill(buffer.begin() + static_cast<ptrdiff_t>(done), buffer.end(),
            std::byte{0});
  return unreadable;
}

void MetadataReader::NoteTime(std::chrono::nanoseconds elapsed,
                              uint64_t bytes) const {
  // What memory takes at the most: for a call, and for 2 bytes.
  constexpr std::chrono::nanoseconds kCall{20'000};
  constexpr std::chrono::nanoseconds kTwoBytes{1};
  // What a disk takes that does not make one wait.
  constexpr std::chrono::nanoseconds kRequest{600'000};
  constexpr std::chrono::nanoseconds kByte{2};
  if (elapsed <= kCall + kTwoBytes * (bytes / 2)) return;
  if (disk_reads_.load(std::memory_order_relaxed) >= kDiskReadsJudged ||
      disk_reads_.fetch_add(1, std::memory_order_relaxed) >= kDiskReadsJudged) {
    return;
  }
  if (elapsed > kRequest + kByte * bytes) {
    slow_reads_.fetch_add(1, std::memory_order_relaxed);
  }
}

bool MetadataReader::Cancelled() const {
  return cancel_ != nullptr && cancel_->load(std::memory_order_relaxed);
}

void MetadataReader::Expect(uint64_t bytes) const {
  if (progress_ != nullptr) {
    progress_->total_bytes.fetch_add(bytes, std::memory_order_relaxed);
  }
}

}  // namespace qcow2::checker
