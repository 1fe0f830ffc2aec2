// What the tests of this folder share: repairs planned for images in memory,
// questions to a plan and to a report, and bytes read back.
#ifndef REPAIR_TESTING_H_
#define REPAIR_TESTING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checker/report.h"
#include "checker/test_image.h"
#include "engine/format/header.h"
#include "engine/storage/file.h"
#include "engine/storage/overlay_file.h"
#include "repair/planner.h"

namespace qcow2::repair {

// Where TestImage has its structures, in clusters.
inline constexpr uint64_t kRefcountTable = checker::TestImage::kRefcountTable;
inline constexpr uint64_t kRefcountBlock = checker::TestImage::kRefcountBlock;
inline constexpr uint64_t kL1 = checker::TestImage::kL1;
inline constexpr uint64_t kL2 = checker::TestImage::kL2;
inline constexpr uint64_t kData = checker::TestImage::kData;
inline constexpr uint64_t kFree = checker::TestImage::kFree;

// ---- plans ------------------------------------------------------------------

RepairOptions WithMode(Mode mode);

struct Planned {
  PlannedRepair repair;
  std::unique_ptr<OverlayFile> view;
};

// Plans a repair and expects that the plan can be proven: whatever is mended,
// it names all that reads otherwise.
Planned PlanFor(const File& image, RepairOptions options = {});

// The same with deep checks.
Planned PlanDeeply(const File& image, RepairOptions options = {});

// What is known of a report's findings, a line each.
std::string Describe(const checker::CheckReport& report);

// The first edit that answers `problem`, or null.
const Edit* EditOf(const Planned& planned, checker::Problem problem);

// "lost 4096+4096", "recovered 0+512before" ..., in order: offset and length in
// bytes, and the snapshot.
std::vector<std::string> GuestChangesOf(const Planned& planned);

void ExpectClean(const checker::CheckReport& report);

// Expects that another plan has nothing to do.
void ExpectNothingMore(const File& view, const RepairOptions& options = {});

// The view is clean and was planned to the end, and there is nothing more to
// do.
void ExpectCleanAndDone(const Planned& planned,
                        const RepairOptions& options = {});

// Plans the repair of an image with `problem`, with deep checks: the plan
// answers it, in words, and the view is clean and done.
Planned ExpectMended(checker::TestImage& image, checker::Problem problem,
                     RepairOptions options = {});

// The image has `problem`, and a repair changes nothing at all.
void ExpectLeft(checker::TestImage& image, checker::Problem problem,
                const RepairOptions& options = {});

// ---- bytes ------------------------------------------------------------------

// What lies past the end of the file reads as zeros.
std::vector<std::byte> BytesAt(const File& file, uint64_t offset,
                               uint64_t length);
uint32_t Be32At(const File& file, uint64_t offset);
uint64_t Be64At(const File& file, uint64_t offset);

Header HeaderOf(const File& file);

// Where the header extension of `type` stands, or 0.
uint64_t PlaceOf(const File& file, uint32_t type);

// `length` bytes of English text: no table, and no zeros.
std::string Prose(size_t length);

// The L2 entry for compressed data at `offset` that goes on for `sectors` more
// sectors.
uint64_t CompressedWord(const checker::TestImage& image, uint64_t offset,
                        uint64_t sectors);

}  // namespace qcow2::repair

#endif  // REPAIR_TESTING_H_
