// The report as text for a person: what is wrong, where, which guest data is
// concerned, what a repair would do, and what to do next.
//
// Pure, no I/O. Everything that comes from the image is made printable.
#ifndef CLI_HUMAN_PRINTER_H_
#define CLI_HUMAN_PRINTER_H_

#include <string>

#include "cli/image_report.h"

namespace qcow2::cli {

// The first line of a report without the name of the image: "CORRUPT: 3
// corruptions, 4 leaks".
std::string VerdictInWords(const ImageReport& report);

// What the owner of the image had better do now; empty if nothing.
std::string AdviceInWords(const ImageReport& report);

// The whole report of one image, ending with a newline.
std::string HumanReport(const ImageReport& report);

}  // namespace qcow2::cli

#endif  // CLI_HUMAN_PRINTER_H_
