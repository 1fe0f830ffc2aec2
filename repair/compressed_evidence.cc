#include "repair/compressed_evidence.h"

#include <algorithm>
#include <span>

#include "engine/codec/compression_type.h"

namespace qcow2::repair {
namespace {

CompressedDescriptor WithSectors(const CompressedDescriptor& data,
                                 uint64_t sectors) {
  const uint64_t in_sector = data.offset.value() % kCompressedSectorSize;
  return {data.offset, sectors * kCompressedSectorSize - in_sector, sectors};
}

}  // namespace

CompressedEvidence::CompressedEvidence(const checker::ImageModel& model,
                                       const File& view)
    : model_(model),
      view_(view),
      possible_(!model.external_data_file &&
                model.header.compression_type <= kCompressionZstd),
      cluster_(model.geometry->cluster_size()) {}

bool CompressedEvidence::Inflates(const CompressedDescriptor& data) {
  if (!possible_ || data.offset.value() >= model_.file_size_bytes) return false;
  const uint64_t cost = data.length + cluster_.size();
  if (cost > bytes_left_) bytes_left_ = 0;
  if (bytes_left_ == 0) return false;
  bytes_left_ -= cost;
  input_.resize(data.length);
  if (!ReadZeroFilled(view_, data.offset.value(), input_).ok()) return false;
  return decompressor_
      .InflateExactly(
          static_cast<CompressionType>(model_.header.compression_type), input_,
          cluster_)
      .ok();
}

std::optional<CompressedDescriptor> CompressedEvidence::Shortest(
    const CompressedDescriptor& data) {
  if (!Inflates(data)) return std::nullopt;
  // Sound data stays sound when there is more to read.
  uint64_t too_few = 0;
  uint64_t enough = data.sectors;
  while (enough - too_few > 1) {
    const uint64_t middle = too_few + (enough - too_few) / 2;
    (Inflates(WithSectors(data, middle)) ? enough : too_few) = middle;
  }
  return WithSectors(data, enough);
}

}  // namespace qcow2::repair
