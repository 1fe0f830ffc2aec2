// Prints the hand-made reports of the tests, for a validator outside:
// "ndjson", or "json" for all of them as an array.
#include <cstdio>
#include <string_view>

#include "cli/options.h"
#include "cli/report_stream.h"
#include "cli/sample_reports.h"

int main(int argc, char** argv) {
  using namespace qcow2::cli;
  const bool array = argc == 2 && std::string_view(argv[1]) == "json";
  ReportStream stream(array ? OutputFormat::kJson : OutputFormat::kNdjson, 5);
  for (const auto& report : {CleanReport(), LeakyReport(), CorruptReport(),
                             UnopenedReport(), FullReport()}) {
    std::fputs(stream.Add(report).c_str(), stdout);
  }
  std::fputs(stream.End().c_str(), stdout);
  return 0;
}
