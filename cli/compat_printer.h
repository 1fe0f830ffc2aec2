// --compat=qemu-img: the texts, keys and exit codes of `qemu-img check` 7.2.
//
// Pure, no I/O.
#ifndef CLI_COMPAT_PRINTER_H_
#define CLI_COMPAT_PRINTER_H_

#include <cstdint>
#include <string>

#include "checker/report.h"
#include "cli/exit_code.h"

namespace qcow2::cli {

// What a repair mended, as qemu-img counts.
struct CompatFixed {
  uint64_t corruptions = 0;
  uint64_t leaks = 0;

  bool any() const { return corruptions > 0 || leaks > 0; }
};

// From a check before and a check after a repair.
CompatFixed CompatFixedBetween(const checker::CheckReport& before,
                               const checker::CheckReport& after);

// What goes to standard output with --output=human, and with --output=json. A
// report with something fixed is the one of the check afterwards.
std::string CompatHumanReport(const checker::CheckReport& report,
                              const CompatFixed& fixed = {});
std::string CompatJsonReport(const checker::CheckReport& report,
                             const CompatFixed& fixed = {});

// The lines for standard error: one a finding (a run is one line), in
// qemu-img's words for refcounts and in ours for the rest.
std::string CompatFindingLines(const checker::CheckReport& report);

// Of an image that was checked. Errors while checking win over corruptions,
// corruptions over leaks. What qemu-img does not see counts as corruption.
CompatExitCode CompatExitCodeOf(const checker::CheckReport& report);

}  // namespace qcow2::cli

#endif  // CLI_COMPAT_PRINTER_H_
