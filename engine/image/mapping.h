// Where the bytes of a guest range are, as the L1 and L2 tables say.
//
// Reads L2 tables through Metadata's cache; reads no guest data.
#ifndef ENGINE_IMAGE_MAPPING_H_
#define ENGINE_IMAGE_MAPPING_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/format/geometry.h"
#include "engine/format/l2_entry.h"
#include "engine/format/types.h"
#include "engine/image/metadata.h"

namespace qcow2 {

enum class MappedKind {
  kUnallocated,  // the backing disk's bytes, or zeros
  kZeros,
  kHost,        // stored from host_offset on
  kCompressed,  // part of one cluster that is decompressed from `compressed`
};

// A stretch of the guest whose bytes come from one place.
struct MappedExtent {
  MappedKind kind = MappedKind::kUnallocated;
  uint64_t length_bytes = 0;
  // Of the first byte; in the data file if there is one. For zeros the host
  // cluster that is kept for them, 0 if there is none.
  uint64_t host_offset = 0;
  CompressedDescriptor compressed;
};

// The extent at guest byte `offset`, at most `max_length` (not 0) bytes long.
// `l1` are the raw entries of the L1 table to follow; what lies past its end is
// unallocated. DataLoss for an entry that cannot be right.
absl::StatusOr<MappedExtent> MapExtent(Metadata& metadata,
                                       std::span<const uint64_t> l1,
                                       uint64_t offset, uint64_t max_length);

// DataLoss if `entry`, number `index` of the L2 table at `table`, has bits that
// contradict each other or lead nowhere; a writable image is marked corrupt
// then.
absl::Status CheckL2Entry(Metadata& metadata, HostOffset table, uint64_t index,
                          L2Entry entry);

// What subclusters of `entry` hold, as masks with bit i for subcluster i.
// Without extended L2 entries there is one subcluster, bit 0.
struct SubclusterMasks {
  uint32_t allocated = 0;
  uint32_t zeros = 0;
};
SubclusterMasks SubclustersOf(L2Entry entry, const Geometry& geometry,
                              bool external_data_file);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_MAPPING_H_
