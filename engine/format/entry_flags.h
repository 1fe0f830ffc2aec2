// The flag that L1 and L2 entries have in common.
#ifndef ENGINE_FORMAT_ENTRY_FLAGS_H_
#define ENGINE_FORMAT_ENTRY_FLAGS_H_

#include <cstdint>

namespace qcow2 {

// Bit 63, COPIED: the refcount of what the entry names is exactly one, so it
// may be written in place. Accurate in the active tables only.
inline constexpr uint64_t kCopiedFlag = uint64_t{1} << 63;

}  // namespace qcow2

#endif  // ENGINE_FORMAT_ENTRY_FLAGS_H_
