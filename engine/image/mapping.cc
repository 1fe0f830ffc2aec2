#include "engine/image/mapping.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// Follows the entries of one L2 table from a guest offset on.
class TableWalk {
 public:
  TableWalk(Metadata& metadata, const CachedTable& table, uint64_t offset)
      : metadata_(metadata),
        geometry_(metadata.geometry()),
        table_(table),
        offset_(offset) {}

  // The extent at the offset, up to `max_length` or the table's end.
  absl::StatusOr<MappedExtent> Run(uint64_t max_length);

 private:
  uint64_t IndexOf(uint64_t offset) const {
    return (offset >> geometry_.cluster_bits()) & (geometry_.l2_entries() - 1);
  }
  // The piece of one kind at `offset`, up to the end of its cluster.
  absl::StatusOr<MappedExtent> PieceAt(uint64_t offset) const;

  Metadata& metadata_;
  const Geometry& geometry_;
  const CachedTable& table_;
  const uint64_t offset_;
};

// Subclusters from `first` on that have the bit of `first` in `mask`.
uint32_t LikeBits(uint32_t mask, uint32_t first, uint32_t count) {
  const bool set = (mask >> first & 1) != 0;
  uint32_t end = first + 1;
  while (end < count && ((mask >> end & 1) != 0) == set) ++end;
  return end - first;
}

absl::StatusOr<MappedExtent> TableWalk::PieceAt(uint64_t offset) const {
  const uint64_t index = IndexOf(offset);
  const L2Entry entry = L2Entry::Decode(
      table_.bytes.data() + index * geometry_.l2_entry_size(), geometry_);
  RETURN_IF_ERROR(CheckL2Entry(metadata_, table_.offset, index, entry));
  const uint64_t in_cluster = geometry_.OffsetInCluster(offset);
  MappedExtent piece;
  piece.length_bytes = geometry_.cluster_size() - in_cluster;
  if (entry.is_compressed()) {
    piece.kind = MappedKind::kCompressed;
    piece.compressed = entry.compressed(geometry_);
    return piece;
  }
  const SubclusterMasks masks = SubclustersOf(
      entry, geometry_, metadata_.header().has_external_data_file());
  const auto first =
      static_cast<uint32_t>(in_cluster / geometry_.subcluster_size());
  const uint32_t count = geometry_.extended_l2() ? kSubclustersPerCluster : 1;
  const uint32_t like = std::min(LikeBits(masks.allocated, first, count),
                                 LikeBits(masks.zeros, first, count));
  piece.length_bytes =
      (first + like) * geometry_.subcluster_size() - in_cluster;
  if ((masks.allocated >> first & 1) != 0) {
    piece.kind = MappedKind::kHost;
    piece.host_offset = entry.host_offset().value() + in_cluster;
  } else if ((masks.zeros >> first & 1) != 0) {
    piece.kind = MappedKind::kZeros;
    if (entry.host_offset().value() != 0) {
      piece.host_offset = entry.host_offset().value() + in_cluster;
    }
  }
  return piece;
}

absl::StatusOr<MappedExtent> TableWalk::Run(uint64_t max_length) {
  ASSIGN_OR_RETURN(MappedExtent extent, PieceAt(offset_));
  const uint64_t window_end =
      (offset_ | (geometry_.l2_coverage() - 1)) - offset_ + 1;
  const uint64_t limit = std::min(max_length, window_end);
  while (extent.length_bytes < limit &&
         extent.kind != MappedKind::kCompressed) {
    const absl::StatusOr<MappedExtent> next =
        PieceAt(offset_ + extent.length_bytes);
    // What cannot be right is told to those who ask for it: here it ends what
    // is intact.
    if (!next.ok()) break;
    const bool joins =
        next->kind == extent.kind &&
        (next->host_offset == 0) == (extent.host_offset == 0) &&
        (extent.host_offset == 0 ||
         next->host_offset == extent.host_offset + extent.length_bytes);
    if (!joins) break;
    extent.length_bytes += next->length_bytes;
  }
  extent.length_bytes = std::min(extent.length_bytes, limit);
  return extent;
}

// The same status, with the L1 entry that led there.
absl::Status NamedByL1(uint64_t index, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(status.message(), " (entry ",
                                                  index, " of the L1 table)"));
}

struct IssueText {
  uint32_t issue;
  const char* text;
};
// What readers cannot live with; the rest is the checker's to find.
constexpr IssueText kFatalIssues[] = {
    {kL2OffsetUnaligned, "names a cluster that is not aligned"},
    {kL2CompressedWithDataFile, "is compressed, with an external data file"},
    {kL2CompressedOffsetTooLarge, "names bytes past any file's end"},
    {kL2SubclusterAllocatedAndZero, "has a subcluster both stored and zeros"},
    {kL2SubclusterAllocatedWithoutOffset,
     "has stored subclusters, but no cluster"},
    {kL2ZeroFlagInVersion2, "has the zero flag, which version 2 does not know"},
};

}  // namespace

absl::Status CheckL2Entry(Metadata& metadata, HostOffset table, uint64_t index,
                          L2Entry entry) {
  const uint32_t issues =
      L2EntryIssues(entry, metadata.geometry(), metadata.header().version,
                    metadata.header().has_external_data_file());
  if (issues == 0) return absl::OkStatus();
  const auto* const fatal = std::ranges::find_if(
      kFatalIssues,
      [issues](const IssueText& t) { return (issues & t.issue) != 0; });
  if (fatal == std::end(kFatalIssues)) return absl::OkStatus();
  const std::string why =
      absl::StrCat(metadata.file().name(), ": L2 table at 0x",
                   absl::Hex(table.value()), ", entry ", index, " is 0x",
                   absl::Hex(entry.raw()), ", which ", fatal->text);
  return metadata.options().writable ? metadata.MarkCorrupt(why)
                                     : absl::DataLossError(why);
}

SubclusterMasks SubclustersOf(L2Entry entry, const Geometry& geometry,
                              bool external_data_file) {
  if (geometry.extended_l2() && !entry.is_compressed()) {
    return {entry.allocated_subclusters(), entry.zero_subclusters()};
  }
  switch (TypeOf(entry, geometry, external_data_file)) {
    case L2EntryType::kUnallocated:
      return {};
    case L2EntryType::kZeroPlain:
    case L2EntryType::kZeroAllocated:
      return {0, 1};
    case L2EntryType::kNormal:
      return {1, 0};
    case L2EntryType::kCompressed:
      return {geometry.extended_l2() ? ~uint32_t{0} : 1, 0};
  }
  return {};
}

absl::StatusOr<MappedExtent> MapExtent(Metadata& metadata,
                                       std::span<const uint64_t> l1,
                                       uint64_t offset, uint64_t max_length) {
  const Geometry& geometry = metadata.geometry();
  MappedExtent unallocated;
  while (unallocated.length_bytes < max_length) {
    const uint64_t at = offset + unallocated.length_bytes;
    const uint64_t index = at >> geometry.l2_coverage_bits();
    if (index >= l1.size()) {
      unallocated.length_bytes = max_length;
      break;
    }
    if (L1Entry(l1[index]).has_l2_table()) {
      if (unallocated.length_bytes > 0) break;
      const absl::StatusOr<CachedTable*> table =
          metadata.L2ForRead(L1Entry(l1[index]));
      if (!table.ok()) return NamedByL1(index, table.status());
      return TableWalk(metadata, **table, offset).Run(max_length);
    }
    unallocated.length_bytes += ((at | (geometry.l2_coverage() - 1)) - at) + 1;
  }
  unallocated.length_bytes = std::min(unallocated.length_bytes, max_length);
  return unallocated;
}

}  // namespace qcow2
