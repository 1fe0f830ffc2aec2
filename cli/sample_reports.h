// Reports made by hand that the tests of the printers share.
#ifndef CLI_SAMPLE_REPORTS_H_
#define CLI_SAMPLE_REPORTS_H_

#include "checker/report.h"
#include "cli/image_report.h"

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
// CorruptReport() repaired: all but the leak is mended, one guest range is
// recovered, the undo file is kept.
ImageReport RepairedReport();
// The same as a dry run.
ImageReport PlannedReport();
// A plan that failed its proof.
ImageReport NotProvenReport();
// A commit that broke off half way.
ImageReport PendingReport();
// A repair that was taken back.
ImageReport UndoneReport();
// Free clusters whose space was given back, and the undo file with it.
ImageReport DiscardedReport();
// A repair of a clean image behind a journal that had to be finished first.
ImageReport RecoveredReport();

// A finding with every field that JSON can have, whatever it means.
checker::CheckReport FullReport();

}  // namespace qcow2::cli

#endif  // CLI_SAMPLE_REPORTS_H_
