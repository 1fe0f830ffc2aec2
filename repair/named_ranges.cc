#include "repair/named_ranges.h"

#include <algorithm>
#include <utility>

namespace qcow2::repair {
namespace {

std::vector<ByteRange> Merged(std::vector<ByteRange> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const ByteRange& a, const ByteRange& b) {
              return a.offset < b.offset;
            });
  std::vector<ByteRange> merged;
  for (const ByteRange& range : ranges) {
    if (!merged.empty() &&
        range.offset <= merged.back().offset + merged.back().length) {
      ByteRange& last = merged.back();
      last.length =
          std::max(last.offset + last.length, range.offset + range.length) -
          last.offset;
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

}  // namespace

NamedRanges::NamedRanges(const Plan& plan) {
  for (const GuestChange& change : plan.guest_changes()) {
    ranges_[change.range.snapshot].push_back(
        {change.range.offset_bytes, change.range.length_bytes});
  }
  for (auto& [snapshot, ranges] : ranges_) ranges = Merged(std::move(ranges));
}

ByteRange NamedRanges::FirstUnnamed(const std::string& snapshot,
                                    ByteRange range) const {
  const auto found = ranges_.find(snapshot);
  if (found == ranges_.end()) return range;
  const auto after =
      std::upper_bound(found->second.begin(), found->second.end(), range.offset,
                       [](uint64_t offset, const ByteRange& named) {
                         return offset < named.offset;
                       });
  if (after == found->second.begin()) return range;
  const ByteRange& named = *std::prev(after);
  const uint64_t named_end = named.offset + named.length;
  const uint64_t end = range.offset + range.length;
  if (named_end <= range.offset) return range;
  if (named_end >= end) return {end, 0};
  return {named_end, end - named_end};
}

}  // namespace qcow2::repair
