#include "repair/header_step.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/printable.h"
#include "engine/format/byte_order.h"
#include "engine/format/header.h"
#include "engine/format/header_extension.h"
#include "engine/format/l1_entry.h"
#include "engine/format/refcount_table_entry.h"
#include "engine/status_macros.h"
#include "repair/compression_type_evidence.h"
#include "repair/metadata_edit.h"
#include "repair/view_edit.h"

namespace qcow2::repair {
namespace {

using checker::Finding;
using checker::Hex;
using checker::Problem;

class HeaderMender : private MetadataMender {
 public:
  explicit HeaderMender(RepairContext& context) : MetadataMender(context) {}

  absl::StatusOr<bool> Run();

 private:
  void RecordField(Problem problem, std::string_view field, std::string before,
                   std::string after) {
    Record(problem, absl::StrCat("header, ", std::string(field)),
           std::move(before), std::move(after));
  }

  absl::Status MendLength();
  std::optional<uint32_t> LikelyLength() const;
  absl::Status MendPadding();
  absl::Status MendCompressionBit();
  absl::Status MendAutoclearBits();
  absl::Status MendRefcountTableClusters();
  absl::Status MendL1Size();
};

// Whether extensions begin at `length`: one of a known type, in a list that
// ends as it should.
bool ExtensionsBeginAt(const Header& header, std::span<const std::byte> cluster,
                       uint32_t length) {
  Header assumed = header;
  assumed.header_length = length;
  const HeaderExtensions list = DecodeHeaderExtensions(
      cluster, length, ExtensionAreaEndOffset(assumed, cluster.size()));
  return list.end == ExtensionAreaEnd::kMarker && !list.extensions.empty() &&
         !ExtensionTypeName(list.extensions.front().type).empty();
}

// Whether there is nothing behind the fields of the shortest header but
// perhaps the compression type that the feature bit speaks of.
bool HasNoExtensions(const Header& header, std::span<const std::byte> cluster) {
  const uint8_t type = header.has_incompatible(kIncompatibleCompressionType)
                           ? kCompressionZstd
                           : kCompressionDeflate;
  const auto behind = cluster.subspan(kHeaderLengthV3 + 1, 15);
  return cluster[kHeaderLengthV3] == static_cast<std::byte>(type) &&
         std::all_of(behind.begin(), behind.end(),
                     [](std::byte b) { return b == std::byte{0}; });
}

// The usual lengths, and what the length there is may have been before one of
// its bits flipped.
std::optional<uint32_t> HeaderMender::LikelyLength() const {
  std::vector<std::byte> cluster(geometry().cluster_size());
  if (!ReadZeroFilled(view(), 0, cluster).ok()) return std::nullopt;
  std::set<uint32_t> candidates = {kHeaderLengthV3, kHeaderLengthKnown};
  for (uint32_t bit = 0; bit < 32; ++bit) {
    const uint32_t length = header().header_length ^ (uint32_t{1} << bit);
    if (length % 8 == 0 && length >= kHeaderLengthV3 &&
        length + 8 <= cluster.size()) {
      candidates.insert(length);
    }
  }
  std::erase_if(candidates, [&](uint32_t length) {
    return !ExtensionsBeginAt(header(), cluster, length);
  });
  if (candidates.size() == 1) return *candidates.begin();
  if (candidates.empty() && HasNoExtensions(header(), cluster)) {
    return kHeaderLengthKnown;
  }
  return std::nullopt;
}

absl::Status HeaderMender::MendLength() {
  const Finding* finding = FirstFinding(Problem::kHeaderLength);
  if (finding == nullptr) {
    finding = FirstFinding(Problem::kHeaderLengthUnaligned);
  }
  if (finding == nullptr || header().version < 3) return absl::OkStatus();
  const std::optional<uint32_t> length = LikelyLength();
  if (!length) return absl::OkStatus();
  RecordField(finding->problem, "header_length",
              absl::StrCat(header().header_length),
              absl::StrCat(*length, ", where the header extensions begin"));
  return WriteBe32(view(), kHeaderLengthAt, *length);
}

absl::Status HeaderMender::MendPadding() {
  const Finding* finding = FirstFinding(Problem::kHeaderPadding);
  if (finding == nullptr) return absl::OkStatus();
  const uint64_t end =
      std::min<uint64_t>(header().header_length, kHeaderLengthKnown);
  if (end <= kPaddingAt) return absl::OkStatus();
  RecordField(Problem::kHeaderPadding, "padding",
              Hex(finding->actual.value_or(0)), "zero");
  return WriteZeros(view(), kPaddingAt, end - kPaddingAt);
}

// The type that compressed clusters are of; the field's own word where there
// are none.
absl::Status HeaderMender::MendCompressionBit() {
  if (!Found(Problem::kCompressionTypeBit)) return absl::OkStatus();
  CompressionEvidence evidence = CompressionEvidence::kNone;
  if (!model().encrypted && !model().external_data_file) {
    evidence = FindCompressionEvidence(graph(), view(),
                                       context().options.check.cancel);
  }
  if (evidence == CompressionEvidence::kUnclear) return absl::OkStatus();
  uint8_t type = header().compression_type;
  if (evidence == CompressionEvidence::kDeflate) type = kCompressionDeflate;
  if (evidence == CompressionEvidence::kZstd) type = kCompressionZstd;
  const bool has_field = header().header_length > kCompressionTypeAt;
  if (type != kCompressionDeflate && !has_field) return absl::OkStatus();

  const std::string_view name = type == kCompressionZstd ? "zstd" : "deflate";
  const std::string why =
      evidence == CompressionEvidence::kNone
          ? "there are no compressed clusters that say otherwise"
          : absl::StrCat("the compressed clusters are ", std::string(name),
                         " data");
  const bool bit = header().has_incompatible(kIncompatibleCompressionType);
  RecordField(
      Problem::kCompressionTypeBit, "compression_type and its feature bit",
      absl::StrCat("type ", header().compression_type, ", bit ",
                   bit ? "set" : "clear"),
      absl::StrCat(std::string(name), ", type ", type, ", bit ",
                   type != kCompressionDeflate ? "set" : "clear", ": ", why));
  uint64_t features =
      header().incompatible_features & ~kIncompatibleCompressionType;
  if (type != kCompressionDeflate) features |= kIncompatibleCompressionType;
  if (has_field) {
    const std::byte byte[] = {static_cast<std::byte>(type)};
    RETURN_IF_ERROR(view().Pwrite(kCompressionTypeAt, byte));
  }
  return WriteBe64(view(), kIncompatibleFeaturesAt, features);
}

absl::Status HeaderMender::MendAutoclearBits() {
  uint64_t features = header().autoclear_features;
  if (Found(Problem::kAutoclearWithoutExtension)) {
    features &= ~kAutoclearBitmaps;
    RecordField(Problem::kAutoclearWithoutExtension, "bitmaps autoclear bit",
                "set", "clear: there is no bitmaps extension");
  }
  // With the name of a data file it may be the other bit that is damaged.
  if (Found(Problem::kRawWithoutDataFile) && !model().data_file_name) {
    features &= ~kAutoclearRawData;
    RecordField(Problem::kRawWithoutDataFile, "raw external data autoclear bit",
                "set", "clear: there is no external data file");
  }
  if (features == header().autoclear_features) return absl::OkStatus();
  return WriteBe64(view(), kAutoclearFeaturesAt, features);
}

// As many clusters as the file needs, and those behind that are counted,
// belong to nobody and hold nothing: room for the table to grow.
absl::Status HeaderMender::MendRefcountTableClusters() {
  if (!Found(Problem::kRefcountTableTooLarge) || model().refcounts_unknown) {
    return absl::OkStatus();
  }
  const uint64_t offset = model().refcount_table_offset_bytes;
  uint64_t clusters = geometry().ClustersFor(model().refcount_table_entries *
                                             kRefcountTableEntrySize);
  const uint64_t length = clusters << geometry().cluster_bits();
  // Without a block for the first cluster this is no refcount table.
  if (clusters == 0 || !HasSoleOwner(graph(), offset, length) ||
      graph().refcounts.blocks.empty() ||
      graph().refcounts.blocks.front().table_index != 0 ||
      !graph().refcounts.blocks.front().readable) {
    return absl::OkStatus();
  }
  StoredRefcounts stored(graph(), view());
  const uint64_t first = offset >> geometry().cluster_bits();
  const uint64_t limit = kMaxRefcountTableBytes >> geometry().cluster_bits();
  const uint64_t entries = geometry().cluster_size() / kL1EntrySize;
  while (clusters < limit && IsOrphan(graph(), stored, first + clusters) &&
         !HasL1Entries(view(), offset, clusters * entries,
                       (clusters + 1) * entries)) {
    ++clusters;
  }
  RecordField(Problem::kRefcountTableTooLarge, "refcount_table_clusters",
              absl::StrCat(header().refcount_table_clusters),
              absl::StrCat(clusters, ", as the table is long"));
  return WriteBe32(view(), kRefcountTableClustersAt,
                   static_cast<uint32_t>(clusters));
}

// Never makes the disk smaller: what its end held would be out of reach.
absl::Status HeaderMender::MendL1Size() {
  const Finding* finding = FirstFinding(Problem::kL1TableTooSmall);
  if (finding == nullptr || model().l1_tables.empty() ||
      !model().l1_tables.front().active || !finding->expected) {
    return absl::OkStatus();
  }
  const uint64_t offset = model().l1_tables.front().offset_bytes;
  const uint64_t entries = header().l1_size;
  const uint64_t wanted = *finding->expected;
  if (offset == 0 || !L1TableGoesOn(graph(), view(), offset, entries, wanted)) {
    return absl::OkStatus();
  }
  if (HasL1Entries(view(), offset, entries, wanted)) {
    const uint64_t begin = entries << geometry().l2_coverage_bits();
    GuestChange change;
    change.range.offset_bytes = begin;
    change.range.length_bytes = header().size - begin;
    change.kind = GuestChange::Kind::kRecovered;
    change.reason = "the L1 table goes on behind its end";
    RecordChange(std::move(change));
  }
  RecordField(Problem::kL1TableTooSmall, "l1_size", absl::StrCat(entries),
              absl::StrCat(wanted,
                           ", as the virtual size needs and the table "
                           "behind it goes on"));
  return WriteBe32(view(), kL1SizeAt, static_cast<uint32_t>(wanted));
}

absl::StatusOr<bool> HeaderMender::Run() {
  RETURN_IF_ERROR(MendLength());
  // What lies behind a header of another length is for the next round.
  if (!has_edits()) {
    RETURN_IF_ERROR(MendPadding());
    RETURN_IF_ERROR(MendCompressionBit());
    RETURN_IF_ERROR(MendAutoclearBits());
    RETURN_IF_ERROR(MendRefcountTableClusters());
    RETURN_IF_ERROR(MendL1Size());
  }
  TellPlan();
  return has_edits();
}

}  // namespace

absl::StatusOr<bool> MendHeaderFields(RepairContext& context) {
  if (!context.graph.model.geometry || context.graph.map == nullptr) {
    return false;
  }
  return HeaderMender(context).Run();
}

}  // namespace qcow2::repair
