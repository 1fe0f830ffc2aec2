// What is printed of one image: the check, and the repair if there was one.
//
// Values and what follows from them; no I/O.
#ifndef CLI_IMAGE_REPORT_H_
#define CLI_IMAGE_REPORT_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "checker/report.h"
#include "cli/image_change.h"
#include "repair/transaction_report.h"

namespace qcow2::cli {

struct ImageReport {
  // What was found: of the image as it was before a repair.
  checker::CheckReport found;
  // With a transaction: what is in the image as planned or made by it.
  std::optional<checker::CheckReport> after = std::nullopt;
  std::optional<repair::TransactionReport> transaction = std::nullopt;
  // With a baseline: what is printed is the change since then.
  std::optional<ImageChange> change = std::nullopt;
  // What the baseline knows of an image that this check came to no verdict of:
  // a JSON object, or empty.
  std::string known = {};
};

ImageReport FromRepair(repair::RepairReport report);

// Puts `finding` behind those of the report, with an id of its own. The counts
// stay.
void AddFinding(checker::Finding finding, checker::CheckReport& report);

enum class ImageStatus {
  kClean,
  kLeaks,
  kCorrupt,
  kRepaired,           // damage was mended and none is left
  kPartiallyRepaired,  // damage was mended and some is left
  kInconclusive,
  kError,
};
// "clean", "leaks", "corrupt", "repaired", "partially-repaired",
// "inconclusive", "error".
std::string_view NameOf(ImageStatus status);

// How many images have each ImageStatus, which is the index.
using StatusCounts = std::array<uint64_t, 7>;
// "clean 3, corrupt 1": those that there are.
std::string StatusesInWords(const StatusCounts& by_status);

// Whether this run mended something in the image.
bool Mended(const ImageReport& report);

// The check of the image as it is now.
const checker::CheckReport& Now(const ImageReport& report);

ImageStatus StatusOf(const ImageReport& report);

// Space that leaked in the image as it is now.
uint64_t LeakedBytes(const ImageReport& report);

}  // namespace qcow2::cli

#endif  // CLI_IMAGE_REPORT_H_
