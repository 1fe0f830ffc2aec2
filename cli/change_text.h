// What is new or gone in an image, for people.
//
// Pure, no I/O.
#ifndef CLI_CHANGE_TEXT_H_
#define CLI_CHANGE_TEXT_H_

#include <string>

#include "cli/image_report.h"

namespace qcow2::cli {

// The change of a report that has one.
std::string ChangeText(const ImageReport& report);

}  // namespace qcow2::cli

#endif  // CLI_CHANGE_TEXT_H_
