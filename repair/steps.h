// The steps of planning a repair, in their order.
//
// Each mends one kind of damage in the view and says whether it changed
// anything; after a change the view is checked anew and the steps begin again.
#ifndef REPAIR_STEPS_H_
#define REPAIR_STEPS_H_

#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "repair/plan.h"
#include "repair/repair_context.h"

namespace qcow2::repair {

struct Step {
  std::string_view name;
  // True if it changed the view. Errors are those of reading or writing it;
  // damage that cannot be mended is none.
  absl::StatusOr<bool> (*run)(RepairContext& context);
  // Deals with entries that name places past the end of the file itself; the
  // file must not grow over such places in any other step.
  bool settles_past_end = false;
};

// The steps that a repair of that mode takes.
std::span<const Step> StepsOf(Mode mode);

}  // namespace qcow2::repair

#endif  // REPAIR_STEPS_H_
