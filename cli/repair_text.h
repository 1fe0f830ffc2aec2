// What a repair, a recovery or an undo did, for people.
//
// Pure, no I/O.
#ifndef CLI_REPAIR_TEXT_H_
#define CLI_REPAIR_TEXT_H_

#include <string>

#include "cli/image_report.h"

namespace qcow2::cli {

// How the transaction ended, for the first line of a report: "REPAIRED: 3
// corruptions, 4 leaks mended; the image is clean". The report has one.
std::string TransactionVerdict(const ImageReport& report);

// The paragraphs behind the findings: plan, guest data, proof, commit, undo,
// what is left and why. Each begins with an empty line.
std::string TransactionText(const ImageReport& report);

// What the owner of the image had better do now. One paragraph.
std::string TransactionAdvice(const ImageReport& report);

}  // namespace qcow2::cli

#endif  // CLI_REPAIR_TEXT_H_
