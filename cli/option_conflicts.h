// Which options have no meaning beside which others.
//
// No I/O.
#ifndef CLI_OPTION_CONFLICTS_H_
#define CLI_OPTION_CONFLICTS_H_

#include <string>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "cli/options.h"

namespace qcow2::cli {

// The first thing that is wrong with `options` as a whole, in words for the
// user, or nothing. `app` has parsed them, and tells which were given at all.
std::string WrongTogether(const CLI::App& app, const Options& options);

}  // namespace qcow2::cli

#endif  // CLI_OPTION_CONFLICTS_H_
