#include "cli/picture/describe.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "checker/printable.h"
#include "cli/units.h"

namespace qcow2::cli {
namespace {

using checker::ClusterClass;

// Classes named of a stretch that is mixed, and owners of one that is not.
constexpr size_t kMaxClassesNamed = 4;
// Damaged snapshots that are named: a hostile image can have thousands.
constexpr size_t kMaxSnapshotsListed = 64;

std::string NameOfClass(size_t index) {
  return std::string(checker::NameOf(static_cast<ClusterClass>(index)));
}

// "guest data 93 %, free 7 %".
std::string Shares(const Composition& composition) {
  std::vector<size_t> classes;
  double all = 0;
  for (size_t i = 0; i < composition.clusters.size(); ++i) {
    if (composition.clusters[i] > 0) classes.push_back(i);
    all += composition.clusters[i];
  }
  if (classes.empty()) return "nothing is known";
  if (classes.size() == 1) return NameOfClass(classes[0]);
  std::sort(classes.begin(), classes.end(), [&](size_t a, size_t b) {
    return composition.clusters[a] > composition.clusters[b];
  });
  std::vector<std::string> parts;
  for (const size_t i : classes) {
    if (parts.size() == kMaxClassesNamed) {
      parts.emplace_back("more");
      break;
    }
    const double percent = composition.clusters[i] * 100 / all;
    parts.push_back(
        percent < 1 ? NameOfClass(i) + " below 1 %"
                    : absl::StrFormat("%s %.0f %%", NameOfClass(i), percent));
  }
  return absl::StrJoin(parts, ", ");
}

std::string WordsOf(uint32_t marks) {
  std::vector<std::string> words;
  if ((marks & kMarkOverlap) != 0) words.emplace_back("OVERLAP");
  if ((marks & kMarkDamaged) != 0) words.emplace_back("DAMAGED");
  if ((marks & kMarkSuspect) != 0) {
    words.emplace_back("may be what is left of guest data");
  }
  if ((marks & kMarkTooHigh) != 0) words.emplace_back("refcount too high");
  if ((marks & kMarkUnknown) != 0) {
    words.emplace_back("its refcount cannot be read");
  }
  return absl::StrJoin(words, ", ");
}

std::string FindingsOf(const Segment& segment) {
  std::vector<std::string> ids;
  for (const uint32_t id : segment.findings)
    ids.push_back(absl::StrCat("#", id));
  return absl::StrCat(ids.size() == 1 ? "finding " : "findings ",
                      absl::StrJoin(ids, ", "));
}

void AddSegmentLines(const Picture& picture, const Segment& segment,
                     std::vector<std::string>& lines) {
  for (const checker::OwnedRun& owner : segment.owners) {
    lines.push_back(DescribeOwner(picture, owner));
  }
  if (segment.owners.empty()) {
    lines.emplace_back(checker::NameOf(segment.cluster_class));
  }
  if (segment.more_owners > 0) {
    lines.push_back("and " +
                    Counted(segment.more_owners, "more owner", "more owners"));
  }
  if (segment.marks != 0) lines.push_back(WordsOf(segment.marks));
  if (!segment.findings.empty()) lines.push_back(FindingsOf(segment));
}

std::string DescribeRange(const DamagedRange& range) {
  return absl::StrFormat("%s at 0x%x", HumanBytes(range.length_bytes),
                         range.offset_bytes);
}

std::string DescribeDamage(const Picture& picture,
                           const PartitionDamage& damage) {
  const std::string words(HitInWords(picture, damage));
  if (damage.bytes == 0) return words;
  std::vector<std::string> ranges;
  for (const DamagedRange& range : damage.ranges) {
    ranges.push_back(DescribeRange(range));
  }
  return absl::StrCat(words, ": ", picture.damage_incomplete ? "at least " : "",
                      HumanBytes(damage.bytes), " damaged (",
                      absl::StrJoin(ranges, ", "),
                      damage.more_ranges ? " ..." : "", " of the disk)");
}

}  // namespace

std::string DescribeClusters(const Picture& picture, uint64_t first,
                             uint64_t clusters) {
  const uint64_t offset = first * picture.cluster_size_bytes;
  if (clusters == 1) {
    return absl::StrFormat("cluster %u (offset 0x%x)", first, offset);
  }
  return absl::StrFormat(
      "clusters %u-%u (%s at offset 0x%x)", first, first + clusters - 1,
      HumanBytes(clusters * picture.cluster_size_bytes), offset);
}

std::vector<std::string> DescribeStretch(const Picture& picture, uint64_t first,
                                         uint64_t end) {
  std::vector<std::string> lines = {
      DescribeClusters(picture, first, end - first)};
  const auto [begin, stop] = SegmentsIn(picture, first, end);
  if (stop == begin + 1 && picture.segments[begin].first_cluster <= first &&
      picture.segments[begin].first_cluster +
              picture.segments[begin].clusters >=
          end) {
    AddSegmentLines(picture, picture.segments[begin], lines);
    return lines;
  }
  const Composition composition = CompositionOf(picture, first, end);
  lines.push_back(Shares(composition));
  // What is wrong, by owners: that is what one wants to know of it.
  size_t named = 0;
  for (size_t i = begin; i < stop && named < kMaxClassesNamed; ++i) {
    const Segment& segment = picture.segments[i];
    if ((segment.marks & kMarkBad) == 0) continue;
    lines.push_back(
        DescribeClusters(picture, segment.first_cluster, segment.clusters) +
        ":");
    AddSegmentLines(picture, segment, lines);
    ++named;
  }
  if (named == 0 && composition.marks != 0) {
    lines.push_back(WordsOf(composition.marks));
  }
  return lines;
}

std::string DescribePartition(const GuestPartition& partition) {
  return absl::StrCat("partition ", partition.number, " (",
                      partition.description, ")");
}

std::string_view HitInWords(const Picture& picture,
                            const PartitionDamage& damage) {
  if (damage.bytes > 0) return "HIT";
  return picture.damage_incomplete ? "nothing damaged that is listed"
                                   : "not hit";
}

std::vector<DamageLine> DescribePartitionDamage(const Picture& picture) {
  std::vector<DamageLine> lines;
  if (picture.empty) return lines;
  const std::vector<GuestPartition>& partitions = picture.partitions.partitions;
  for (size_t i = 0; i < partitions.size(); ++i) {
    const PartitionDamage& damage = picture.partition_damage[i];
    lines.push_back({absl::StrCat(DescribePartition(partitions[i]), ", ",
                                  HumanBytes(partitions[i].length_bytes), ": ",
                                  DescribeDamage(picture, damage)),
                     damage.bytes > 0});
  }
  const PartitionDamage& outside = picture.partition_damage.back();
  if (outside.bytes > 0 || partitions.empty()) {
    lines.push_back(
        {absl::StrCat(
             partitions.empty() ? "the disk: " : "outside all partitions: ",
             DescribeDamage(picture, outside)),
         outside.bytes > 0});
  }
  const size_t listed =
      std::min(picture.damaged_snapshots.size(), kMaxSnapshotsListed);
  for (size_t i = 0; i < listed; ++i) {
    const SnapshotDamage& snapshot = picture.damaged_snapshots[i];
    lines.push_back(
        {absl::StrCat("snapshot '", checker::Printable(snapshot.name),
                      "': ", HumanBytes(snapshot.bytes), " damaged"),
         true});
  }
  if (picture.other_references > 0) {
    lines.push_back(
        {absl::StrCat("what shares L2 tables with them is hit as well: up to ",
                      Counted(picture.other_references, "more L1 entry names",
                              "more L1 entries name"),
                      " the same table, of snapshots or of the disk"),
         true});
  }
  if (picture.damaged_snapshots.size() > listed) {
    lines.push_back(
        {absl::StrCat("and ",
                      Counted(picture.damaged_snapshots.size() - listed,
                              "more snapshot", "more snapshots"),
                      " with something damaged"),
         true});
  }
  return lines;
}

std::vector<std::string> DescribeLimits(const Picture& picture) {
  std::vector<std::string> limits;
  if (picture.empty) {
    limits.emplace_back(
        "There is no map: too little of the image could be read to say who "
        "owns what.");
    return limits;
  }
  if (!picture.complete && !picture.cut_short) {
    limits.push_back(absl::StrCat(
        "The file has too many runs to draw each: the map counts clusters in "
        "stretches of ",
        HumanBytes(picture.bin_clusters * picture.cluster_size_bytes), ". ",
        picture.all_metadata ? "Metadata is drawn exactly"
                             : "Metadata, too, is exact around damage only",
        picture.exact_omitted
            ? "; so are the first places with damage, but there are too many "
              "for all."
            : "; so is what lies around damage."));
  }
  if (picture.owners_omitted > 0) {
    limits.push_back(absl::StrCat(
        "There are more owners of damaged clusters than are listed: ",
        Counted(picture.owners_omitted, "run is", "runs are"), " left out."));
  }
  if (picture.marks_omitted > 0) {
    limits.push_back(
        Counted(picture.marks_omitted, "more run", "more runs") +
        " of leaked or wrongly counted clusters are in the sums only.");
  }
  if (picture.damage_incomplete && !picture.cut_short) {
    limits.emplace_back(
        "There may be more damage than the map of the disk shows: not every "
        "finding is listed (see --max-problems), or not all of the image could "
        "be read.");
  }
  if (picture.external_data_file) {
    limits.emplace_back(
        "The guest's data is in an external data file, which the map of the "
        "file does not show.");
  }
  if (!picture.counts_known) {
    limits.emplace_back(
        "The refcounts cannot be read: what nobody owns may be free or "
        "leaked.");
  }
  if (picture.cut_short) {
    limits.emplace_back("The check was cancelled: much is missing here.");
  }
  return limits;
}

}  // namespace qcow2::cli
