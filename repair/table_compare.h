// Compares two L2 tables, one of the image and one of a planned view of it, by
// what the guest reads through them.
//
// Reads both files; contents only where the places differ or what is there
// changed.
#ifndef REPAIR_TABLE_COMPARE_H_
#define REPAIR_TABLE_COMPARE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "checker/metadata_reader.h"
#include "engine/format/l1_entry.h"
#include "engine/storage/file.h"
#include "repair/guest_source.h"
#include "repair/proof_log.h"

namespace qcow2::repair {

// Ascending, disjoint stretches of a file.
class RangeSet {
 public:
  // Adds a stretch that begins at or behind the end of the last one.
  void Append(ByteRange range);
  bool empty() const { return ranges_.empty(); }
  // Whether any byte of [offset, offset + length) is in the set.
  bool Touches(uint64_t offset, uint64_t length) const;
  const std::vector<ByteRange>& ranges() const { return ranges_; }

 private:
  std::vector<ByteRange> ranges_;
};

// What an L1 entry says of its window: where the L2 table is.
struct L2Place {
  enum class Kind { kNone, kTable, kUnreadable };
  Kind kind = Kind::kNone;
  uint64_t offset_bytes = 0;

  friend bool operator==(const L2Place&, const L2Place&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const L2Place& place) {
    return H::combine(std::move(h), place.kind, place.offset_bytes);
  }
};
L2Place PlaceOf(const Geometry& geometry, L1Entry entry);

// A part of an L1 entry's window that reads otherwise. Bytes from the window's
// start; the sources are those of its first cluster.
struct TableDifference {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  GuestSource before;
  GuestSource after;
};

class TableComparer {
 public:
  // `changed`: all stretches of the file that can hold guest data and differ
  // between image and view. Everything must outlive the comparer.
  TableComparer(const File& image, const SourceRules& before, const File& view,
                const SourceRules& after, const RangeSet& changed,
                ProofLog& log);

  // The differences between the tables, in order. What could not be read
  // before may become anything.
  std::vector<TableDifference> Compare(const L2Place& before,
                                       const L2Place& after);

 private:
  // One table's bytes and where they are bad.
  struct Table {
    L2Place place;
    std::vector<std::byte> bytes;
    std::vector<checker::UnreadableRange> bad;
    bool BadAt(uint64_t offset, uint64_t length) const;
  };

  Table ReadTable(const checker::MetadataReader& reader,
                  const L2Place& place) const;
  // Whether both mean the same without a look at anything else.
  bool EntryIsSame(L2Entry before, L2Entry after) const;
  bool TouchesChanged(L2Entry entry) const;
  void CompareEntry(uint64_t index, const Table& before, const Table& after,
                    std::vector<TableDifference>& differences);
  // The part of a guest cluster from `offset` on reads the same.
  bool ReadsTheSame(const GuestSource& before, const GuestSource& after,
                    uint64_t offset, uint64_t length);
  bool PlacesComparable(const GuestSource& before,
                        const GuestSource& after) const;
  bool ContentIsSame(const GuestSource& before, const GuestSource& after,
                     uint64_t offset, uint64_t length);
  bool PieceIsSame(const GuestSource& before, const GuestSource& after,
                   uint64_t offset, uint64_t length, bool& unreadable);

  const SourceRules& rules_before_;
  const SourceRules& rules_after_;
  const RangeSet& changed_;
  ProofLog& log_;
  checker::CheckOptions reader_options_;
  checker::MetadataReader image_reader_;
  checker::MetadataReader view_reader_;
  SourceReader source_before_;
  SourceReader source_after_;
  // Entries mean the same on both sides when they are the same.
  bool rules_alike_;
  std::vector<std::byte> buffer_before_;
  std::vector<std::byte> buffer_after_;
};

}  // namespace qcow2::repair

#endif  // REPAIR_TABLE_COMPARE_H_
