// The file cut into segments of clusters with the same owners and findings.
//
// Pure, no I/O.
#ifndef CLI_PICTURE_FILE_SEGMENTS_H_
#define CLI_PICTURE_FILE_SEGMENTS_H_

#include <cstdint>
#include <vector>

#include "checker/finding.h"
#include "checker/ownership_map.h"
#include "checker/report.h"
#include "cli/picture/picture.h"

namespace qcow2::cli {

// What a finding makes of the clusters it is about: a set of SegmentMark.
uint32_t MarksOfFinding(const checker::Finding& finding);

// All that is known cluster by cluster, sorted; between the segments nothing
// is.
std::vector<Segment> CutIntoSegments(const checker::OwnershipMap& map,
                                     const checker::CheckReport& report);

}  // namespace qcow2::cli

#endif  // CLI_PICTURE_FILE_SEGMENTS_H_
