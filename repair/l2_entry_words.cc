#include "repair/l2_entry_words.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "checker/finding.h"
#include "checker/l2_tables.h"
#include "checker/printable.h"

namespace qcow2::repair {
namespace {

using checker::Finding;
using checker::GuestRange;
using checker::Hex;
using checker::ImageModel;
using checker::L2Table;
using checker::Problem;
using checker::RepairAction;

std::string OffsetOf(const ImageModel& model, L2Entry entry) {
  return Hex(entry.is_compressed()
                 ? entry.compressed(*model.geometry).offset.value()
                 : entry.host_offset().value());
}

std::string Before(const ImageModel& model, const MendedEntry& entry) {
  const std::string offset = OffsetOf(model, entry.before);
  switch (entry.mending.problem) {
    case Problem::kL2EntryUnaligned:
      return absl::StrCat("names a cluster at ", offset,
                          ", which is not cluster aligned");
    case Problem::kL2EntryPastEnd:
      return absl::StrCat("names a cluster at ", offset,
                          ", past the end of the file");
    case Problem::kCompressedPastEnd:
      return absl::StrCat("names compressed data at ", offset,
                          " that reaches past the end of the file");
    case Problem::kCompressedCopied:
      return absl::StrCat("is ", Hex(entry.before.raw()),
                          ": a compressed cluster with COPIED set");
    case Problem::kCompressedBitmap:
      return absl::StrCat("is a compressed cluster with the subcluster bitmap ",
                          Hex(entry.before.bitmap()));
    case Problem::kSubclusterContradiction:
      return absl::StrCat("has the subcluster bitmap ",
                          Hex(entry.before.bitmap()),
                          ": some are both allocated and zero");
    case Problem::kSubclusterWithoutOffset:
      return absl::StrCat("has the subcluster bitmap ",
                          Hex(entry.before.bitmap()), " and no cluster");
    case Problem::kL2EntryReserved:
      return absl::StrCat("is ", Hex(entry.before.raw()),
                          ": reserved bits are set");
    case Problem::kZeroFlagVersion2:
    case Problem::kZeroFlagExtendedL2:
      return absl::StrCat("is ", Hex(entry.before.raw()),
                          ": the zero flag is set where there is none");
    case Problem::kClusterLeaked:
      return "has COPIED set, but names no cluster";
    default:
      return absl::StrCat(entry.before.is_compressed()
                              ? "names compressed data at "
                              : "names a cluster at ",
                          offset, ", which is not counted for it");
  }
}

std::string After(const ImageModel& model, const MendedEntry& entry) {
  const L2Entry after = entry.mending.after;
  switch (entry.mending.how) {
    case Mending::kOrphan:
      return absl::StrCat("names the cluster at ", OffsetOf(model, after),
                          ", which is counted, reached by too few entries, and "
                          "the only one that explains this entry");
    case Mending::kCompressed:
      return absl::StrCat("names compressed data at ", OffsetOf(model, after),
                          ", which is one sound cluster and the only one that "
                          "explains this entry");
    case Mending::kShortened:
      return absl::StrCat("names the ",
                          after.compressed(*model.geometry).sectors,
                          " sectors the data fills; reads as before");
    case Mending::kBitsCleared:
      return absl::StrCat("is ", Hex(after.raw()),
                          ": the bits that must be zero are cleared");
    case Mending::kZeros:
      return entry.mending.lost == 0 ? "reads as zeros, as it should"
                                     : "reads as zeros; its content is gone";
    case Mending::kFreshZeros:
      return absl::StrCat("names a new cluster of zeros at ",
                          OffsetOf(model, after), "; its content is gone");
    case Mending::kDataWins:
      return absl::StrCat("has the bitmap ", Hex(after.bitmap()),
                          ": these subclusters are allocated");
    case Mending::kZerosWin:
      return absl::StrCat("has the bitmap ", Hex(after.bitmap()),
                          ": these subclusters are zero, as their bytes are");
  }
  return "";
}

RepairAction ActionOf(Mending how) {
  switch (how) {
    case Mending::kBitsCleared:
      return RepairAction::kClearEntryBits;
    case Mending::kZeros:
    case Mending::kFreshZeros:
      return RepairAction::kZeroEntry;
    default:
      return RepairAction::kMendEntry;
  }
}

bool MendedAlike(const MendedEntry& a, const MendedEntry& b) {
  return a.mending.problem == b.mending.problem &&
         a.mending.how == b.mending.how &&
         (a.mending.lost == 0) == (b.mending.lost == 0);
}

std::string_view ReasonOf(const MendedEntry& entry, GuestChange::Kind kind) {
  if (kind == GuestChange::Kind::kLost) {
    return entry.mending.problem == Problem::kL2EntryPastEnd
               ? "what the entry named is past the end of the file: reads as "
                 "zeros, as it does now"
               : "what the entry named cannot be found: reads as zeros";
  }
  switch (entry.mending.how) {
    case Mending::kOrphan:
    case Mending::kCompressed:
      return "the entry names its cluster again";
    case Mending::kDataWins:
      return "could not be read; subclusters that were both data and zero "
             "read as data";
    case Mending::kBitsCleared:
      return "could not be read for a bit that must be zero";
    default:
      return "could not be read; now reads as the entry says";
  }
}

// Subclusters [first, end) of entries that follow each other.
struct Stretch {
  uint64_t first_index = 0;
  uint64_t entries = 0;
  uint32_t first_subcluster = 0;
  uint32_t end_subcluster = kSubclustersPerCluster;
  GuestChange::Kind kind = GuestChange::Kind::kLost;
  std::string_view reason;

  bool whole() const {
    return first_subcluster == 0 && end_subcluster == kSubclustersPerCluster;
  }
};

void AddStretches(const MendedEntry& entry, uint32_t subclusters,
                  GuestChange::Kind kind, std::vector<Stretch>& stretches) {
  const std::string_view reason = ReasonOf(entry, kind);
  for (uint32_t first = 0; first < kSubclustersPerCluster;) {
    if ((subclusters >> first & 1) == 0) {
      ++first;
      continue;
    }
    uint32_t end = first + 1;
    while (end < kSubclustersPerCluster && (subclusters >> end & 1) != 0) ++end;
    const Stretch next{entry.index, 1, first, end, kind, reason};
    if (!stretches.empty() && next.whole() && stretches.back().whole() &&
        stretches.back().kind == kind && stretches.back().reason == reason &&
        stretches.back().first_index + stretches.back().entries ==
            entry.index) {
      ++stretches.back().entries;
    } else {
      stretches.push_back(next);
    }
    first = end;
  }
}

// The guest range of `stretch` in the table that `user` names; length 0 if it
// lies past the end of the disk.
GuestRange RangeOf(const ImageModel& model, const Stretch& stretch,
                   L1Place user) {
  L2Table table;
  table.l1_table = user.table;
  table.l1_index = user.index;
  GuestRange range =
      checker::GuestRangeOf(model, table, stretch.first_index, stretch.entries);
  if (stretch.whole()) return range;
  const uint64_t size = model.geometry->cluster_size() / kSubclustersPerCluster;
  const uint64_t end = range.offset_bytes + range.length_bytes;
  range.offset_bytes += stretch.first_subcluster * size;
  const uint64_t length =
      (stretch.end_subcluster - stretch.first_subcluster) * size;
  range.length_bytes = range.offset_bytes >= end
                           ? 0
                           : std::min(length, end - range.offset_bytes);
  return range;
}

}  // namespace

void AddL2Edits(const ImageModel& model, const L2Table& table,
                std::span<const MendedEntry> entries, Plan& plan) {
  for (size_t i = 0; i < entries.size();) {
    size_t end = i + 1;
    while (end < entries.size() &&
           entries[end].index == entries[i].index + (end - i) &&
           MendedAlike(entries[i], entries[end])) {
      ++end;
    }
    Finding finding;
    finding.location = checker::LocationOf(model, table, entries[i].index);
    finding.count = end - i;
    const std::string_view first = end - i > 1 ? "the first " : "";
    plan.Add({entries[i].mending.problem, ActionOf(entries[i].mending.how),
              checker::DescribeWhere(finding),
              absl::StrCat(std::string(first), Before(model, entries[i])),
              absl::StrCat(std::string(first), After(model, entries[i])),
              end - i});
    i = end;
  }
}

void AddL2GuestChanges(const ImageModel& model,
                       std::span<const MendedEntry> entries,
                       std::span<const L1Place> users, Plan& plan) {
  std::vector<Stretch> stretches;
  for (const MendedEntry& entry : entries) {
    AddStretches(entry, entry.mending.lost, GuestChange::Kind::kLost,
                 stretches);
    AddStretches(entry, entry.mending.recovered, GuestChange::Kind::kRecovered,
                 stretches);
  }
  for (const L1Place user : users) {
    for (const Stretch& stretch : stretches) {
      GuestRange range = RangeOf(model, stretch, user);
      if (range.length_bytes == 0) continue;
      plan.AddGuestChange(
          {std::move(range), stretch.kind, std::string(stretch.reason)});
    }
  }
}

}  // namespace qcow2::repair
