#include "repair/table_compare.h"

#include <algorithm>
#include <utility>

#include "engine/format/header.h"

namespace qcow2::repair {
namespace {

using Kind = GuestSource::Kind;

// Where a cluster cannot be read in one go it is read in pieces of this.
constexpr uint64_t kSectorBytes = 512;

void AddDifference(const TableDifference& difference,
                   std::vector<TableDifference>& differences) {
  if (!differences.empty()) {
    TableDifference& last = differences.back();
    if (last.offset_bytes + last.length_bytes == difference.offset_bytes &&
        last.before.kind == difference.before.kind &&
        last.after.kind == difference.after.kind) {
      last.length_bytes += difference.length_bytes;
      return;
    }
  }
  differences.push_back(difference);
}

}  // namespace

void RangeSet::Append(ByteRange range) {
  if (range.length == 0) return;
  if (!ranges_.empty() &&
      ranges_.back().offset + ranges_.back().length == range.offset) {
    ranges_.back().length += range.length;
  } else {
    ranges_.push_back(range);
  }
}

bool RangeSet::Touches(uint64_t offset, uint64_t length) const {
  if (ranges_.empty() || length == 0) return false;
  const ByteRange& last = ranges_.back();
  if (offset >= last.offset + last.length) return false;
  const uint64_t end =
      length > ~uint64_t{0} - offset ? ~uint64_t{0} : offset + length;
  if (end <= ranges_.front().offset) return false;
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), offset,
                                      [](uint64_t at, const ByteRange& range) {
                                        return at < range.offset + range.length;
                                      });
  return after != ranges_.end() && after->offset < end;
}

L2Place PlaceOf(const Geometry& geometry, L1Entry entry) {
  const uint64_t offset = entry.l2_offset().value();
  if (offset == 0) return {};
  if (!geometry.IsAligned(offset)) return {L2Place::Kind::kUnreadable};
  return {L2Place::Kind::kTable, offset};
}

TableComparer::TableComparer(const File& image, const SourceRules& before,
                             const File& view, const SourceRules& after,
                             const RangeSet& changed, ProofLog& log)
    : rules_before_(before),
      rules_after_(after),
      changed_(changed),
      log_(log),
      image_reader_(image, reader_options_),
      view_reader_(view, reader_options_),
      source_before_(image, before),
      source_after_(view, after),
      rules_alike_(before.version == after.version &&
                   before.external_data_file == after.external_data_file &&
                   before.has_backing == after.has_backing &&
                   before.compression == after.compression) {}

bool TableComparer::Table::BadAt(uint64_t offset, uint64_t length) const {
  return std::any_of(bad.begin(), bad.end(),
                     [&](const checker::UnreadableRange& range) {
                       const uint64_t at = place.offset_bytes + offset;
                       return at < range.offset_bytes + range.length_bytes &&
                              range.offset_bytes < at + length;
                     });
}

TableComparer::Table TableComparer::ReadTable(
    const checker::MetadataReader& reader, const L2Place& place) const {
  Table table;
  table.place = place;
  table.bytes.resize(rules_before_.geometry.cluster_size());
  if (place.kind == L2Place::Kind::kTable) {
    table.bad = reader.Read(place.offset_bytes, table.bytes);
  }
  return table;
}

bool TableComparer::EntryIsSame(L2Entry before, L2Entry after) const {
  // COPIED says something of the place only where the place is a data file's.
  const uint64_t ignored = rules_before_.external_data_file ? 0 : kCopiedFlag;
  return rules_alike_ && ((before.raw() ^ after.raw()) & ~ignored) == 0 &&
         before.bitmap() == after.bitmap();
}

bool TableComparer::TouchesChanged(L2Entry entry) const {
  if (changed_.empty() || rules_before_.external_data_file) return false;
  const Geometry& geometry = rules_before_.geometry;
  if (entry.is_compressed()) {
    const CompressedDescriptor data = entry.compressed(geometry);
    return changed_.Touches(data.offset.value(), data.length);
  }
  const uint64_t offset = entry.host_offset().value();
  return offset != 0 && changed_.Touches(offset, geometry.cluster_size());
}

bool TableComparer::PlacesComparable(const GuestSource& before,
                                     const GuestSource& after) const {
  for (const GuestSource* source : {&before, &after}) {
    if (source->kind == Kind::kUnreadable || source->kind == Kind::kBacking) {
      return false;
    }
  }
  const bool before_host = before.kind == Kind::kHost;
  const bool after_host = after.kind == Kind::kHost;
  if (!before_host && !after_host) return true;
  if (rules_before_.external_data_file) return false;
  if (rules_before_.crypt_method == kCryptNone) return true;
  if (!before_host || !after_host) return false;
  // LUKS encrypts with the number of the host sector, AES with the guest's.
  return rules_before_.crypt_method == kCryptAes ||
         before.offset_bytes == after.offset_bytes;
}

bool TableComparer::PieceIsSame(const GuestSource& before,
                                const GuestSource& after, uint64_t offset,
                                uint64_t length, bool& unreadable) {
  buffer_before_.resize(length);
  buffer_after_.resize(length);
  unreadable = !source_before_.Read(before, offset, buffer_before_).ok();
  if (unreadable) return true;
  return source_after_.Read(after, offset, buffer_after_).ok() &&
         buffer_before_ == buffer_after_;
}

bool TableComparer::ContentIsSame(const GuestSource& before,
                                  const GuestSource& after, uint64_t offset,
                                  uint64_t length) {
  log_.statistics.guest_bytes_by_content += length;
  bool unreadable = false;
  const bool same = PieceIsSame(before, after, offset, length, unreadable);
  if (!unreadable || before.kind != Kind::kHost) return same;
  // A bad sector is no excuse for the good ones beside it.
  const uint64_t end = offset + length;
  for (uint64_t at = offset; at < end; at += kSectorBytes) {
    const uint64_t piece = std::min(kSectorBytes, end - at);
    if (!PieceIsSame(before, after, at, piece, unreadable)) return false;
  }
  return true;
}

bool TableComparer::ReadsTheSame(const GuestSource& before,
                                 const GuestSource& after, uint64_t offset,
                                 uint64_t length) {
  if (before.kind == Kind::kUnreadable) return true;
  if (before == after) {
    const bool in_file =
        before.kind == Kind::kCompressed ||
        (before.kind == Kind::kHost && !rules_before_.external_data_file);
    if (!in_file) return true;
    const bool compressed = before.kind == Kind::kCompressed;
    if (!changed_.Touches(before.offset_bytes + (compressed ? 0 : offset),
                          compressed ? before.length_bytes : length)) {
      return true;
    }
    return ContentIsSame(before, after, offset, length);
  }
  return PlacesComparable(before, after) &&
         ContentIsSame(before, after, offset, length);
}

void TableComparer::CompareEntry(uint64_t index, const Table& before,
                                 const Table& after,
                                 std::vector<TableDifference>& differences) {
  const Geometry& geometry = rules_before_.geometry;
  const uint64_t entry_size = geometry.l2_entry_size();
  const uint64_t at = index * entry_size;
  const L2Entry old_entry = L2Entry::Decode(before.bytes.data() + at, geometry);
  const L2Entry new_entry = L2Entry::Decode(after.bytes.data() + at, geometry);
  const bool all_readable = before.bad.empty() && after.bad.empty() &&
                            after.place.kind != L2Place::Kind::kUnreadable;
  if (all_readable && EntryIsSame(old_entry, new_entry) &&
      !TouchesChanged(old_entry)) {
    return;
  }
  if (before.BadAt(at, entry_size)) return;
  const bool lost = after.place.kind == L2Place::Kind::kUnreadable ||
                    after.BadAt(at, entry_size);
  const uint64_t unit = geometry.subcluster_size();
  for (uint64_t offset = 0; offset < geometry.cluster_size(); offset += unit) {
    const uint32_t subcluster = static_cast<uint32_t>(offset / unit);
    const GuestSource old_source =
        SourceOf(rules_before_, old_entry, subcluster);
    const GuestSource new_source =
        lost ? GuestSource{Kind::kUnreadable}
             : SourceOf(rules_after_, new_entry, subcluster);
    if (ReadsTheSame(old_source, new_source, offset, unit)) continue;
    AddDifference({index * geometry.cluster_size() + offset, unit, old_source,
                   new_source},
                  differences);
  }
}

std::vector<TableDifference> TableComparer::Compare(const L2Place& before,
                                                    const L2Place& after) {
  std::vector<TableDifference> differences;
  if (before.kind == L2Place::Kind::kUnreadable) return differences;
  ++log_.statistics.l2_tables_compared;
  const Table old_table = ReadTable(image_reader_, before);
  const Table new_table = ReadTable(view_reader_, after);
  // Two tables of one image may name the same clusters, so that what they name
  // has to be looked at even so.
  if (changed_.empty() && rules_alike_ && old_table.bytes == new_table.bytes &&
      new_table.bad.empty() && after.kind != L2Place::Kind::kUnreadable) {
    return differences;
  }
  const uint64_t entries = rules_before_.geometry.l2_entries();
  for (uint64_t i = 0; i < entries && !log_.Ended(); ++i) {
    CompareEntry(i, old_table, new_table, differences);
  }
  return differences;
}

}  // namespace qcow2::repair
