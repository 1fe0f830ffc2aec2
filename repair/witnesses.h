// What a plan was made from: the bytes of the image that have to be what they
// were when the plan is carried out later, or undone.
//
// Pure, no I/O.
#ifndef REPAIR_WITNESSES_H_
#define REPAIR_WITNESSES_H_

#include <vector>

#include "checker/graph.h"
#include "engine/storage/file.h"
#include "repair/plan.h"

namespace qcow2::repair {

// All metadata found in the image, and the bytes the plan copies elsewhere. In
// no order; may overlap and reach past the end of the file.
std::vector<ByteRange> WitnessesOf(const checker::Graph& before,
                                   const Plan& plan);

}  // namespace qcow2::repair

#endif  // REPAIR_WITNESSES_H_
