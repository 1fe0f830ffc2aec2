#include "engine/format/l2_entry.h"

namespace qcow2 {
namespace {

uint32_t CompressedIssues(L2Entry entry, const Geometry& geometry,
                          bool external_data_file) {
  uint32_t issues = 0;
  if (entry.copied()) issues |= kL2CompressedWithCopied;
  if (entry.bitmap() != 0) issues |= kL2CompressedWithBitmap;
  if (external_data_file) issues |= kL2CompressedWithDataFile;
  if (entry.compressed(geometry).offset.value() >> kHostOffsetBits != 0) {
    issues |= kL2CompressedOffsetTooLarge;
  }
  return issues;
}

uint32_t SubclusterIssues(L2Entry entry, bool external_data_file) {
  uint32_t issues = 0;
  if ((entry.allocated_subclusters() & entry.zero_subclusters()) != 0) {
    issues |= kL2SubclusterAllocatedAndZero;
  }
  const bool has_place = entry.host_offset().value() != 0 ||
                         (external_data_file && entry.copied());
  if (entry.allocated_subclusters() != 0 && !has_place) {
    issues |= kL2SubclusterAllocatedWithoutOffset;
  }
  return issues;
}

}  // namespace

CompressedDescriptor L2Entry::compressed(const Geometry& geometry) const {
  const uint32_t offset_bits = geometry.compressed_offset_bits();
  const uint64_t descriptor = raw_ & (kCompressedFlag - 1);
  const uint64_t offset = descriptor & ((uint64_t{1} << offset_bits) - 1);
  const uint64_t sectors = (descriptor >> offset_bits) + 1;
  const uint64_t in_sector = offset & (kCompressedSectorSize - 1);
  return {HostOffset(offset), sectors * kCompressedSectorSize - in_sector,
          sectors};
}

L2Entry L2Entry::FromCompressed(const CompressedDescriptor& descriptor,
                                const Geometry& geometry) {
  return L2Entry(kCompressedFlag |
                 (descriptor.sectors - 1) << geometry.compressed_offset_bits() |
                 descriptor.offset.value());
}

L2EntryType TypeOf(L2Entry entry, const Geometry& geometry,
                   bool external_data_file) {
  if (entry.is_compressed()) return L2EntryType::kCompressed;
  const bool has_offset = entry.host_offset().value() != 0;
  if (entry.zero_flag() && !geometry.extended_l2()) {
    return has_offset ? L2EntryType::kZeroAllocated : L2EntryType::kZeroPlain;
  }
  if (has_offset || (external_data_file && entry.copied())) {
    return L2EntryType::kNormal;
  }
  return L2EntryType::kUnallocated;
}

uint32_t L2EntryIssues(L2Entry entry, const Geometry& geometry,
                       uint32_t version, bool external_data_file) {
  if (entry.is_compressed()) {
    return CompressedIssues(entry, geometry, external_data_file);
  }
  uint32_t issues = 0;
  if (entry.reserved_bits(/*extended=*/false) != 0) {
    issues |= kL2ReservedBitsSet;
  }
  if (!geometry.IsAligned(entry.host_offset().value())) {
    issues |= kL2OffsetUnaligned;
  }
  if (entry.zero_flag() && version < 3) issues |= kL2ZeroFlagInVersion2;
  if (geometry.extended_l2()) {
    if (entry.zero_flag()) issues |= kL2ZeroFlagWithExtendedL2;
    issues |= SubclusterIssues(entry, external_data_file);
  }
  return issues;
}

}  // namespace qcow2
