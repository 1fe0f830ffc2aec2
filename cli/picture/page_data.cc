#include "cli/picture/page_data.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "checker/ownership_runs.h"
#include "checker/printable.h"
#include "checker/problems.h"
#include "cli/picture/describe.h"
#include "cli/picture/html_page.h"
#include "cli/picture/palette.h"
#include "nlohmann/json.hpp"

namespace qcow2::cli {
namespace {

// Of so many segments only the first owners are in the data.
constexpr size_t kManySegments = 32768;
constexpr size_t kOwnersOfMany = 2;

using Json = nlohmann::ordered_json;
using checker::OwnedRun;

// The place of the owner's bit: its kind in the data.
int KindOf(const OwnedRun& owner) { return __builtin_ctz(owner.owner); }

Json OwnerKinds() {
  Json kinds = Json::array();
  for (int i = 0; i < checker::kOwnerCount; ++i) {
    const auto owner = static_cast<checker::Owner>(1u << i);
    std::string_view style = "plain";
    bool cut = false;
    if ((owner & checker::kMetadataOwners) == 0) {
      style = "data";
      cut = owner != checker::kOwnerCompressedData;
    } else if (owner == checker::kOwnerActiveL2 ||
               owner == checker::kOwnerInactiveL2) {
      style = "l2";
    } else if (owner == checker::kOwnerRefcountBlock ||
               owner == checker::kOwnerBitmapTable ||
               owner == checker::kOwnerBitmapData) {
      style = "numbered";
    }
    kinds.push_back({{"name", checker::NameOfOwner(owner)},
                     {"style", style},
                     {"cut", cut},
                     {"guest", owner != checker::kOwnerVmState}});
  }
  return kinds;
}

Json Classes() {
  Json classes = Json::array();
  for (const PaletteRow& row : Palette()) {
    classes.push_back({{"key", row.key},
                       {"name", checker::NameOf(row.cluster_class)},
                       {"notable", IsNotable(row.cluster_class)}});
  }
  return classes;
}

// There can be many segments: they are written as text, without values made of
// them first.
void AppendOwner(const OwnedRun& owner, uint64_t cluster_size,
                 std::string& text) {
  absl::StrAppend(&text, "[", KindOf(owner), ",", owner.disk, ",",
                  owner.references);
  if (checker::IsData(owner)) {
    absl::StrAppend(&text, ",", owner.guest_offset_bytes / cluster_size, ",",
                    ClustersFor(owner.guest_length_bytes, cluster_size), "]");
  } else {
    absl::StrAppend(&text, ",", owner.index, "]");
  }
}

std::string Segments(const Picture& picture) {
  const size_t most = picture.segments.size() > kManySegments
                          ? kOwnersOfMany
                          : Segment::kMaxOwners;
  std::string text = "[";
  for (const Segment& segment : picture.segments) {
    absl::StrAppend(&text, text.size() > 1 ? ",[" : "[", segment.first_cluster,
                    ",", segment.clusters, ",",
                    static_cast<int>(segment.cluster_class), ",",
                    segment.marks);
    // What is empty at the end is left out.
    const bool findings = !segment.findings.empty();
    const size_t listed = std::min(segment.owners.size(), most);
    const uint64_t hidden =
        segment.more_owners + (segment.owners.size() - listed);
    const bool more = hidden > 0 || findings;
    if (!segment.owners.empty() || more) {
      text += ",[";
      for (size_t i = 0; i < listed; ++i) {
        if (i > 0) text += ',';
        AppendOwner(segment.owners[i], picture.cluster_size_bytes, text);
      }
      text += ']';
    }
    if (more) absl::StrAppend(&text, ",", hidden);
    if (findings) {
      absl::StrAppend(&text, ",[", absl::StrJoin(segment.findings, ","), "]");
    }
    text += ']';
  }
  return text + "]";
}

// [[repeats, values ...], ...]: like neighbours once.
class RunLengths {
 public:
  void Add(std::vector<uint64_t> values) {
    if (repeats_ > 0 && values == values_) {
      ++repeats_;
      return;
    }
    Put();
    values_ = std::move(values);
    repeats_ = 1;
  }

  Json Take() {
    Put();
    return std::move(runs_);
  }

 private:
  void Put() {
    if (repeats_ == 0) return;
    Json run = Json::array({repeats_});
    for (const uint64_t value : values_) run.push_back(value);
    runs_.push_back(std::move(run));
    repeats_ = 0;
  }

  Json runs_ = Json::array();
  std::vector<uint64_t> values_;
  uint64_t repeats_ = 0;
};

Json Rest(const Picture& picture) {
  RunLengths runs;
  for (const checker::FileBin& bin : picture.rest) {
    std::vector<uint64_t> values = {
        (bin.overlapping > 0 ? uint64_t{kMarkOverlap} : 0) |
        (bin.count_too_low > 0 ? uint64_t{kMarkDamaged} : 0)};
    for (size_t i = 0; i < bin.clusters.size(); ++i) {
      if (bin.clusters[i] == 0) continue;
      values.push_back(i);
      values.push_back(bin.clusters[i]);
    }
    runs.Add(std::move(values));
  }
  return runs.Take();
}

Json GuestBins(const Picture& picture) {
  RunLengths runs;
  if (!picture.guest_complete) {
    for (const checker::GuestBin& bin : picture.guest_bins) {
      runs.Add({bin.stored, bin.compressed});
    }
  }
  return runs.Take();
}

Json GuestDamage(const Picture& picture) {
  Json damaged = Json::array();
  uint64_t end = 0;  // of the last one
  for (const DamagedRange& range : picture.damaged) {
    const uint64_t size = picture.cluster_size_bytes;
    const uint64_t first = std::max(end, range.offset_bytes / size);
    const uint64_t stop =
        std::min(ClustersFor(range.offset_bytes + range.length_bytes, size),
                 ClustersFor(picture.guest_size_bytes, size));
    if (stop <= first) continue;
    damaged.push_back({first, stop - first});
    end = stop;
  }
  return damaged;
}

Json Guest(const Picture& picture) {
  const uint64_t size = picture.cluster_size_bytes;
  Json segments = Json::array();
  for (const GuestSegment& segment : picture.guest_segments) {
    segments.push_back({segment.offset_bytes / size,
                        ClustersFor(segment.length_bytes, size),
                        segment.first_cluster, segment.compressed ? 1 : 0});
  }
  Json partitions = Json::array();
  size_t tint = 0;
  for (const GuestPartition& partition : picture.partitions.partitions) {
    partitions.push_back({{"offset", partition.offset_bytes},
                          {"length", partition.length_bytes},
                          {"name", DescribePartition(partition)},
                          {"tint", tint++ % kPartitionTints}});
  }
  return {{"clusters", ClustersFor(picture.guest_size_bytes, size)},
          {"complete", picture.guest_complete},
          {"segments", std::move(segments)},
          {"binClusters", picture.guest_bin_bytes / size},
          {"bins", GuestBins(picture)},
          {"damaged", GuestDamage(picture)},
          {"partitions", std::move(partitions)}};
}

Json Findings(const checker::CheckReport& report) {
  Json findings = Json::object();
  for (const auto* list : {&report.problems, &report.warnings}) {
    for (const checker::Finding& finding : *list) {
      if (findings.size() == kMaxPageFindings) return findings;
      findings[std::to_string(finding.id)] =
          checker::RowOf(finding.problem).code;
    }
  }
  return findings;
}

// The same JSON without what could end a script element.
std::string WithoutMarkup(const std::string& json) {
  std::string text;
  for (const char character : json) {
    if (character == '<') {
      text += "\\u003c";
    } else if (character == '>') {
      text += "\\u003e";
    } else if (character == '&') {
      text += "\\u0026";
    } else {
      text += character;
    }
  }
  return text;
}

}  // namespace

std::string PageData(const Picture& picture,
                     const checker::CheckReport& report) {
  if (picture.empty) return R"({"clusters":0})";
  Json disks = Json::array();
  for (const std::string& name : picture.disk_names) {
    disks.push_back(checker::Printable(name));
  }
  const Json data = {{"clusterSize", picture.cluster_size_bytes},
                     {"clusters", picture.file_clusters},
                     {"complete", picture.complete},
                     {"classes", Classes()},
                     {"owners", OwnerKinds()},
                     {"disks", std::move(disks)},
                     {"binClusters", picture.bin_clusters},
                     {"rest", Rest(picture)},
                     {"guest", Guest(picture)},
                     {"findings", Findings(report)}};
  std::string text = WithoutMarkup(data.dump(-1, ' ', /*ensure_ascii=*/true,
                                             Json::error_handler_t::replace));
  text.pop_back();
  return text + ",\"segments\":" + Segments(picture) + "}";
}

}  // namespace qcow2::cli
