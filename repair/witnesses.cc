#include "repair/witnesses.h"

namespace qcow2::repair {

std::vector<ByteRange> WitnessesOf(const checker::Graph& before,
                                   const Plan& plan) {
  std::vector<ByteRange> ranges = plan.sources();
  const checker::ImageModel& model = before.model;
  const uint64_t cluster =
      model.geometry.has_value() ? model.geometry->cluster_size() : 512;
  ranges.push_back({0, cluster});
  for (const checker::MetadataRegion& region : model.regions) {
    ranges.push_back({region.offset_bytes, region.length_bytes});
  }
  for (const checker::L2Table& table : before.l2_tables) {
    ranges.push_back({table.offset_bytes, cluster});
  }
  for (const checker::RefcountBlock& block : before.refcounts.blocks) {
    if (block.readable) ranges.push_back({block.offset_bytes, cluster});
  }
  return ranges;
}

}  // namespace qcow2::repair
