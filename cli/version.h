// The program's name and version, as every output gives them.
#ifndef CLI_VERSION_H_
#define CLI_VERSION_H_

#include <string_view>

namespace qcow2::cli {

inline constexpr std::string_view kToolName = "qcow2-fsck";
inline constexpr std::string_view kToolVersion = "0.1.0";

}  // namespace qcow2::cli

#endif  // CLI_VERSION_H_
