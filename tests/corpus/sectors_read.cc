#include "tests/corpus/sectors_read.h"

#include <algorithm>
#include <cstddef>
#include <set>
#include <span>

#include "checker/check.h"
#include "checker/ownership_map.h"

namespace qcow2::corpus {

std::vector<uint64_t> SectorsRead(const UnpackedCase& unpacked) {
  constexpr uint64_t kSectorsOfEach = 48;
  checker::OwnershipMap map;
  checker::CheckOptions options;
  options.ownership = &map;
  unpacked.CheckInMemory(options);
  std::set<uint64_t> sectors;
  for (const checker::OwnedRun& run : map.owned) {
    // Compressed clusters are only read by a deep check, and then each is.
    const bool compressed =
        run.cluster_class == checker::ClusterClass::kCompressedData;
    if (run.cluster_class >= checker::ClusterClass::kGuestData && !compressed) {
      continue;
    }
    const uint64_t begin = run.first_cluster * map.cluster_size_bytes;
    const uint64_t end = std::min(begin + run.clusters * map.cluster_size_bytes,
                                  map.file_size_bytes);
    const uint64_t count = (end - begin + kSectorBytes - 1) / kSectorBytes;
    const uint64_t step = std::max<uint64_t>(1, count / kSectorsOfEach);
    for (uint64_t i = 0; i < count; i += step) {
      const uint64_t at = begin + i * kSectorBytes;
      const auto rest = std::span(unpacked.image()).subspan(at);
      const auto sector =
          rest.first(std::min<size_t>(rest.size(), kSectorBytes));
      if (std::any_of(sector.begin(), sector.end(),
                      [](std::byte byte) { return byte != std::byte{0}; })) {
        sectors.insert(at);
      }
    }
  }
  return {sectors.begin(), sectors.end()};
}

}  // namespace qcow2::corpus
