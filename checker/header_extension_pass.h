// The part of the header pass that reads the header extensions.
#ifndef CHECKER_HEADER_EXTENSION_PASS_H_
#define CHECKER_HEADER_EXTENSION_PASS_H_

#include <cstddef>
#include <span>

#include "checker/check_state.h"

namespace qcow2::checker {

// Decodes the header extensions in `first_cluster`, reports what is wrong with
// them and which feature bits nobody knows, and notes in the model what the
// extensions say. Needs model.header and model.geometry.
void JudgeHeaderExtensions(CheckState& state,
                           std::span<const std::byte> first_cluster);

}  // namespace qcow2::checker

#endif  // CHECKER_HEADER_EXTENSION_PASS_H_
