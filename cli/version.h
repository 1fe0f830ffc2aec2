// The name of qcow2-fsck and the version of everything here, as every output
// gives them. The manual pages, the changelog, the nbdkit plugin and the
// packages have the version from here; a test holds those that are written by
// hand to it.
#ifndef CLI_VERSION_H_
#define CLI_VERSION_H_

#include <string_view>

namespace qcow2::cli {

inline constexpr std::string_view kToolName = "qcow2-fsck";
inline constexpr std::string_view kToolVersion = "0.1.0";

}  // namespace qcow2::cli

#endif  // CLI_VERSION_H_
