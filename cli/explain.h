// --explain: what a problem is, what it means and what a repair does about it.
//
// Pure, no I/O; everything comes from the problem table.
#ifndef CLI_EXPLAIN_H_
#define CLI_EXPLAIN_H_

#include <optional>
#include <string>
#include <string_view>

#include "checker/problems.h"

namespace qcow2::cli {

// The text for a code ("refcount-too-low"), a number ("310") or "list";
// nullopt when there is no such problem.
std::optional<std::string> Explain(std::string_view code);

// What a repair does, as a sentence: the action and whether it can lose data.
std::string DescribeRepair(const checker::ProblemRow& row);

// Whether `qemu-img check` sees the problem, as a sentence.
std::string_view DescribeQemuClass(checker::QemuClass qemu);

}  // namespace qcow2::cli

#endif  // CLI_EXPLAIN_H_
