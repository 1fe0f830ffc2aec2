// Lists of options in one argument, as qemu-img has them:
// "cluster_size=4096,lazy_refcounts=on".
//
// Pure, no I/O.
#ifndef CLI_TOOL_KEY_VALUES_H_
#define CLI_TOOL_KEY_VALUES_H_

#include <functional>
#include <string>

namespace qcow2::tool {

// Calls `take` for each pair of `list`; a comma inside a value is written
// twice. Returns what `take` found wrong first, or that there is no '=', or
// nothing.
std::string ForEachPair(
    const std::string& list,
    const std::function<std::string(const std::string& key,
                                    const std::string& value)>& take);

// "on" or "off"; returns what is wrong.
std::string TakeSwitch(const std::string& value, bool& target);

}  // namespace qcow2::tool

#endif  // CLI_TOOL_KEY_VALUES_H_
