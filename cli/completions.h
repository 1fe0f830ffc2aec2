// What shells need to complete the command line of a program, made from its
// options.
//
// Pure.
#ifndef CLI_COMPLETIONS_H_
#define CLI_COMPLETIONS_H_

#include <string>

#include "cli/command_table.h"

namespace qcow2::cli {

// For bash with the functions of bash-completion 2.
std::string BashCompletion(const CommandRow& program);
// An autoloaded function of zsh.
std::string ZshCompletion(const CommandRow& program);
// For fish 3.
std::string FishCompletion(const CommandRow& program);

}  // namespace qcow2::cli

#endif  // CLI_COMPLETIONS_H_
