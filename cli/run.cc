#include "cli/run.h"

#include <optional>
#include <string>
#include <utility>

#include "cli/exit_code.h"
#include "cli/explain.h"
#include "cli/fleet/check_many.h"
#include "cli/fleet/merge.h"
#include "cli/output_file.h"
#include "cli/outputs.h"
#include "cli/picture/picture.h"
#include "cli/session.h"
#include "engine/status_macros.h"

namespace qcow2::cli {
namespace {

int RunExplain(const Options& options, const Surroundings& surroundings) {
  const std::optional<std::string> text = Explain(options.explain);
  if (!text) {
    Complain(surroundings, "there is no problem '" + options.explain +
                               "'; --explain=list lists all");
    return kExitUsageError;
  }
  const absl::Status written =
      WriteAll(surroundings.standard_output, *text, "standard output");
  if (written.ok()) return kExitClean;
  Complain(surroundings, written);
  return kExitOperationalError;
}

// Repairs are done one by one: each wants all threads and memory.
absl::Status ProcessAll(const Options& options,
                        const Surroundings& surroundings, Outputs& outputs,
                        int& exit_code) {
  for (const std::string& image : options.images) {
    if (surroundings.cancel != nullptr && *surroundings.cancel) {
      exit_code |= kExitCancelled;  // there are images left
      break;
    }
    PictureParts parts;
    const ImageReport report = ProcessImage(
        image, options, surroundings, WantsPicture(options) ? &parts : nullptr);
    exit_code |= ExitCodeOf(report);
    RETURN_IF_ERROR(outputs.Add(report));
    if (WantsPicture(options)) {
      RETURN_IF_ERROR(
          outputs.AddPicture(report, MakePicture(parts.ownership, report.found,
                                                 std::move(parts.partitions))));
    }
    if (report.found.cancelled) break;
  }
  return outputs.End(nullptr);
}

}  // namespace

int Run(const Options& options, const Surroundings& surroundings) {
  if (!options.explain.empty()) return RunExplain(options, surroundings);
  if (options.fleet.merge) return Merge(options, surroundings);
  Outputs outputs(options, surroundings);
  if (absl::Status opened = outputs.Open(options); !opened.ok()) {
    Complain(surroundings, opened);
    return absl::IsInvalidArgument(opened) ? kExitUsageError
                                           : kExitOperationalError;
  }
  int exit_code = kExitClean;
  const absl::Status done =
      ChecksMany(options)
          ? CheckMany(options, surroundings, outputs, exit_code)
          : ProcessAll(options, surroundings, outputs, exit_code);
  if (done.ok()) return exit_code;
  Complain(surroundings, done);
  return exit_code | kExitOperationalError;
}

}  // namespace qcow2::cli
