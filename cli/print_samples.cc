// Prints the hand-made reports of the tests, for a validator outside:
// "ndjson", or "json" for all of them as an array.
#include <cstdio>
#include <string_view>

#include "cli/options.h"
#include "cli/report_stream.h"
#include "cli/sample_reports.h"

namespace cli = qcow2::cli;

int main(int argc, char** argv) {
  const bool array = argc == 2 && std::string_view(argv[1]) == "json";
  cli::ReportStream stream(
      array ? cli::OutputFormat::kJson : cli::OutputFormat::kNdjson, 12,
      cli::StreamShape::kFleet);
  cli::FleetSummary summary;
  for (const auto& report :
       {cli::CleanReport(), cli::LeakyReport(), cli::CorruptReport(),
        cli::UnopenedReport(), cli::FullReport()}) {
    std::fputs(stream.Add({report}).c_str(), stdout);
    cli::AddToSummary({report}, 2, summary);
  }
  for (const auto& report :
       {cli::RepairedReport(), cli::PlannedReport(), cli::NotProvenReport(),
        cli::PendingReport(), cli::UndoneReport(), cli::RecoveredReport(),
        cli::DiscardedReport()}) {
    std::fputs(stream.Add(report).c_str(), stdout);
  }
  std::fputs(stream.End(&summary).c_str(), stdout);
  return 0;
}
