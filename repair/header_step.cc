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

std::string Field(std::string_view name) {
  return absl::StrCat("header, ", std::string(name));
}

class HeaderMender {
 public:
  explicit HeaderMender(RepairContext& context)
      : context_(context),
        model_(context.graph.model),
        header_(context.graph.model.header),
        geometry_(*context.graph.model.geometry) {}

  absl::StatusOr<bool> Run();

 private:
  const Finding* Found(Problem problem) const {
    return FindingOf(context_.report, problem);
  }
  void Record(Problem problem, std::string_view field, std::string before,
              std::string after) {
    context_.plan.Add(
        EditFor(problem, Field(field), std::move(before), std::move(after)));
    changed_ = true;
  }

  absl::Status MendLength();
  std::optional<uint32_t> LikelyLength() const;
  absl::Status MendPadding();
  absl::Status MendCompressionBit();
  absl::Status MendAutoclearBits();
  absl::Status MendRefcountTableClusters();
  absl::Status MendL1Size();

  RepairContext& context_;
  const checker::ImageModel& model_;
  const Header& header_;
  const Geometry& geometry_;
  bool changed_ = false;
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
  std::vector<std::byte> cluster(geometry_.cluster_size());
  if (!ReadZeroFilled(context_.view, 0, cluster).ok()) return std::nullopt;
  std::set<uint32_t> candidates = {kHeaderLengthV3, kHeaderLengthKnown};
  for (uint32_t bit = 0; bit < 32; ++bit) {
    const uint32_t length = header_.header_length ^ (uint32_t{1} << bit);
    if (length % 8 == 0 && length >= kHeaderLengthV3 &&
        length + 8 <= cluster.size()) {
      candidates.insert(length);
    }
  }
  std::erase_if(candidates, [&](uint32_t length) {
    return !ExtensionsBeginAt(header_, cluster, length);
  });
  if (candidates.size() == 1) return *candidates.begin();
  if (candidates.empty() && HasNoExtensions(header_, cluster)) {
    return kHeaderLengthKnown;
  }
  return std::nullopt;
}

absl::Status HeaderMender::MendLength() {
  const Finding* finding = Found(Problem::kHeaderLength);
  if (finding == nullptr) finding = Found(Problem::kHeaderLengthUnaligned);
  if (finding == nullptr || header_.version < 3) return absl::OkStatus();
  const std::optional<uint32_t> length = LikelyLength();
  if (!length) return absl::OkStatus();
  Record(finding->problem, "header_length", absl::StrCat(header_.header_length),
         absl::StrCat(*length, ", where the header extensions begin"));
  return WriteBe32(context_.view, kHeaderLengthAt, *length);
}

absl::Status HeaderMender::MendPadding() {
  const Finding* finding = Found(Problem::kHeaderPadding);
  if (finding == nullptr) return absl::OkStatus();
  const uint64_t end =
      std::min<uint64_t>(header_.header_length, kHeaderLengthKnown);
  if (end <= kPaddingAt) return absl::OkStatus();
  Record(Problem::kHeaderPadding, "padding", Hex(finding->actual.value_or(0)),
         "zero");
  return WriteZeros(context_.view, kPaddingAt, end - kPaddingAt);
}

// The type that compressed clusters are of; the field's own word where there
// are none.
absl::Status HeaderMender::MendCompressionBit() {
  if (Found(Problem::kCompressionTypeBit) == nullptr) return absl::OkStatus();
  CompressionEvidence evidence = CompressionEvidence::kNone;
  if (!model_.encrypted && !model_.external_data_file) {
    evidence = FindCompressionEvidence(context_.graph, context_.view,
                                       context_.options.check.cancel);
  }
  if (evidence == CompressionEvidence::kUnclear) return absl::OkStatus();
  uint8_t type = header_.compression_type;
  if (evidence == CompressionEvidence::kDeflate) type = kCompressionDeflate;
  if (evidence == CompressionEvidence::kZstd) type = kCompressionZstd;
  const bool has_field = header_.header_length > kCompressionTypeAt;
  if (type != kCompressionDeflate && !has_field) return absl::OkStatus();

  const std::string_view name = type == kCompressionZstd ? "zstd" : "deflate";
  const std::string why =
      evidence == CompressionEvidence::kNone
          ? "there are no compressed clusters that say otherwise"
          : absl::StrCat("the compressed clusters are ", std::string(name),
                         " data");
  const bool bit = header_.has_incompatible(kIncompatibleCompressionType);
  Record(
      Problem::kCompressionTypeBit, "compression_type and its feature bit",
      absl::StrCat("type ", header_.compression_type, ", bit ",
                   bit ? "set" : "clear"),
      absl::StrCat(std::string(name), ", type ", type, ", bit ",
                   type != kCompressionDeflate ? "set" : "clear", ": ", why));
  uint64_t features =
      header_.incompatible_features & ~kIncompatibleCompressionType;
  if (type != kCompressionDeflate) features |= kIncompatibleCompressionType;
  if (has_field) {
    const std::byte byte[] = {static_cast<std::byte>(type)};
    RETURN_IF_ERROR(context_.view.Pwrite(kCompressionTypeAt, byte));
  }
  return WriteBe64(context_.view, kIncompatibleFeaturesAt, features);
}

absl::Status HeaderMender::MendAutoclearBits() {
  uint64_t features = header_.autoclear_features;
  if (Found(Problem::kAutoclearWithoutExtension) != nullptr) {
    features &= ~kAutoclearBitmaps;
    Record(Problem::kAutoclearWithoutExtension, "bitmaps autoclear bit", "set",
           "clear: there is no bitmaps extension");
  }
  // With the name of a data file it may be the other bit that is damaged.
  if (Found(Problem::kRawWithoutDataFile) != nullptr &&
      !model_.data_file_name) {
    features &= ~kAutoclearRawData;
    Record(Problem::kRawWithoutDataFile, "raw external data autoclear bit",
           "set", "clear: there is no external data file");
  }
  if (features == header_.autoclear_features) return absl::OkStatus();
  return WriteBe64(context_.view, kAutoclearFeaturesAt, features);
}

// As many clusters as the file needs, and those behind that are counted,
// belong to nobody and hold nothing: room for the table to grow.
absl::Status HeaderMender::MendRefcountTableClusters() {
  if (Found(Problem::kRefcountTableTooLarge) == nullptr ||
      model_.refcounts_unknown) {
    return absl::OkStatus();
  }
  const uint64_t offset = model_.refcount_table_offset_bytes;
  uint64_t clusters = geometry_.ClustersFor(model_.refcount_table_entries *
                                            kRefcountTableEntrySize);
  const uint64_t length = clusters << geometry_.cluster_bits();
  // Without a block for the first cluster this is no refcount table.
  if (clusters == 0 || !HasSoleOwner(context_.graph, offset, length) ||
      context_.graph.refcounts.blocks.empty() ||
      context_.graph.refcounts.blocks.front().table_index != 0 ||
      !context_.graph.refcounts.blocks.front().readable) {
    return absl::OkStatus();
  }
  StoredRefcounts stored(context_.graph, context_.view);
  const uint64_t first = offset >> geometry_.cluster_bits();
  const uint64_t limit = kMaxRefcountTableBytes >> geometry_.cluster_bits();
  const uint64_t entries = geometry_.cluster_size() / kL1EntrySize;
  while (clusters < limit &&
         IsOrphan(context_.graph, stored, first + clusters) &&
         !HasL1Entries(context_.view, offset, clusters * entries,
                       (clusters + 1) * entries)) {
    ++clusters;
  }
  Record(Problem::kRefcountTableTooLarge, "refcount_table_clusters",
         absl::StrCat(header_.refcount_table_clusters),
         absl::StrCat(clusters, ", as the table is long"));
  return WriteBe32(context_.view, kRefcountTableClustersAt,
                   static_cast<uint32_t>(clusters));
}

// Never makes the disk smaller: what its end held would be out of reach.
absl::Status HeaderMender::MendL1Size() {
  const Finding* finding = Found(Problem::kL1TableTooSmall);
  if (finding == nullptr || model_.l1_tables.empty() ||
      !model_.l1_tables.front().active || !finding->expected) {
    return absl::OkStatus();
  }
  const uint64_t offset = model_.l1_tables.front().offset_bytes;
  const uint64_t entries = header_.l1_size;
  const uint64_t wanted = *finding->expected;
  if (offset == 0 ||
      !L1TableGoesOn(context_.graph, context_.view, offset, entries, wanted)) {
    return absl::OkStatus();
  }
  if (HasL1Entries(context_.view, offset, entries, wanted)) {
    const uint64_t begin = entries << geometry_.l2_coverage_bits();
    GuestChange change;
    change.range.offset_bytes = begin;
    change.range.length_bytes = header_.size - begin;
    change.kind = GuestChange::Kind::kRecovered;
    change.reason = "the L1 table goes on behind its end";
    context_.plan.AddGuestChange(std::move(change));
  }
  Record(Problem::kL1TableTooSmall, "l1_size", absl::StrCat(entries),
         absl::StrCat(wanted,
                      ", as the virtual size needs and the table "
                      "behind it goes on"));
  return WriteBe32(context_.view, kL1SizeAt, static_cast<uint32_t>(wanted));
}

absl::StatusOr<bool> HeaderMender::Run() {
  RETURN_IF_ERROR(MendLength());
  // What lies behind the header is only known now.
  if (changed_) return true;
  RETURN_IF_ERROR(MendPadding());
  RETURN_IF_ERROR(MendCompressionBit());
  RETURN_IF_ERROR(MendAutoclearBits());
  RETURN_IF_ERROR(MendRefcountTableClusters());
  RETURN_IF_ERROR(MendL1Size());
  return changed_;
}

}  // namespace

absl::StatusOr<bool> MendHeaderFields(RepairContext& context) {
  if (!context.graph.model.geometry || context.graph.map == nullptr) {
    return false;
  }
  return HeaderMender(context).Run();
}

}  // namespace qcow2::repair
