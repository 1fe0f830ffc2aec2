#include "engine/format/header.h"

#include <algorithm>
#include <bit>

#include "absl/status/statusor.h"
#include "engine/format/byte_order.h"
#include "engine/format/geometry.h"

namespace qcow2 {
namespace {

constexpr uint64_t kPaddingOffset = kHeaderLengthV3 + 1;

void DecodeVersion3(std::span<const std::byte> bytes, Header& header) {
  header.incompatible_features = LoadBe64Padded(bytes, 72);
  header.compatible_features = LoadBe64Padded(bytes, 80);
  header.autoclear_features = LoadBe64Padded(bytes, 88);
  header.refcount_order = LoadBe32Padded(bytes, 96);
  header.header_length = LoadBe32Padded(bytes, 100);

  const auto present =
      bytes.first(std::min<uint64_t>(bytes.size(), header.header_length));
  if (present.size() > kHeaderLengthV3) {
    header.compression_type =
        std::to_integer<uint8_t>(present[kHeaderLengthV3]);
    const auto rest = present.subspan(kPaddingOffset);
    const auto padding =
        rest.first(std::min(rest.size(), header.padding.size()));
    std::copy(padding.begin(), padding.end(), header.padding.begin());
    const auto tail = rest.subspan(padding.size());
    header.unknown_tail.assign(tail.begin(), tail.end());
  }
}

void FillVersion2(Header& header) {
  header.refcount_order = kRefcountOrderV2;
  header.header_length = kHeaderLengthV2;
}

void EncodeVersion3(const Header& header, std::span<std::byte> out) {
  StoreBe64(&out[72], header.incompatible_features);
  StoreBe64(&out[80], header.compatible_features);
  StoreBe64(&out[88], header.autoclear_features);
  StoreBe32(&out[96], header.refcount_order);
  StoreBe32(&out[100], header.header_length);
  if (out.size() <= kHeaderLengthV3) return;
  out[kHeaderLengthV3] = static_cast<std::byte>(header.compression_type);
  const auto rest = out.subspan(kPaddingOffset);
  const uint64_t padding = std::min(rest.size(), header.padding.size());
  std::copy_n(header.padding.begin(), padding, rest.begin());
  std::copy_n(header.unknown_tail.begin(), rest.size() - padding,
              rest.begin() + static_cast<ptrdiff_t>(padding));
}

uint64_t IssueIf(bool condition, HeaderIssue issue) {
  return condition ? uint64_t{issue} : 0;
}

uint64_t FeatureIssues(const Header& header) {
  const bool compression_bit =
      header.has_incompatible(kIncompatibleCompressionType);
  const bool raw_data = (header.autoclear_features & kAutoclearRawData) != 0;
  uint64_t issues = 0;
  issues |= IssueIf(header.has_incompatible(~kKnownIncompatibleFeatures),
                    kHeaderUnknownIncompatible);
  issues |= IssueIf((header.autoclear_features & ~kKnownAutoclearFeatures) != 0,
                    kHeaderUnknownAutoclear);
  issues |= IssueIf(header.compression_type > kCompressionZstd,
                    kHeaderUnknownCompression);
  issues |= IssueIf(
      compression_bit != (header.compression_type != kCompressionDeflate),
      kHeaderCompressionAgainstFeature);
  issues |= IssueIf(header.crypt_method > kCryptLuks, kHeaderUnknownCrypt);
  issues |= IssueIf(raw_data && !header.has_external_data_file(),
                    kHeaderRawDataWithoutDataFile);
  issues |= IssueIf(raw_data && header.backing_file_offset.value() != 0,
                    kHeaderRawDataWithBackingFile);
  return issues;
}

bool BackingNameInside(const Header& header, uint64_t cluster_size) {
  const uint64_t offset = header.backing_file_offset.value();
  if (offset == 0) return true;
  return offset >= header.header_length && offset <= cluster_size &&
         header.backing_file_size <= cluster_size - offset;
}

uint64_t SizeIssues(const Header& header, const Geometry& geometry) {
  const uint64_t l1_bytes = uint64_t{header.l1_size} * 8;
  const uint64_t refcount_table_bytes =
      header.refcount_table_clusters * geometry.cluster_size();
  uint64_t issues = 0;
  issues |=
      IssueIf(header.header_length > geometry.cluster_size(), kHeaderBadLength);
  issues |= IssueIf(!BackingNameInside(header, geometry.cluster_size()),
                    kHeaderBackingNameOutside);
  issues |= IssueIf(!geometry.IsAligned(header.l1_table_offset.value()),
                    kHeaderL1Unaligned);
  issues |= IssueIf(l1_bytes > kMaxL1Bytes, kHeaderL1TooLarge);
  issues |= IssueIf(header.l1_size < geometry.L1EntriesFor(header.size),
                    kHeaderL1TooSmall);
  issues |= IssueIf(!geometry.IsAligned(header.refcount_table_offset.value()),
                    kHeaderRefcountTableUnaligned);
  issues |= IssueIf(refcount_table_bytes > kMaxRefcountTableBytes,
                    kHeaderRefcountTableTooLarge);
  issues |= IssueIf(header.nb_snapshots > 0 &&
                        !geometry.IsAligned(header.snapshots_offset.value()),
                    kHeaderSnapshotsUnaligned);
  return issues;
}

// The geometry for the sizes that follow from the cluster size alone. A bad
// refcount_order must not hide what is wrong with them.
absl::StatusOr<Geometry> SizingGeometry(const Header& header) {
  return Geometry::Create(header.cluster_bits, kRefcountOrderV2,
                          header.has_extended_l2());
}

}  // namespace

Header Header::Decode(std::span<const std::byte> bytes) {
  Header header;
  header.magic = LoadBe32Padded(bytes, 0);
  header.version = LoadBe32Padded(bytes, 4);
  header.backing_file_offset = HostOffset(LoadBe64Padded(bytes, 8));
  header.backing_file_size = LoadBe32Padded(bytes, 16);
  header.cluster_bits = LoadBe32Padded(bytes, 20);
  header.size = LoadBe64Padded(bytes, 24);
  header.crypt_method = LoadBe32Padded(bytes, 32);
  header.l1_size = LoadBe32Padded(bytes, 36);
  header.l1_table_offset = HostOffset(LoadBe64Padded(bytes, 40));
  header.refcount_table_offset = HostOffset(LoadBe64Padded(bytes, 48));
  header.refcount_table_clusters = LoadBe32Padded(bytes, 56);
  header.nb_snapshots = LoadBe32Padded(bytes, 60);
  header.snapshots_offset = HostOffset(LoadBe64Padded(bytes, 64));
  if (header.version >= 3) {
    DecodeVersion3(bytes, header);
  } else {
    FillVersion2(header);
  }
  const uint64_t length = header.version >= 3
                              ? std::max(header.header_length, kHeaderLengthV3)
                              : kHeaderLengthV2;
  header.bytes_missing = length - std::min<uint64_t>(bytes.size(), length);
  return header;
}

uint64_t Header::encoded_size() const {
  if (version < 3) return kHeaderLengthV2;
  if (header_length <= kHeaderLengthV3) return kHeaderLengthV3;
  if (header_length <= kHeaderLengthKnown) return header_length;
  return kHeaderLengthKnown + unknown_tail.size();
}

std::vector<std::byte> Header::Encode() const {
  std::vector<std::byte> out(encoded_size());
  StoreBe32(&out[0], magic);
  StoreBe32(&out[4], version);
  StoreBe64(&out[8], backing_file_offset.value());
  StoreBe32(&out[16], backing_file_size);
  StoreBe32(&out[20], cluster_bits);
  StoreBe64(&out[24], size);
  StoreBe32(&out[32], crypt_method);
  StoreBe32(&out[36], l1_size);
  StoreBe64(&out[40], l1_table_offset.value());
  StoreBe64(&out[48], refcount_table_offset.value());
  StoreBe32(&out[56], refcount_table_clusters);
  StoreBe32(&out[60], nb_snapshots);
  StoreBe64(&out[64], snapshots_offset.value());
  if (version >= 3) EncodeVersion3(*this, out);
  return out;
}

bool LooksLikeDraftV3(const Header& header) {
  const uint32_t draft_refcount_bits =
      static_cast<uint32_t>(header.compatible_features);
  return header.version == 3 && header.header_length < kHeaderLengthV3 &&
         std::has_single_bit(draft_refcount_bits) && draft_refcount_bits <= 64;
}

uint64_t HeaderIssues(const Header& header) {
  uint64_t issues = FeatureIssues(header);
  issues |= IssueIf(header.bytes_missing != 0, kHeaderCutShort);
  issues |= IssueIf(header.magic != kMagic, kHeaderBadMagic);
  issues |=
      IssueIf(header.version != 2 && header.version != 3, kHeaderBadVersion);
  issues |= IssueIf(header.refcount_order > kMaxRefcountOrder,
                    kHeaderBadRefcountOrder);
  issues |=
      IssueIf(header.version >= 3 && (header.header_length < kHeaderLengthV3 ||
                                      header.header_length % 8 != 0),
              kHeaderBadLength);
  issues |= IssueIf(std::any_of(header.padding.begin(), header.padding.end(),
                                [](std::byte b) { return b != std::byte{0}; }),
                    kHeaderPaddingNotZero);
  issues |= IssueIf(header.backing_file_offset.value() != 0 &&
                        header.backing_file_size > kMaxBackingNameBytes,
                    kHeaderBackingNameTooLong);
  issues |=
      IssueIf(header.refcount_table_clusters == 0, kHeaderRefcountTableEmpty);
  issues |=
      IssueIf(header.nb_snapshots > kMaxSnapshots, kHeaderTooManySnapshots);
  const absl::StatusOr<Geometry> geometry = SizingGeometry(header);
  return issues | (geometry.ok() ? SizeIssues(header, *geometry)
                                 : uint64_t{kHeaderBadClusterBits});
}

}  // namespace qcow2
