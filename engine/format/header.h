// The image header: the first bytes of cluster 0.
//
// Pure values, no I/O. Header extensions, which follow the header, are in
// header_extension.h.
#ifndef ENGINE_FORMAT_HEADER_H_
#define ENGINE_FORMAT_HEADER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/format/types.h"

namespace qcow2 {

// 'Q', 'F', 'I', 0xfb.
inline constexpr uint32_t kMagic = 0x514649fb;

// Bytes of the header of version 2, of the shortest of version 3, and of the
// one that holds all fields known here.
inline constexpr uint32_t kHeaderLengthV2 = 72;
inline constexpr uint32_t kHeaderLengthV3 = 104;
inline constexpr uint32_t kHeaderLengthKnown = 112;
// Counts of version 2 are 16 bits wide.
inline constexpr uint32_t kRefcountOrderV2 = 4;

// incompatible_features: a reader that does not know a set bit must not open
// the image.
inline constexpr uint64_t kIncompatibleDirty = uint64_t{1} << 0;
inline constexpr uint64_t kIncompatibleCorrupt = uint64_t{1} << 1;
inline constexpr uint64_t kIncompatibleDataFile = uint64_t{1} << 2;
inline constexpr uint64_t kIncompatibleCompressionType = uint64_t{1} << 3;
inline constexpr uint64_t kIncompatibleExtendedL2 = uint64_t{1} << 4;
inline constexpr uint64_t kKnownIncompatibleFeatures =
    kIncompatibleDirty | kIncompatibleCorrupt | kIncompatibleDataFile |
    kIncompatibleCompressionType | kIncompatibleExtendedL2;
static_assert(kKnownIncompatibleFeatures == 0x1f);

// compatible_features: an unknown set bit is kept and ignored.
inline constexpr uint64_t kCompatibleLazyRefcounts = uint64_t{1} << 0;
inline constexpr uint64_t kKnownCompatibleFeatures = kCompatibleLazyRefcounts;

// autoclear_features: a writer that does not know a set bit clears it.
inline constexpr uint64_t kAutoclearBitmaps = uint64_t{1} << 0;
inline constexpr uint64_t kAutoclearRawData = uint64_t{1} << 1;
inline constexpr uint64_t kKnownAutoclearFeatures =
    kAutoclearBitmaps | kAutoclearRawData;

// crypt_method.
inline constexpr uint32_t kCryptNone = 0;
inline constexpr uint32_t kCryptAes = 1;
inline constexpr uint32_t kCryptLuks = 2;

// compression_type.
inline constexpr uint8_t kCompressionDeflate = 0;
inline constexpr uint8_t kCompressionZstd = 1;

// Limits that implementations share. Nothing is allocated by a number of the
// image that exceeds them.
//
// 32 MiB of L1 are 2^22 entries. With 64 KiB clusters an entry maps 2^29
// bytes, so that is a disk of 2^51 (2 PiB); 2^37 with 512-byte clusters, 2^61
// with 2 MiB clusters.
inline constexpr uint64_t kMaxL1Bytes = uint64_t{32} << 20;
// 8 MiB of refcount table are 2^20 blocks. With 64 KiB clusters and 16-bit
// counts a block counts 2^15 clusters, so that is a file of 2^51 bytes.
inline constexpr uint64_t kMaxRefcountTableBytes = uint64_t{8} << 20;
inline constexpr uint64_t kMaxSnapshots = 65536;
// 1024 bytes for each of 65536 snapshots.
inline constexpr uint64_t kMaxSnapshotTableBytes = uint64_t{64} << 20;
static_assert(kMaxSnapshotTableBytes == 1024 * kMaxSnapshots);
inline constexpr uint32_t kMaxBackingNameBytes = 1023;
// Host offsets have 56 bits in every table that has room for flags.
inline constexpr uint64_t kMaxHostOffset = uint64_t{1} << 56;

// The header's fields, as they stand in the image:
//
//   bytes    field                    rule
//   0-3      magic                    "QFI\xfb"
//   4-7      version                  2 or 3
//   8-15     backing_file_offset      0: no backing file; else inside cluster 0
//   16-19    backing_file_size        bytes of the name, at most 1023
//   20-23    cluster_bits             log2 of the cluster size
//   24-31    size                     bytes of the virtual disk
//   32-35    crypt_method             0 none, 1 AES, 2 LUKS
//   36-39    l1_size                  entries of the active L1 table
//   40-47    l1_table_offset          cluster aligned
//   48-55    refcount_table_offset    cluster aligned
//   56-59    refcount_table_clusters
//   60-63    nb_snapshots
//   64-71    snapshots_offset         cluster aligned
//   -- version 3 only --
//   72-79    incompatible_features
//   80-87    compatible_features
//   88-95    autoclear_features
//   96-99    refcount_order           log2 of the bits of a refcount, 0 to 6
//   100-103  header_length            at least 104, a multiple of 8
//   -- present if header_length reaches that far --
//   104      compression_type         0 deflate, 1 zstd
//   105-111  padding                  zero
//   112-     unknown fields           kept as they are
struct Header {
  uint32_t magic = kMagic;
  uint32_t version = 3;
  HostOffset backing_file_offset;
  uint32_t backing_file_size = 0;
  uint32_t cluster_bits = 16;
  uint64_t size = 0;
  uint32_t crypt_method = kCryptNone;
  uint32_t l1_size = 0;
  HostOffset l1_table_offset;
  HostOffset refcount_table_offset;
  uint32_t refcount_table_clusters = 0;
  uint32_t nb_snapshots = 0;
  HostOffset snapshots_offset;

  uint64_t incompatible_features = 0;
  uint64_t compatible_features = 0;
  uint64_t autoclear_features = 0;
  uint32_t refcount_order = kRefcountOrderV2;
  uint32_t header_length = kHeaderLengthKnown;

  uint8_t compression_type = kCompressionDeflate;
  std::array<std::byte, 7> padding = {};
  // Bytes from 112 to header_length, as far as they were there.
  std::vector<std::byte> unknown_tail;

  // How many bytes of the header Decode did not find: its length (72 in version
  // 2, header_length but at least 104 in version 3) less what there was.
  uint64_t bytes_missing = 0;

  // The header at the start of `first_bytes`, the image's first bytes (all of
  // cluster 0, or as many as there are). Total: missing bytes read as zero and
  // no value is refused. A version below 3 is read as version 2 and gets that
  // version's values for the fields it lacks (no features, refcount_order 4,
  // header_length 72, deflate); any other is read as version 3. Never keeps
  // more than first_bytes.size() bytes, whatever header_length says.
  static Header Decode(std::span<const std::byte> first_bytes);

  // Bytes of Encode()'s result: 72 for version 2; for version 3 header_length,
  // but at least 104 and at most what is known or was kept.
  uint64_t encoded_size() const;
  // The header's bytes. For a decoded header they are the ones it was decoded
  // from, with zeros for those that were missing.
  std::vector<std::byte> Encode() const;

  bool has_incompatible(uint64_t features) const {
    return (incompatible_features & features) != 0;
  }
  bool has_external_data_file() const {
    return has_incompatible(kIncompatibleDataFile);
  }
  bool has_extended_l2() const {
    return has_incompatible(kIncompatibleExtendedL2);
  }

  friend bool operator==(const Header&, const Header&) = default;
};

// Whether `header` looks written to the first draft of version 3 (2010), which
// had 32-bit feature masks at bytes 72, 76 and 80 and the refcount width, in
// bits, at 84: its header_length field is too small for version 3 and bytes
// 84-87 hold a power of two up to 64.
bool LooksLikeDraftV3(const Header& header);

// What can be wrong with a header by itself, as bits of a mask. What concerns
// the file's length or other structures is not judged here.
enum HeaderIssue : uint64_t {
  kHeaderCutShort = 1 << 0,  // bytes_missing
  kHeaderBadMagic = 1 << 1,
  kHeaderBadVersion = 1 << 2,
  kHeaderBadClusterBits = 1 << 3,
  kHeaderBadRefcountOrder = 1 << 4,
  // Below 104, or not a multiple of 8, or beyond cluster 0.
  kHeaderBadLength = 1 << 5,
  kHeaderPaddingNotZero = 1 << 6,
  kHeaderUnknownIncompatible = 1 << 7,
  kHeaderUnknownAutoclear = 1 << 8,
  kHeaderUnknownCompression = 1 << 9,
  // compression_type is not deflate and the feature bit is clear, or the other
  // way round.
  kHeaderCompressionAgainstFeature = 1 << 10,
  kHeaderUnknownCrypt = 1 << 11,
  // Longer than 1023 bytes.
  kHeaderBackingNameTooLong = 1 << 12,
  // Begins inside the header, or ends outside cluster 0.
  kHeaderBackingNameOutside = 1 << 13,
  kHeaderL1Unaligned = 1 << 14,
  kHeaderL1TooLarge = 1 << 15,
  // Fewer entries than the virtual disk needs.
  kHeaderL1TooSmall = 1 << 16,
  kHeaderRefcountTableUnaligned = 1 << 17,
  kHeaderRefcountTableEmpty = 1 << 18,
  kHeaderRefcountTableTooLarge = 1 << 19,
  kHeaderTooManySnapshots = 1 << 20,
  kHeaderSnapshotsUnaligned = 1 << 21,
  // The raw external data bit without an external data file.
  kHeaderRawDataWithoutDataFile = 1 << 22,
  // The raw external data bit with a backing file: the data file cannot show
  // what only the backing file has.
  kHeaderRawDataWithBackingFile = 1 << 23,
};

// The issues of `header`, 0 if there are none. Issues that need the cluster
// size are left out when cluster_bits is bad.
uint64_t HeaderIssues(const Header& header);

}  // namespace qcow2

#endif  // ENGINE_FORMAT_HEADER_H_
