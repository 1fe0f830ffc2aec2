#include "engine/image/header_store.h"

#include <cstddef>
#include <vector>

#include "engine/status_macros.h"

namespace qcow2 {

absl::Status HeaderStore::Switch(HeaderArea next) {
  RETURN_IF_ERROR(health_);
  ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, next.Encode());
  RETURN_IF_ERROR(file_.Flush());
  health_ = file_.Pwrite(0, bytes);
  if (health_.ok()) health_ = file_.Flush();
  RETURN_IF_ERROR(health_);
  area_ = std::move(next);
  return absl::OkStatus();
}

}  // namespace qcow2
