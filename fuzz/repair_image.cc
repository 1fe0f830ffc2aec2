// Any bytes are a file to repair: planning ends, leaves the file alone, what
// the view reads as is what its own check says of it, and where that is clean
// there is nothing more to repair. The proof of the plan comes to an end, too.
//
// The input's last byte also chooses the options.
#include <algorithm>
#include <memory>
#include <vector>

#include "checker/check.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/overlay_file.h"
#include "fuzz/fuzz_target.h"
#include "fuzz/image_mutator.h"
#include "repair/planner.h"
#include "repair/proof.h"

namespace {

using qcow2::MemoryFile;
using qcow2::OverlayFile;
using qcow2::checker::CheckReport;
using qcow2::checker::CheckStatus;
using qcow2::repair::Mode;
using qcow2::repair::PlannedRepair;
using qcow2::repair::PlanRepair;
using qcow2::repair::RepairOptions;

constexpr size_t kMaxInputBytes = size_t{256} << 10;
// An image this small is never made longer than that: a refcount table, its
// blocks and copies of every cluster.
constexpr uint64_t kLargestCluster = uint64_t{2} << 20;
constexpr uint64_t kMaxGrowth = uint64_t{64} << 20;

RepairOptions ChooseOptions(uint8_t choice) {
  RepairOptions options;
  options.check.jobs = 1;
  constexpr Mode kModes[] = {Mode::kAll, Mode::kAll, Mode::kLeaks,
                             Mode::kSalvage};
  options.mode = kModes[choice % 4];
  options.free_suspects = (choice & 4) != 0;
  options.can_grow = (choice & 8) == 0;
  return options;
}

PlannedRepair Plan(const qcow2::File& file, OverlayFile& view,
                   const RepairOptions& options) {
  absl::StatusOr<PlannedRepair> planned =
      PlanRepair(file, "input", view, options);
  FUZZ_CHECK(planned.ok());
  return *std::move(planned);
}

std::vector<std::byte> BytesOf(const qcow2::File& file) {
  std::vector<std::byte> bytes(file.Size().value_or(0));
  FUZZ_CHECK(ReadZeroFilled(file, 0, bytes).ok());
  return bytes;
}

void ExpectSameFindings(const CheckReport& a, const CheckReport& b) {
  FUZZ_CHECK(a.status == b.status);
  FUZZ_CHECK(a.counts.corruptions == b.counts.corruptions);
  FUZZ_CHECK(a.counts.leaks == b.counts.leaks);
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size,
                                          size_t max_size, unsigned int seed) {
  return qcow2::fuzz::MutateImage(data, size, max_size, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > kMaxInputBytes) return 0;
  const auto input = qcow2::fuzz::InputBytes(data, size);
  const std::vector<std::byte> bytes(input.begin(), input.end());
  const MemoryFile file(bytes);
  const RepairOptions options = ChooseOptions(data[size - 1]);
  const std::unique_ptr<OverlayFile> view = *OverlayFile::Create(file);
  const PlannedRepair planned = Plan(file, *view, options);
  FUZZ_CHECK(std::ranges::equal(file.bytes(), bytes));
  const uint64_t new_size = view->Size().value_or(0);
  FUZZ_CHECK(new_size >= size && new_size <= size + kMaxGrowth);
  // A table in a cluster that the end of the file cuts off may be completed.
  FUZZ_CHECK(options.can_grow || new_size < size + kLargestCluster);
  if (planned.plan.empty()) FUZZ_CHECK(view->DirtyRanges().empty());
  if (planned.before.status == CheckStatus::kClean) {
    // Warnings may be mended, too.
    FUZZ_CHECK(planned.after.status == CheckStatus::kClean);
  }

  const qcow2::repair::ProofResult proof =
      qcow2::repair::Prove(file, *view, planned, {});
  FUZZ_CHECK(proof.ok == proof.failures.empty());

  const MemoryFile repaired(BytesOf(*view));
  const std::unique_ptr<OverlayFile> again = *OverlayFile::Create(repaired);
  const PlannedRepair second = Plan(repaired, *again, options);
  ExpectSameFindings(planned.after, second.before);
  // With damage left a second repair may go on where the first one had to stop:
  // what was freed or found by then is room and evidence.
  if (planned.after.status != CheckStatus::kClean) return 0;
  FUZZ_CHECK(second.plan.empty());
  FUZZ_CHECK(again->DirtyRanges().empty());
  return 0;
}
