// What a file is when its header is not a usable qcow2 header, and whether a
// qcow2 image goes on behind the first cluster.
#ifndef CHECKER_HEADER_DIAGNOSIS_H_
#define CHECKER_HEADER_DIAGNOSIS_H_

#include <cstdint>

#include "checker/check_state.h"

namespace qcow2::checker {

// Reports that the file begins with `magic` and not with qcow2's: what it looks
// like instead, and, as a finding of its own, qcow2 tables behind the first
// cluster. Reads a bounded part of the file's beginning.
void ReportForeignMagic(CheckState& state, uint32_t magic);

// Reports that `cluster_bits` is out of range, naming the cluster size by which
// qcow2 tables are found in the file, if any are.
void ReportBadClusterBits(CheckState& state, uint32_t cluster_bits);

}  // namespace qcow2::checker

#endif  // CHECKER_HEADER_DIAGNOSIS_H_
