// Any bytes are a file to draw: asking who owns which cluster changes nothing
// of what is found, the map is in order and about the whole file, and nothing
// in the image becomes markup or script of the page.
// Inputs are images damaged field by field (image_mutator.h).
//
// The whole input is the file. Its last byte also chooses the options, so that
// any image is an input.
#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

#include "checker/check.h"
#include "checker/ownership_map.h"
#include "cli/picture/guest_partitions.h"
#include "cli/picture/html_page.h"
#include "cli/picture/page_data.h"
#include "cli/picture/picture.h"
#include "cli/picture/svg_map.h"
#include "engine/storage/memory_file.h"
#include "fuzz/fuzz_target.h"
#include "fuzz/image_mutator.h"
#include "nlohmann/json.hpp"

namespace {

using qcow2::checker::CheckImage;
using qcow2::checker::CheckOptions;
using qcow2::checker::CheckReport;
using qcow2::checker::Finding;
using qcow2::checker::OwnershipMap;
using qcow2::cli::GuestSegment;
using qcow2::cli::Picture;
using qcow2::cli::Segment;

constexpr size_t kMaxInputBytes = size_t{256} << 10;
// What a page of so small an image may be at most, its script and style apart.
constexpr size_t kMaxPageBytes = size_t{16} << 20;

CheckOptions ChooseOptions(uint8_t choice) {
  CheckOptions options;
  options.jobs = 1 + (choice & 1);
  options.deep = (choice & 2) != 0;
  if ((choice & 4) != 0) options.max_problems = 3;
  if ((choice & 8) != 0) options.memory_limit_bytes = 1;
  return options;
}

std::vector<std::string> Lines(const std::vector<Finding>& findings) {
  std::vector<std::string> lines;
  for (const Finding& finding : findings) {
    lines.push_back(DescribeFinding(finding));
  }
  return lines;
}

void CheckSameReport(const CheckReport& a, const CheckReport& b) {
  FUZZ_CHECK(a.status == b.status);
  FUZZ_CHECK(a.errors == b.errors);
  FUZZ_CHECK(a.counts.corruptions == b.counts.corruptions);
  FUZZ_CHECK(a.counts.leaks == b.counts.leaks);
  FUZZ_CHECK(a.problems_omitted == b.problems_omitted);
  FUZZ_CHECK(Lines(a.problems) == Lines(b.problems));
  FUZZ_CHECK(Lines(a.warnings) == Lines(b.warnings));
}

template <typename Run>
void CheckSorted(const std::vector<Run>& runs) {
  FUZZ_CHECK(
      std::is_sorted(runs.begin(), runs.end(), [](const Run& a, const Run& b) {
        return a.first_cluster < b.first_cluster;
      }));
}

void CheckOwnership(const OwnershipMap& map) {
  if (map.cluster_size_bytes == 0) {
    FUZZ_CHECK(map.owned.empty() && map.marks.empty() && map.bins.empty());
    return;
  }
  FUZZ_CHECK(map.owned.size() <= OwnershipMap::kMaxRuns);
  FUZZ_CHECK(map.marks.size() <= OwnershipMap::kMaxRuns);
  FUZZ_CHECK(map.bins.size() <= OwnershipMap::kMaxBins);
  FUZZ_CHECK(map.guest_bins.size() <= OwnershipMap::kMaxBins);
  FUZZ_CHECK(!map.disk_names.empty());
  FUZZ_CHECK(map.disk_names.size() == map.disk_snapshots.size());
  CheckSorted(map.owned);
  CheckSorted(map.marks);
  for (const auto& run : map.owned) {
    FUZZ_CHECK(run.clusters > 0 && run.disk < map.disk_names.size());
  }
  for (const auto& hit : map.hits) {
    FUZZ_CHECK(hit.disk < map.disk_names.size());
  }
}

void CheckSegments(const Picture& picture) {
  uint64_t end = 0;
  for (const Segment& segment : picture.segments) {
    FUZZ_CHECK(segment.clusters > 0 && segment.first_cluster >= end);
    FUZZ_CHECK(!picture.complete || segment.first_cluster == end);
    FUZZ_CHECK(segment.owners.size() <= Segment::kMaxOwners);
    FUZZ_CHECK(segment.findings.size() <= Segment::kMaxFindings);
    end = segment.first_cluster + segment.clusters;
  }
  FUZZ_CHECK(!picture.complete || end == picture.file_clusters);
  uint64_t guest_end = 0;
  for (const GuestSegment& segment : picture.guest_segments) {
    FUZZ_CHECK(segment.length_bytes > 0 && segment.offset_bytes >= guest_end);
    guest_end = segment.offset_bytes + segment.length_bytes;
  }
  uint64_t damaged_end = 0;
  for (const auto& range : picture.damaged) {
    FUZZ_CHECK(range.length_bytes > 0 && range.offset_bytes >= damaged_end);
    damaged_end = range.offset_bytes + range.length_bytes;
  }
}

std::string LowerCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return text;
}

size_t Occurrences(const std::string& text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos;
       at = text.find(part, at + part.size())) {
    ++count;
  }
  return count;
}

// The elements that can do something are those of any page.
void CheckPage(const std::string& page, const std::string& empty_page) {
  FUZZ_CHECK(page.size() <= kMaxPageBytes);
  for (const std::string_view part :
       {"<script", "</script", "<style", "<iframe", "<object", "<embed",
        "<link", "<base", "<form", "<meta", "javascript:"}) {
    FUZZ_CHECK(Occurrences(page, part) == Occurrences(empty_page, part));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > kMaxInputBytes) return 0;
  const auto input = qcow2::fuzz::InputBytes(data, size);
  qcow2::MemoryFile file({input.begin(), input.end()});

  CheckOptions options = ChooseOptions(size == 0 ? 0 : data[size - 1]);
  const CheckReport plain = CheckImage(file, "fuzz", options);
  OwnershipMap map;
  options.ownership = &map;
  const qcow2::cli::ImageReport report{.found =
                                           CheckImage(file, "fuzz", options)};
  CheckSameReport(plain, report.found);
  CheckOwnership(map);

  const Picture picture =
      MakePicture(map, report.found, qcow2::cli::ReadGuestPartitions(file));
  CheckSegments(picture);
  FUZZ_CHECK(nlohmann::json::accept(PageData(picture, report.found)));
  CheckPage(LowerCase(HtmlPage(report, picture, 0)),
            LowerCase(HtmlPage({.found = CheckReport()}, Picture(), 0)));
  const std::string svg = SvgDocument(picture, "<script>", "<script>");
  FUZZ_CHECK(Occurrences(LowerCase(svg), "<script") == 0);
  FUZZ_CHECK(std::equal(input.begin(), input.end(), file.bytes().begin()));
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size,
                                          size_t max_size, unsigned int seed) {
  return qcow2::fuzz::MutateImage(data, size, max_size, seed);
}
