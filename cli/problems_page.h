// docs/problems.md: every problem, from the table.
//
// Pure, no I/O.
#ifndef CLI_PROBLEMS_PAGE_H_
#define CLI_PROBLEMS_PAGE_H_

#include <string>

namespace qcow2::cli {

std::string ProblemsPage();

}  // namespace qcow2::cli

#endif  // CLI_PROBLEMS_PAGE_H_
