#include "checker/finding.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <tuple>
#include <utility>

namespace qcow2::checker {
namespace {

// Whether `next`, which does not begin before `last`, overlaps or adjoins it.
bool Touches(const GuestRange& last, const GuestRange& next) {
  return last.snapshot == next.snapshot &&
         last.snapshot_index == next.snapshot_index &&
         last.vm_state == next.vm_state &&
         last.offset_bytes + last.length_bytes >= next.offset_bytes;
}

}  // namespace

std::string_view NameOfOwner(uint32_t owner) {
  static constexpr std::array<std::string_view, kOwnerCount> kNames = {
      "header",           "active L1",       "inactive L1",    "active L2",
      "inactive L2",      "refcount table",  "refcount block", "snapshot table",
      "bitmap directory", "bitmap table",    "bitmap data",    "LUKS header",
      "guest data",       "compressed data", "VM state"};
  return kNames[static_cast<size_t>(std::countr_zero(owner))];
}

std::vector<std::string> OwnerNames(uint32_t owners) {
  std::vector<std::string> names;
  for (int bit = 0; bit < kOwnerCount; ++bit) {
    const uint32_t owner = 1u << bit;
    if ((owners & owner) != 0) names.emplace_back(NameOfOwner(owner));
  }
  return names;
}

std::string_view NameOf(Structure structure) {
  static constexpr std::array<std::string_view, 17> kNames = {
      "file",
      "header",
      "header extension",
      "active L1 table",
      "snapshot L1 table",
      "active L2 table",
      "inactive L2 table",
      "refcount table",
      "refcount block",
      "host cluster",
      "snapshot table",
      "bitmap directory",
      "bitmap table",
      "bitmap data",
      "LUKS header",
      "data file",
      "backing file"};
  return kNames[static_cast<size_t>(structure)];
}

void AddGuestRanges(const std::vector<GuestRange>& ranges, Finding& finding) {
  std::vector<GuestRange> all = std::move(finding.guest);
  all.insert(all.end(), ranges.begin(), ranges.end());
  std::sort(all.begin(), all.end(),
            [](const GuestRange& a, const GuestRange& b) {
              return std::tie(a.snapshot, a.snapshot_index, a.offset_bytes) <
                     std::tie(b.snapshot, b.snapshot_index, b.offset_bytes);
            });
  finding.guest.clear();
  for (GuestRange& range : all) {
    if (!finding.guest.empty() && Touches(finding.guest.back(), range)) {
      GuestRange& last = finding.guest.back();
      last.length_bytes = std::max(last.offset_bytes + last.length_bytes,
                                   range.offset_bytes + range.length_bytes) -
                          last.offset_bytes;
    } else {
      finding.guest.push_back(std::move(range));
    }
  }
  if (finding.guest.size() > kMaxGuestRanges) {
    finding.guest_ranges_omitted += finding.guest.size() - kMaxGuestRanges;
    finding.guest.resize(kMaxGuestRanges);
  }
}

}  // namespace qcow2::checker
