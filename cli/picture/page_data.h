// What the maps of the page are drawn from, as JSON.
//
// Pure, no I/O.
#ifndef CLI_PICTURE_PAGE_DATA_H_
#define CLI_PICTURE_PAGE_DATA_H_

#include <string>

#include "checker/report.h"
#include "cli/picture/picture.h"

namespace qcow2::cli {

// Colours by which partitions are told apart.
inline constexpr size_t kPartitionTints = 4;

// JSON that may stand in a script element: it has no '<', '>' or '&'.
std::string PageData(const Picture& picture,
                     const checker::CheckReport& report);

}  // namespace qcow2::cli

#endif  // CLI_PICTURE_PAGE_DATA_H_
