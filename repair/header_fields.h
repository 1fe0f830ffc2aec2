// Where the fields of the header that repairs write one by one are.
//
// Source: docs/interop/qcow2, "Header" and "Additional fields".
#ifndef REPAIR_HEADER_FIELDS_H_
#define REPAIR_HEADER_FIELDS_H_

#include <cstdint>

namespace qcow2::repair {

// Bytes from the start of the image.
inline constexpr uint64_t kBackingFileOffsetAt = 8;
inline constexpr uint64_t kCryptMethodAt = 32;
inline constexpr uint64_t kL1SizeAt = 36;
inline constexpr uint64_t kL1TableOffsetAt = 40;
inline constexpr uint64_t kRefcountTableClustersAt = 56;
inline constexpr uint64_t kSnapshotCountAt = 60;
inline constexpr uint64_t kSnapshotsOffsetAt = 64;
inline constexpr uint64_t kIncompatibleFeaturesAt = 72;
inline constexpr uint64_t kAutoclearFeaturesAt = 88;
inline constexpr uint64_t kHeaderLengthAt = 100;
inline constexpr uint64_t kCompressionTypeAt = 104;
inline constexpr uint64_t kPaddingAt = 105;

}  // namespace qcow2::repair

#endif  // REPAIR_HEADER_FIELDS_H_
