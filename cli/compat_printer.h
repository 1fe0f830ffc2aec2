// --compat=qemu-img: the texts, keys and exit codes of `qemu-img check` 7.2.
//
// Pure, no I/O.
#ifndef CLI_COMPAT_PRINTER_H_
#define CLI_COMPAT_PRINTER_H_

#include <string>

#include "checker/report.h"
#include "cli/exit_code.h"

namespace qcow2::cli {

// What goes to standard output with --output=human, and with --output=json.
std::string CompatHumanReport(const checker::CheckReport& report);
std::string CompatJsonReport(const checker::CheckReport& report);

// The lines for standard error: one a finding (a run is one line), in
// qemu-img's words for refcounts and in ours for the rest.
std::string CompatFindingLines(const checker::CheckReport& report);

// Of an image that was checked. Errors while checking win over corruptions,
// corruptions over leaks. What qemu-img does not see counts as corruption.
CompatExitCode CompatExitCodeOf(const checker::CheckReport& report);

}  // namespace qcow2::cli

#endif  // CLI_COMPAT_PRINTER_H_
