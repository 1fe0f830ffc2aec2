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

// Past the number of every granule.
constexpr uint64_t kGranulesEnd = std::numeric_limits<uint64_t>::max();

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
  return std::unique_ptr<OverlayFile>(new OverlayFile(
      base, size, nullptr, std::numeric_limits<uint64_t>::max()));
}

absl::StatusOr<std::unique_ptr<OverlayFile>> OverlayFile::Create(
    const File& base, const Spill& spill) {
  ASSIGN_OR_RETURN(const uint64_t size, base.Size());
  if (size > kSizeMax) return TooLong(base.name(), size, 0);
  return std::unique_ptr<OverlayFile>(
      new OverlayFile(base, size, &spill.scratch,
                      std::max<uint64_t>(spill.memory_max / kGranule, 1)));
}

std::map<uint64_t, OverlayFile::SpilledRun>::const_iterator
OverlayFile::FindSpilled(uint64_t index) const {
  const auto next = spilled_.upper_bound(index);
  if (next == spilled_.begin()) return spilled_.end();
  const auto run = std::prev(next);
  return index - run->first < run->second.count ? run : spilled_.end();
}

OverlayFile::Segment OverlayFile::SegmentAt(uint64_t offset) const {
  const uint64_t index = offset / kGranule;
  const auto granule = granules_.lower_bound(index);
  uint64_t end = std::numeric_limits<uint64_t>::max();
  if (granule != granules_.end()) {
    if (granule->first == index) {
      return {.source = Segment::Source::kGranule,
              .end = (index + 1) * kGranule,
              .granule = granule->second.get()};
    }
    end = granule->first * kGranule;
  }
  if (const auto run = FindSpilled(index); run != spilled_.end()) {
    const uint64_t begin = run->first * kGranule;
    return {.source = Segment::Source::kScratch,
            .end = begin + run->second.count * kGranule,
            .scratch_offset = run->second.scratch_offset + (offset - begin)};
  }
  const auto next_run = spilled_.upper_bound(index);
  if (next_run != spilled_.end()) {
    end = std::min(end, next_run->first * kGranule);
  }
  const auto next_zeros = zeros_.upper_bound(offset);
  if (next_zeros != zeros_.begin()) {
    const uint64_t zeros_end = std::prev(next_zeros)->second;
    if (offset < zeros_end) {
      return {.source = Segment::Source::kZeros,
              .end = std::min(end, zeros_end)};
    }
  }
  if (next_zeros != zeros_.end()) end = std::min(end, next_zeros->first);
  if (offset >= base_end_) {
    return {.source = Segment::Source::kZeros, .end = end};
  }
  return {.source = Segment::Source::kBase, .end = std::min(end, base_end_)};
}

absl::Status OverlayFile::ReadSegment(const Segment& segment, uint64_t offset,
                                      std::span<std::byte> buffer) const {
  switch (segment.source) {
    case Segment::Source::kGranule:
      std::copy_n(segment.granule->begin() + offset % kGranule, buffer.size(),
                  buffer.begin());
      return absl::OkStatus();
    case Segment::Source::kScratch: {
      ASSIGN_OR_RETURN(const size_t count,
                       scratch_->Pread(segment.scratch_offset, buffer));
      if (count == buffer.size()) return absl::OkStatus();
      return absl::DataLossError(absl::StrCat(
          "the scratch file '", scratch_->name(), "' has become shorter"));
    }
    case Segment::Source::kZeros:
      std::fill(buffer.begin(), buffer.end(), std::byte{0});
      return absl::OkStatus();
    case Segment::Source::kBase:
      break;
  }
  return ReadZeroFilled(base_, offset, buffer);
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
    RETURN_IF_ERROR(ReadSegment(segment, position, part));
    done += part.size();
  }
  return wanted;
}

absl::Status OverlayFile::SpillRun(uint64_t first,
                                   std::span<const std::byte> granules) {
  RETURN_IF_ERROR(scratch_->Pwrite(scratch_end_, granules));
  const uint64_t count = granules.size() / kGranule;
  const auto before = spilled_.lower_bound(first);
  if (before != spilled_.begin()) {
    SpilledRun& run = std::prev(before)->second;
    if (std::prev(before)->first + run.count == first &&
        run.scratch_offset + run.count * kGranule == scratch_end_) {
      run.count += count;
      scratch_end_ += granules.size();
      return absl::OkStatus();
    }
  }
  spilled_.emplace(first, SpilledRun{count, scratch_end_});
  scratch_end_ += granules.size();
  return absl::OkStatus();
}

absl::Status OverlayFile::MakeRoom() {
  if (granules_.size() < granules_max_) return absl::OkStatus();
  constexpr uint64_t kGranulesAtOnce = 64;
  std::vector<std::byte> together;
  while (!granules_.empty()) {
    const uint64_t first = granules_.begin()->first;
    uint64_t count = 0;
    together.clear();
    for (auto granule = granules_.begin();
         granule != granules_.end() && granule->first == first + count &&
         count < kGranulesAtOnce;
         ++granule, ++count) {
      together.insert(together.end(), granule->second->begin(),
                      granule->second->end());
    }
    RETURN_IF_ERROR(SpillRun(first, together));
    granules_.erase(granules_.begin(), granules_.lower_bound(first + count));
  }
  return absl::OkStatus();
}

void OverlayFile::SplitSpilled(uint64_t index) {
  const auto next = spilled_.lower_bound(index);
  if (next == spilled_.begin()) return;
  const auto run = std::prev(next);
  const uint64_t kept = index - run->first;
  if (kept >= run->second.count) return;
  spilled_.emplace(index,
                   SpilledRun{run->second.count - kept,
                              run->second.scratch_offset + kept * kGranule});
  run->second.count = kept;
}

void OverlayFile::DropGranules(uint64_t begin, uint64_t end) {
  granules_.erase(granules_.lower_bound(begin), granules_.lower_bound(end));
  SplitSpilled(begin);
  SplitSpilled(end);
  spilled_.erase(spilled_.lower_bound(begin), spilled_.lower_bound(end));
}

absl::StatusOr<OverlayFile::Granule*> OverlayFile::ChangedGranule(
    uint64_t index) {
  const auto found = granules_.find(index);
  if (found != granules_.end()) return found->second.get();
  auto granule = std::make_unique<Granule>();
  ASSIGN_OR_RETURN(const size_t count, Pread(index * kGranule, *granule));
  std::fill(granule->begin() + count, granule->end(), std::byte{0});
  RETURN_IF_ERROR(MakeRoom());
  Granule* const result = granule.get();
  granules_.emplace(index, std::move(granule));
  return result;
}

absl::Status OverlayFile::WriteWithinGranule(uint64_t offset,
                                             std::span<const std::byte> data) {
  const Segment segment = SegmentAt(offset);
  if (segment.source == Segment::Source::kScratch) {
    return scratch_->Pwrite(segment.scratch_offset, data);
  }
  Granule* granule = nullptr;
  if (data.size() == kGranule && segment.source != Segment::Source::kGranule) {
    // Nothing of what was there is left over, so that it need not be readable.
    RETURN_IF_ERROR(MakeRoom());
    auto& slot = granules_[offset / kGranule];
    slot = std::make_unique<Granule>();
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
  ++writes_;
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
    const uint64_t whole = (size + kGranule - 1) / kGranule * kGranule;
    const Segment cut = SegmentAt(size);
    if (cut.source == Segment::Source::kGranule ||
        cut.source == Segment::Source::kScratch) {
      RETURN_IF_ERROR(ZeroWithinGranule(size, whole - size));
    }
    DropGranules(whole / kGranule, kGranulesEnd);
    base_end_ = std::min(base_end_, size);
  }
  size_ = size;
  return absl::OkStatus();
}

absl::Status OverlayFile::ZeroWithinGranule(uint64_t offset, uint64_t length) {
  if (length == 0) return absl::OkStatus();
  const Segment segment = SegmentAt(offset);
  if (segment.source == Segment::Source::kZeros) return absl::OkStatus();
  if (segment.source == Segment::Source::kScratch) {
    static constexpr Granule kZeroGranule = {};
    return scratch_->Pwrite(segment.scratch_offset,
                            std::span(kZeroGranule).first(length));
  }
  ASSIGN_OR_RETURN(Granule* const granule, ChangedGranule(offset / kGranule));
  std::fill_n(granule->begin() + offset % kGranule, length, std::byte{0});
  return absl::OkStatus();
}

void OverlayFile::ZeroGranules(uint64_t begin, uint64_t end) {
  if (begin >= end) return;
  DropGranules(begin / kGranule, end / kGranule);
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
  ++writes_;
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
    if (segment.source == Segment::Source::kGranule ||
        segment.source == Segment::Source::kScratch) {
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
    const bool changed = IsChange(segment, offset);
    if (segment.source == Segment::Source::kZeros && offset < base_size_) {
      end = std::min(end, base_size_);
    }
    if (changed) AppendRange(offset, end, ranges);
    offset = end;
  }
  return ranges;
}

bool OverlayFile::IsDirty(ByteRange range) const {
  uint64_t offset = range.offset;
  if (offset >= size_) return false;
  const uint64_t end = offset + std::min(range.length, size_ - offset);
  while (offset < end) {
    const Segment segment = SegmentAt(offset);
    if (IsChange(segment, offset)) return true;
    offset = segment.end;
  }
  return false;
}

void OverlayFile::Clear() {
  granules_.clear();
  spilled_.clear();
  scratch_end_ = 0;
  zeros_.clear();
  size_ = base_size_;
  base_end_ = base_size_;
}

}  // namespace qcow2
