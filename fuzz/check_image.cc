// Any bytes are a file to check: the check ends, its report agrees with itself,
// and it is the same however many threads and however little memory it has.
// Inputs are images damaged field by field (image_mutator.h).
//
// The whole input is the file. Its last byte, which lies in no structure most
// of the time, also chooses the options, so that any image is an input.
#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "checker/check.h"
#include "engine/format/byte_order.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "fuzz/fuzz_target.h"
#include "fuzz/image_mutator.h"

namespace {

using qcow2::checker::CheckImage;
using qcow2::checker::CheckOptions;
using qcow2::checker::CheckReport;
using qcow2::checker::CheckStatus;
using qcow2::checker::Finding;
using qcow2::checker::OverlapClasses;
using qcow2::checker::RowOf;
using qcow2::checker::Severity;

constexpr size_t kMaxInputBytes = size_t{256} << 10;
// With zeros up to here, clusters of 512 bytes are in four parts of the
// reference map rather than one, which is what a memory limit needs to bite.
constexpr uint64_t kLongFileBytes = uint64_t{64} << 20;

// A file with a hole at its end.
class LongFile : public qcow2::ForwardingFile {
 public:
  LongFile(qcow2::MemoryFile& file, uint64_t size)
      : ForwardingFile(file),
        size_(std::max<uint64_t>(size, file.bytes().size())) {}

  absl::StatusOr<uint64_t> Size() const override { return size_; }
  absl::StatusOr<qcow2::ByteRange> NextData(uint64_t offset) const override {
    auto data = target().NextData(offset);
    if (data.ok() && data->length == 0) data->offset = size_;
    return data;
  }

 private:
  const uint64_t size_;
};

// The magic of qcow2. Without it all of a file is searched for what is left of
// an image, which a long one makes slow and no more telling.
bool HasMagic(std::span<const std::byte> input) {
  constexpr uint32_t kMagic = 0x514649fb;
  return input.size() >= 4 && qcow2::LoadBe32(input.data()) == kMagic;
}

CheckOptions ChooseOptions(uint8_t choice) {
  CheckOptions options;
  options.jobs = 1;
  options.qemu_compatible = (choice & 1) != 0;
  options.deep = (choice & 2) != 0;
  options.max_problems = (choice & 4) != 0 ? 3 : 1000;
  if ((choice & 8) != 0) options.overlap = OverlapClasses::Cached();
  return options;
}

uint64_t Occurrences(const std::vector<Finding>& findings, Severity severity) {
  uint64_t sum = 0;
  for (const Finding& finding : findings) {
    if (RowOf(finding.problem).severity == severity) sum += finding.count;
  }
  return sum;
}

// The counts are of all that was found; the lists may be shorter.
void CheckCounts(const CheckReport& report, Severity severity, uint64_t count,
                 const std::vector<Finding>& findings) {
  const uint64_t listed = Occurrences(findings, severity);
  FUZZ_CHECK(listed <= count);
  FUZZ_CHECK(report.problems_omitted > 0 || listed == count);
}

void CheckStatusOf(const CheckReport& report) {
  switch (report.status) {
    case CheckStatus::kClean:
      FUZZ_CHECK(report.counts.corruptions == 0 && report.counts.leaks == 0);
      FUZZ_CHECK(report.errors.empty());
      break;
    case CheckStatus::kLeaks:
      FUZZ_CHECK(report.counts.corruptions == 0 && report.counts.leaks > 0);
      break;
    case CheckStatus::kCorrupt:
      FUZZ_CHECK(report.counts.corruptions > 0);
      break;
    case CheckStatus::kInconclusive:
      FUZZ_CHECK(!report.errors.empty());
      break;
    case CheckStatus::kError:
      FUZZ_CHECK(!report.image.recognised);
      break;
  }
  FUZZ_CHECK(report.counts.suspect_orphans <= report.counts.leaks);
  FUZZ_CHECK(report.counts.unreadable_bytes == 0);
}

std::vector<const Finding*> AllFindings(const CheckReport& report) {
  std::vector<const Finding*> all;
  for (const Finding& finding : report.problems) all.push_back(&finding);
  for (const Finding& finding : report.warnings) all.push_back(&finding);
  return all;
}

void CheckFindings(const CheckReport& report) {
  std::vector<uint32_t> ids;
  for (const Finding* finding : AllFindings(report)) {
    FUZZ_CHECK(finding->id > 0 && finding->count > 0);
    ids.push_back(finding->id);
    const std::string text = DescribeFinding(*finding);
    FUZZ_CHECK(!text.empty() && text.find('\n') == std::string::npos);
    FUZZ_CHECK(!DescribeWhere(*finding).empty());
  }
  std::sort(ids.begin(), ids.end());
  FUZZ_CHECK(std::adjacent_find(ids.begin(), ids.end()) == ids.end());
  for (const Finding* finding : AllFindings(report)) {
    FUZZ_CHECK(finding->root_cause > 0);
    // What explains it may have been left out of the lists.
    if (report.problems_omitted > 0) continue;
    FUZZ_CHECK(std::binary_search(ids.begin(), ids.end(), finding->root_cause));
  }
}

void CheckItself(const CheckReport& report) {
  CheckCounts(report, Severity::kCorruption, report.counts.corruptions,
              report.problems);
  CheckCounts(report, Severity::kLeak, report.counts.leaks, report.problems);
  CheckCounts(report, Severity::kWarning, report.counts.warnings,
              report.warnings);
  CheckCounts(report, Severity::kNote, report.counts.notes, report.warnings);
  CheckStatusOf(report);
  CheckFindings(report);
}

void CheckSameCounts(const CheckReport& a, const CheckReport& b) {
  FUZZ_CHECK(a.status == b.status);
  FUZZ_CHECK(a.errors == b.errors);
  FUZZ_CHECK(a.counts.corruptions == b.counts.corruptions);
  FUZZ_CHECK(a.counts.leaks == b.counts.leaks);
  FUZZ_CHECK(a.counts.warnings == b.counts.warnings);
  FUZZ_CHECK(a.counts.notes == b.counts.notes);
  FUZZ_CHECK(a.qemu.corruptions == b.qemu.corruptions);
  FUZZ_CHECK(a.qemu.leaks == b.qemu.leaks);
  FUZZ_CHECK(a.qemu.check_errors == b.qemu.check_errors);
  FUZZ_CHECK(a.qemu.unseen == b.qemu.unseen);
  FUZZ_CHECK(a.qemu.refused == b.qemu.refused);
  FUZZ_CHECK(a.allocation.allocated_clusters ==
             b.allocation.allocated_clusters);
  FUZZ_CHECK(a.image.image_end_offset_bytes == b.image.image_end_offset_bytes);
}

std::vector<std::string> Lines(const CheckReport& report) {
  std::vector<std::string> lines;
  for (const Finding* finding : AllFindings(report)) {
    lines.push_back(std::to_string(finding->id) + " " +
                    std::to_string(finding->root_cause) + " " +
                    DescribeFinding(*finding));
  }
  return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > kMaxInputBytes) return 0;
  const auto input = qcow2::fuzz::InputBytes(data, size);
  const uint8_t choice = size == 0 ? 0 : data[size - 1];
  qcow2::MemoryFile memory({input.begin(), input.end()});
  // One in eight: a long file takes a hundred times as long.
  const LongFile file(memory, (choice & 0x70) == 0x10 && HasMagic(input)
                                  ? kLongFileBytes
                                  : size);

  CheckOptions options = ChooseOptions(choice);
  const CheckReport report = CheckImage(file, "fuzz", options);
  CheckItself(report);

  options.jobs = 2;
  const CheckReport two_threads = CheckImage(file, "fuzz", options);
  CheckSameCounts(report, two_threads);
  FUZZ_CHECK(Lines(report) == Lines(two_threads));

  options.memory_limit_bytes = 1;
  const CheckReport little_memory = CheckImage(file, "fuzz", options);
  CheckItself(little_memory);
  CheckSameCounts(report, little_memory);
  FUZZ_CHECK(std::equal(input.begin(), input.end(), memory.bytes().begin()));
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size,
                                          size_t max_size, unsigned int seed) {
  return qcow2::fuzz::MutateImage(data, size, max_size, seed);
}
