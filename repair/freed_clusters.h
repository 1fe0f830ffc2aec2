// The space of clusters that nothing refers to: where it is in the file, and
// giving it back.
//
// Finding reads only; punching writes to free clusters alone.
#ifndef REPAIR_FREED_CLUSTERS_H_
#define REPAIR_FREED_CLUSTERS_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checker/graph.h"
#include "engine/storage/file.h"

namespace qcow2::repair {

// Free clusters that hold something, and the bytes of them that do.
struct FreedSpace {
  uint64_t clusters = 0;
  uint64_t bytes = 0;
};

// What holds less than this gives no space back where it is punched out.
inline constexpr uint64_t kPunchAlignment = 4096;

// Calls `visit` with every stretch of `image`, in order, whose clusters nobody
// refers to and that is no hole: as long as possible, and but for the end of
// the file in whole units of kPunchAlignment. `graph` is of `image`, which is
// clean, so that what nobody refers to is not counted either. The first error
// ends it: of `visit`, or of looking for holes.
absl::Status ForEachFreed(const File& image, const checker::Graph& graph,
                          const std::function<absl::Status(ByteRange)>& visit);

absl::StatusOr<FreedSpace> FindFreed(const File& image,
                                     const checker::Graph& graph);

// Punches all of it out of `image` and waits until that is on stable storage.
// `punched`: what was given back, also where it ends with an error. The length
// of the file stays.
absl::Status PunchFreed(File& image, const checker::Graph& graph,
                        FreedSpace& punched);

}  // namespace qcow2::repair

#endif  // REPAIR_FREED_CLUSTERS_H_
