// Zeroing and discarding: mappings change, no data moves. What is less than a
// cluster (or subcluster) is written as zeros, or stays where discarding is
// meant.
#include <algorithm>
#include <vector>

#include "engine/image/image_core.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// Zeros that are written at a time where a mapping cannot say so.
constexpr uint64_t kZeroPieceBytes = uint64_t{1} << 20;

absl::Status WriteZeroBytes(ImageCore& core, uint64_t begin, uint64_t end) {
  const std::vector<std::byte> zeros(std::min(end - begin, kZeroPieceBytes));
  while (begin < end) {
    const uint64_t length = std::min<uint64_t>(zeros.size(), end - begin);
    RETURN_IF_ERROR(WriteGuest(core, begin, std::span(zeros).first(length)));
    begin += length;
  }
  return absl::OkStatus();
}

// Changes the entries of whole clusters.
class ZeroRequest {
 public:
  enum class Kind { kKeep, kUnmap, kMark, kDiscard, kForget };

  ZeroRequest(ImageCore& core, Kind kind)
      : core_(core), geometry_(core.metadata->geometry()), kind_(kind) {}

  // Zeros [begin, end), multiples of a subcluster. Pieces for which the format
  // has no such entry are added to `left`.
  absl::Status Run(uint64_t begin, uint64_t end, std::vector<ByteRange>& left);

 private:
  // One L2 table's part of the range.
  absl::Status RunInTable(uint64_t begin, uint64_t end,
                          std::vector<ByteRange>& left)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(core_.mutex);
  // The entry that takes the place of `before`, in which `mask` are the
  // subclusters to zero. False if no entry can say that.
  bool Zeroed(L2Entry before, uint64_t offset, uint32_t mask,
              L2Entry& after) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(core_.mutex);
  bool ZeroedExtended(L2Entry before, uint32_t mask, L2Entry& after) const;
  // Whether something else may show where nothing is mapped.
  bool IsBacked(uint64_t offset) const {
    return kind_ == Kind::kMark ||
           (core_.backing != nullptr && offset < core_.backing->size_bytes());
  }
  FreeReason Reason() const {
    return kind_ == Kind::kDiscard || kind_ == Kind::kForget
               ? FreeReason::kRequest
               : FreeReason::kOther;
  }
  uint32_t MaskOf(uint64_t begin, uint64_t end) const {
    if (!geometry_.extended_l2()) return 1;
    const uint64_t size = geometry_.subcluster_size();
    const uint64_t first = geometry_.OffsetInCluster(begin) / size;
    const uint64_t count = (end - begin) / size;
    return static_cast<uint32_t>(((uint64_t{1} << count) - 1) << first);
  }

  ImageCore& core_;
  const Geometry& geometry_;
  const Kind kind_;
};

bool ZeroRequest::ZeroedExtended(L2Entry before, uint32_t mask,
                                 L2Entry& after) const {
  if (before.is_compressed()) {
    // Half a compressed cluster cannot be zeroed.
    if (mask != ~uint32_t{0}) return false;
    after = L2Entry(0, uint64_t{mask} << 32);
    return true;
  }
  const uint32_t zeros = before.zero_subclusters() | mask;
  const uint32_t allocated = before.allocated_subclusters() & ~mask;
  const bool drop =
      allocated == 0 && (kind_ != Kind::kKeep || !before.copied());
  after = L2Entry(drop ? 0 : before.raw(), uint64_t{zeros} << 32 | allocated);
  return true;
}

bool ZeroRequest::Zeroed(L2Entry before, uint64_t offset, uint32_t mask,
                         L2Entry& after) const {
  if (kind_ == Kind::kForget) {
    after = L2Entry();
    return true;
  }
  if (geometry_.extended_l2()) return ZeroedExtended(before, mask, after);
  const bool backed = IsBacked(offset);
  if (core_.metadata->header().version < 3) {
    // Version 2 has no zero flag: only a cluster without a mapping is zeros.
    if (backed) return false;
    if (kind_ == Kind::kKeep && before.raw() != 0) return false;
    after = L2Entry();
    return true;
  }
  const bool keep = kind_ == Kind::kKeep && !before.is_compressed() &&
                    before.copied() && before.host_offset().value() != 0;
  if (!backed && !keep && before.raw() == 0) {
    after = before;
    return true;
  }
  after = L2Entry(keep ? before.raw() | kZeroFlag : kZeroFlag);
  return true;
}

absl::Status ZeroRequest::RunInTable(uint64_t begin, uint64_t end,
                                     std::vector<ByteRange>& left) {
  RETURN_IF_ERROR(core_.metadata->BeginChange());
  const uint64_t l1_index = begin >> geometry_.l2_coverage_bits();
  if (l1_index >= core_.metadata->l1_size()) return absl::OkStatus();
  if (!core_.metadata->l1_entry(l1_index).has_l2_table() &&
      (kind_ == Kind::kForget || !IsBacked(begin))) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(
      MapExtent(*core_.metadata, core_.metadata->l1(), begin, end - begin)
          .status());
  ASSIGN_OR_RETURN(CachedTable * table, core_.metadata->L2ForWrite(l1_index));
  while (begin < end) {
    const uint64_t piece_end =
        std::min(end, begin - geometry_.OffsetInCluster(begin) +
                          geometry_.cluster_size());
    const uint64_t index =
        (begin >> geometry_.cluster_bits()) & (geometry_.l2_entries() - 1);
    // Damage is met before anything is built on it.
    RETURN_IF_ERROR(
        MapExtent(*core_.metadata, core_.metadata->l1(), begin, 1).status());
    const L2Entry before = L2Entry::Decode(
        table->bytes.data() + index * geometry_.l2_entry_size(), geometry_);
    L2Entry after;
    if (!Zeroed(before, begin, MaskOf(begin, piece_end), after)) {
      left.push_back({begin, piece_end - begin});
    } else if (after != before) {
      core_.metadata->SetL2Entry(table, index, after);
      const bool dropped =
          before.is_compressed() || (before.host_offset().value() != 0 &&
                                     after.host_offset().value() == 0);
      if (dropped) {
        core_.metadata->FreeEntryLater(before, Reason());
      }
    }
    begin = piece_end;
  }
  return absl::OkStatus();
}

absl::Status ZeroRequest::Run(uint64_t begin, uint64_t end,
                              std::vector<ByteRange>& left) {
  const uint64_t cluster = geometry_.cluster_size() - 1;
  const RangeLock::Holder holder(core_.ranges, begin & ~cluster,
                                 (end + cluster) & ~cluster,
                                 RangeLock::Mode::kExclusive);
  while (begin < end) {
    const uint64_t table_end =
        std::min(end, (begin | (geometry_.l2_coverage() - 1)) + 1);
    MutexLock held(&core_.mutex);
    RETURN_IF_ERROR(core_.metadata->BeginChange());
    RETURN_IF_ERROR(core_.NoteChange(begin, table_end - begin));
    RETURN_IF_ERROR(RunInTable(begin, table_end, left));
    if (core_.data_file != nullptr) {
      // What the data file holds by itself must agree.
      RETURN_IF_ERROR(core_.data_file->PunchHole({begin, table_end - begin}));
      core_.metadata->NoteDataWritten();
    }
    begin = table_end;
  }
  return absl::OkStatus();
}

absl::Status ZeroAs(ImageCore& core, uint64_t offset, uint64_t length,
                    ZeroRequest::Kind kind) {
  const uint64_t unit = core.metadata->geometry().subcluster_size();
  const uint64_t end = offset + length;
  const uint64_t begin_whole = (offset + unit - 1) / unit * unit;
  // The last cluster of the disk may be zeroed whole: nothing lies behind.
  const uint64_t disk_end = core.size_bytes.load();
  const uint64_t end_whole =
      end == disk_end ? (end + unit - 1) / unit * unit : end / unit * unit;
  if (begin_whole >= end_whole) return WriteZeroBytes(core, offset, end);
  RETURN_IF_ERROR(WriteZeroBytes(core, offset, begin_whole));
  std::vector<ByteRange> left;
  RETURN_IF_ERROR(ZeroRequest(core, kind).Run(begin_whole, end_whole, left));
  for (const ByteRange& range : left) {
    RETURN_IF_ERROR(WriteZeroBytes(
        core, range.offset,
        std::min(range.offset + range.length, std::max(end, disk_end))));
  }
  return end_whole < end ? WriteZeroBytes(core, end_whole, end)
                         : absl::OkStatus();
}

}  // namespace

absl::Status ZeroGuest(ImageCore& core, uint64_t offset, uint64_t length,
                       ZeroMode mode) {
  return ZeroAs(core, offset, length,
                mode == ZeroMode::kUnmap ? ZeroRequest::Kind::kUnmap
                                         : ZeroRequest::Kind::kKeep);
}

absl::Status MarkZeroGuest(ImageCore& core, uint64_t offset, uint64_t length) {
  return ZeroAs(core, offset, length, ZeroRequest::Kind::kMark);
}

absl::Status DiscardGuest(ImageCore& core, uint64_t offset, uint64_t length) {
  const uint64_t unit = core.metadata->geometry().cluster_size();
  const uint64_t end = offset + length;
  const uint64_t begin_whole = (offset + unit - 1) / unit * unit;
  const uint64_t end_whole = end == core.size_bytes.load()
                                 ? (end + unit - 1) / unit * unit
                                 : end / unit * unit;
  if (begin_whole >= end_whole) return absl::OkStatus();
  // Where no mapping can say so the bytes stay: discarding is a wish.
  std::vector<ByteRange> left;
  return ZeroRequest(core, ZeroRequest::Kind::kDiscard)
      .Run(begin_whole, end_whole, left);
}

absl::Status ForgetGuest(ImageCore& core, uint64_t offset, uint64_t length) {
  const uint64_t unit = core.metadata->geometry().cluster_size();
  const uint64_t begin = (offset + unit - 1) / unit * unit;
  const uint64_t end = offset + length;
  const uint64_t end_whole = end >= core.size_bytes.load()
                                 ? (end + unit - 1) / unit * unit
                                 : end / unit * unit;
  if (begin >= end_whole) return absl::OkStatus();
  std::vector<ByteRange> left;
  return ZeroRequest(core, ZeroRequest::Kind::kForget)
      .Run(begin, end_whole, left);
}

}  // namespace qcow2
