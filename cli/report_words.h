// What a check found, in a few words.
//
// Pure, no I/O.
#ifndef CLI_REPORT_WORDS_H_
#define CLI_REPORT_WORDS_H_

#include <string>
#include <string_view>

#include "checker/problems.h"
#include "checker/report.h"

namespace qcow2::cli {

// "3 corruptions, 4 leaks", "no problems found".
std::string CountsInWords(const checker::CheckReport& report);

// "clean", "CORRUPT", "INCONCLUSIVE, a part could not be checked" ...
std::string_view StatusWord(const checker::CheckReport& report);

// The findings of `problem` that are listed: " #3 #7", the first few of them.
// Empty if there is none.
std::string FindingIds(const checker::CheckReport& report,
                       checker::Problem problem);

}  // namespace qcow2::cli

#endif  // CLI_REPORT_WORDS_H_
