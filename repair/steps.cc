#include "repair/steps.h"

#include "repair/header_bits_step.h"

namespace qcow2::repair {
namespace {

// What has to be right before something else can be judged comes first: where
// the tables are, what they say, whose clusters are whose, and only then how
// often each is referred to.
constexpr Step kAllSteps[] = {
    {"header bits", ClearHeaderBits},
};

}  // namespace

std::span<const Step> StepsOf(Mode mode) {
  if (mode == Mode::kLeaks) return {};
  return kAllSteps;
}

}  // namespace qcow2::repair
