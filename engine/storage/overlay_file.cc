#include "engine/storage/overlay_file.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// No file is longer than what the system's signed offsets can say, which keeps
// all the sums below from overflowing.
constexpr uint64_t kSizeMax = std::numeric_limits<int64_t>::max();

absl::Status TooLong(const std::string& name, uint64_t offset,
                     uint64_t length) {
  return absl::ErrnoToStatus(
      EFBIG, absl::StrCat("cannot write ", length, " bytes at offset ", offset,
                          " of '", name, "'"));
}

// Adds [begin, end) to ascending ranges, to the last one where they touch.
void AppendRange(uint64_t begin, uint64_t end, std::vector<ByteRange>& ranges) {
  if (begin >= end) return;
  if (!ranges.empty() && ranges.back().offset + ranges.back().length == begin) {
    ranges.back().length += end - begin;
  } else {
    ranges.push_back({begin, end - begin});
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<OverlayFile>> OverlayFile::Create(
    const File& base) {
  ASSIGN_OR_RETURN(const uint64_t size, base.Size());
  if (size > kSizeMax) return TooLong(base.name(), size, 0);
  return std::unique_ptr<OverlayFile>(new OverlayFile(base, size));
}

OverlayFile::Segment OverlayFile::SegmentAt(uint64_t offset) const {
  const auto granule = granules_.lower_bound(offset / kGranule);
  uint64_t end = std::numeric_limits<uint64_t>::max();
  if (granule != granules_.end()) {
    if (granule->first == offset / kGranule) {
      return {Segment::Source::kGranule, (granule->first + 1) * kGranule,
              granule->second.get()};
    }
    end = granule->first * kGranule;
  }
  const auto next_zeros = zeros_.upper_bound(offset);
  if (next_zeros != zeros_.begin()) {
    const uint64_t zeros_end = std::prev(next_zeros)->second;
    if (offset < zeros_end) {
      return {Segment::Source::kZeros, std::min(end, zeros_end), nullptr};
    }
  }
  if (next_zeros != zeros_.end()) end = std::min(end, next_zeros->first);
  if (offset >= base_end_) return {Segment::Source::kZeros, end, nullptr};
  return {Segment::Source::kBase, std::min(end, base_end_), nullptr};
}

absl::StatusOr<size_t> OverlayFile::Pread(uint64_t offset,
                                          std::span<std::byte> buffer) const {
  if (offset >= size_) return 0;
  const size_t wanted = std::min<uint64_t>(buffer.size(), size_ - offset);
  size_t done = 0;
  while (done < wanted) {
    const uint64_t position = offset + done;
    const Segment segment = SegmentAt(position);
    const std::span<std::byte> part = buffer.subspan(
        done, std::min<uint64_t>(wanted - done, segment.end - position));
    switch (segment.source) {
      case Segment::Source::kGranule:
        std::copy_n(segment.granule->begin() + position % kGranule, part.size(),
                    part.begin());
        break;
      case Segment::Source::kZeros:
        std::fill(part.begin(), part.end(), std::byte{0});
        break;
      case Segment::Source::kBase:
        RETURN_IF_ERROR(ReadZeroFilled(base_, position, part));
        break;
    }
    done += part.size();
  }
  return wanted;
}

absl::StatusOr<OverlayFile::Granule*> OverlayFile::ChangedGranule(
    uint64_t index) {
  const auto found = granules_.find(index);
  if (found != granules_.end()) return found->second.get();
  auto granule = std::make_unique<Granule>();
  ASSIGN_OR_RETURN(const size_t count, Pread(index * kGranule, *granule));
  std::fill(granule->begin() + count, granule->end(), std::byte{0});
  Granule* const result = granule.get();
  granules_.emplace(index, std::move(granule));
  return result;
}

absl::Status OverlayFile::WriteWithinGranule(uint64_t offset,
                                             std::span<const std::byte> data) {
  Granule* granule = nullptr;
  if (data.size() == kGranule) {
    // Nothing of what was there is left over, so that it need not be readable.
    auto& slot = granules_[offset / kGranule];
    if (slot == nullptr) slot = std::make_unique<Granule>();
    granule = slot.get();
  } else {
    ASSIGN_OR_RETURN(granule, ChangedGranule(offset / kGranule));
  }
  std::copy(data.begin(), data.end(), granule->begin() + offset % kGranule);
  return absl::OkStatus();
}

absl::Status OverlayFile::Pwrite(uint64_t offset,
                                 std::span<const std::byte> data) {
  if (offset > kSizeMax || data.size() > kSizeMax - offset) {
    return TooLong(name(), offset, data.size());
  }
  while (!data.empty()) {
    const size_t step =
        std::min<uint64_t>(data.size(), kGranule - offset % kGranule);
    RETURN_IF_ERROR(WriteWithinGranule(offset, data.first(step)));
    offset += step;
    data = data.subspan(step);
    size_ = std::max(size_, offset);
  }
  return absl::OkStatus();
}

absl::Status OverlayFile::Truncate(uint64_t size) {
  if (size > kSizeMax) return TooLong(name(), size, 0);
  if (size < size_) {
    // A granule that is cut keeps zeros behind the cut, since growing again
    // must show zeros there.
    const auto cut = granules_.find(size / kGranule);
    if (cut != granules_.end()) {
      std::fill(cut->second->begin() + size % kGranule, cut->second->end(),
                std::byte{0});
    }
    granules_.erase(granules_.lower_bound((size + kGranule - 1) / kGranule),
                    granules_.end());
    base_end_ = std::min(base_end_, size);
  }
  size_ = size;
  return absl::OkStatus();
}

absl::Status OverlayFile::ZeroWithinGranule(uint64_t offset, uint64_t length) {
  if (length == 0 || SegmentAt(offset).source == Segment::Source::kZeros) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Granule* const granule, ChangedGranule(offset / kGranule));
  std::fill_n(granule->begin() + offset % kGranule, length, std::byte{0});
  return absl::OkStatus();
}

void OverlayFile::ZeroGranules(uint64_t begin, uint64_t end) {
  if (begin >= end) return;
  granules_.erase(granules_.lower_bound(begin / kGranule),
                  granules_.lower_bound(end / kGranule));
  // Swallows the stretches it overlaps or touches.
  auto stretch = zeros_.upper_bound(begin);
  if (stretch != zeros_.begin() && std::prev(stretch)->second >= begin) {
    --stretch;
  }
  while (stretch != zeros_.end() && stretch->first <= end) {
    begin = std::min(begin, stretch->first);
    end = std::max(end, stretch->second);
    stretch = zeros_.erase(stretch);
  }
  zeros_.emplace(begin, end);
}

absl::Status OverlayFile::PunchHole(ByteRange range) {
  if (range.offset >= size_) return absl::OkStatus();
  const uint64_t end =
      range.offset + std::min(range.length, size_ - range.offset);
  const uint64_t first_whole =
      (range.offset + kGranule - 1) / kGranule * kGranule;
  const uint64_t last_whole = end / kGranule * kGranule;
  if (first_whole > last_whole) {
    return ZeroWithinGranule(range.offset, end - range.offset);
  }
  RETURN_IF_ERROR(ZeroWithinGranule(range.offset, first_whole - range.offset));
  RETURN_IF_ERROR(ZeroWithinGranule(last_whole, end - last_whole));
  ZeroGranules(first_whole, last_whole);
  return absl::OkStatus();
}

absl::StatusOr<ByteRange> OverlayFile::NextData(uint64_t offset) const {
  while (offset < size_) {
    const Segment segment = SegmentAt(offset);
    const uint64_t end = std::min(segment.end, size_);
    if (segment.source == Segment::Source::kGranule) {
      return ByteRange{offset, end - offset};
    }
    if (segment.source == Segment::Source::kBase) {
      ASSIGN_OR_RETURN(const ByteRange data, base_.NextData(offset));
      if (data.length > 0 && data.offset < end) {
        return ByteRange{data.offset, std::min(data.length, end - data.offset)};
      }
    }
    offset = end;
  }
  return ByteRange{size_, 0};
}

void OverlayFile::Advise(Access access, ByteRange range) const {
  base_.Advise(access, range);
}

std::vector<ByteRange> OverlayFile::DirtyRanges() const {
  std::vector<ByteRange> ranges;
  uint64_t offset = 0;
  while (offset < size_) {
    const Segment segment = SegmentAt(offset);
    uint64_t end = std::min(segment.end, size_);
    const bool changed =
        segment.source == Segment::Source::kGranule ||
        (segment.source == Segment::Source::kZeros && offset < base_size_);
    if (segment.source == Segment::Source::kZeros && offset < base_size_) {
      end = std::min(end, base_size_);
    }
    if (changed) AppendRange(offset, end, ranges);
    offset = end;
  }
  return ranges;
}

}  // namespace qcow2
