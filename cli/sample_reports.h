// Reports made by hand that the tests of the printers share.
#ifndef CLI_SAMPLE_REPORTS_H_
#define CLI_SAMPLE_REPORTS_H_

#include "checker/report.h"

namespace qcow2::cli {

// A clean image of 1 GiB with a snapshot.
checker::CheckReport CleanReport();
// The same with two leaked clusters.
checker::CheckReport LeakyReport();
// A broken L2 entry (#1) that causes a suspect leak (#2), a refcount that is
// too low (#3), and a warning (#4).
checker::CheckReport CorruptReport();
// A file that could not be opened.
checker::CheckReport UnopenedReport();
// A finding with every field that JSON can have, whatever it means.
checker::CheckReport FullReport();

}  // namespace qcow2::cli

#endif  // CLI_SAMPLE_REPORTS_H_
