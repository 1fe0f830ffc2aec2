// Writing the guest's bytes. Clusters that are this image's alone are
// overwritten in place; others get a new cluster, into which what surrounds the
// new bytes is copied before the mapping changes.
#include <algorithm>
#include <bit>
#include <optional>
#include <vector>

#include "engine/image/image_core.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// Up to here the new bytes and what is copied around them are one write.
constexpr uint64_t kMergedWriteBytes = uint64_t{1} << 20;

// How the next piece of a request is carried out.
struct WritePlan {
  bool in_place = false;
  uint64_t length_bytes = 0;  // of the request
  uint64_t host_offset = 0;   // of the piece's first byte
  // --- what follows is for clusters whose mapping changes ---
  // What the guest's clusters map to now, and the new host clusters.
  std::vector<L2Entry> before;
  ClusterRun host;
  bool newly_allocated = false;
  // The clusters read as zeros in the file already.
  bool reads_zeros = false;
  // Guest bytes that have to be written: the piece and what is copied around
  // it.
  uint64_t fill_begin = 0;
  uint64_t fill_end = 0;
  // What is copied in front of and behind the piece reads as zeros.
  bool zeros_before = false;
  bool zeros_behind = false;
};

class WriteRequest {
 public:
  WriteRequest(ImageCore& core, uint64_t offset,
               std::span<const std::byte> data)
      : core_(core),
        geometry_(core.metadata->geometry()),
        data_file_(core.data_file != nullptr),
        offset_(offset),
        data_(data) {}

  absl::Status Run();

 private:
  absl::StatusOr<WritePlan> MakePlan()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(core_.mutex);
  absl::Status PlanFill(WritePlan& plan)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(core_.mutex);
  absl::Status PlanAllocation(L2Entry first, WritePlan& plan)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(core_.mutex);
  // The active entry of a guest cluster; 0 where there is no L2 table.
  // `exclusive`: whether the L2 table is the active L1's alone.
  absl::StatusOr<L2Entry> EntryAt(uint64_t guest_cluster, bool& exclusive)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(core_.mutex);
  uint64_t InPlaceBytes(L2Entry entry, uint64_t offset, uint64_t most) const;
  bool ReadsZeros(L2Entry entry, uint64_t begin, uint64_t end) const;
  bool CanReuse(L2Entry entry) const;
  uint32_t MaskOf(uint64_t begin, uint64_t end) const;

  absl::Status WriteInPlace(const WritePlan& plan);
  absl::Status WriteNew(const WritePlan& plan);
  absl::Status WriteMerged(const WritePlan& plan);
  absl::Status WriteAround(const WritePlan& plan, uint64_t begin, uint64_t end);
  absl::Status WriteHost(uint64_t host_offset, uint64_t guest_offset,
                         std::span<const std::byte> bytes);
  absl::Status Link(const WritePlan& plan)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(core_.mutex);
  L2Entry NewEntry(const WritePlan& plan, uint64_t index) const;
  uint64_t HostOf(const WritePlan& plan, uint64_t guest_offset) const {
    return geometry_.OffsetOf(plan.host.first).value() +
           (guest_offset - (offset_ - geometry_.OffsetInCluster(offset_)));
  }

  ImageCore& core_;
  const Geometry& geometry_;
  const bool data_file_;
  uint64_t offset_;
  std::span<const std::byte> data_;
};

absl::StatusOr<L2Entry> WriteRequest::EntryAt(uint64_t guest_cluster,
                                              bool& exclusive) {
  const uint64_t index = guest_cluster >> geometry_.l2_bits();
  if (index >= core_.metadata->l1_size()) {
    return absl::OutOfRangeError("a write past the end of the L1 table");
  }
  const L1Entry l1_entry = core_.metadata->l1_entry(index);
  exclusive = l1_entry.copied();
  // Judged as a reader judges it: damage is never written over.
  RETURN_IF_ERROR(MapExtent(*core_.metadata, core_.metadata->l1(),
                            guest_cluster << geometry_.cluster_bits(), 1)
                      .status());
  ASSIGN_OR_RETURN(const CachedTable* table,
                   core_.metadata->L2ForRead(l1_entry));
  if (table == nullptr) return L2Entry();
  const uint64_t at = guest_cluster & (geometry_.l2_entries() - 1);
  return L2Entry::Decode(table->bytes.data() + at * geometry_.l2_entry_size(),
                         geometry_);
}

// Bits of the subclusters that [begin, end), offsets in one cluster, touches.
uint32_t WriteRequest::MaskOf(uint64_t begin, uint64_t end) const {
  if (begin >= end) return 0;
  const uint64_t size = geometry_.subcluster_size();
  const uint64_t first = begin / size;
  const uint64_t count = (end - 1) / size - first + 1;
  return static_cast<uint32_t>(((uint64_t{1} << count) - 1) << first);
}

// How many of the bytes from `offset` on can be overwritten where they are,
// within the entry's cluster.
uint64_t WriteRequest::InPlaceBytes(L2Entry entry, uint64_t offset,
                                    uint64_t most) const {
  if (entry.is_compressed() || !entry.copied()) return 0;
  const uint32_t allocated =
      SubclustersOf(entry, geometry_, data_file_).allocated;
  const uint64_t in_cluster = geometry_.OffsetInCluster(offset);
  const uint64_t size = geometry_.subcluster_size();
  const uint64_t first = in_cluster / size;
  const auto run = static_cast<uint64_t>(
      std::countr_one(static_cast<uint32_t>(allocated >> first)));
  if (run == 0) return 0;
  return std::min((first + run) * size - in_cluster, most);
}

bool WriteRequest::CanReuse(L2Entry entry) const {
  if (entry.is_compressed() || !entry.copied()) return false;
  return entry.host_offset().value() != 0 || data_file_;
}

// Whether bytes [begin, end) of the entry's cluster are known to be zeros.
bool WriteRequest::ReadsZeros(L2Entry entry, uint64_t begin,
                              uint64_t end) const {
  if (begin >= end) return true;
  if (entry.is_compressed()) return false;
  const SubclusterMasks masks = SubclustersOf(entry, geometry_, data_file_);
  const uint32_t touched = MaskOf(begin, end);
  if ((touched & masks.allocated) != 0) return false;
  const uint64_t cluster_begin = offset_ - geometry_.OffsetInCluster(offset_);
  const bool backed =
      core_.backing != nullptr && cluster_begin < core_.backing->size_bytes();
  return !backed || (touched & ~masks.zeros) == 0;
}

absl::StatusOr<WritePlan> WriteRequest::MakePlan() {
  WritePlan plan;
  bool exclusive = false;
  const uint64_t cluster = offset_ >> geometry_.cluster_bits();
  ASSIGN_OR_RETURN(const L2Entry first, EntryAt(cluster, exclusive));
  const uint64_t in_place =
      exclusive ? InPlaceBytes(first, offset_, data_.size()) : 0;
  if (in_place == 0) {
    RETURN_IF_ERROR(PlanAllocation(first, plan));
    return plan;
  }
  plan.in_place = true;
  plan.host_offset =
      first.host_offset().value() + geometry_.OffsetInCluster(offset_);
  plan.length_bytes = in_place;
  // Neighbours that are stored next to each other are one write.
  while (plan.length_bytes < data_.size()) {
    const uint64_t at = offset_ + plan.length_bytes;
    ASSIGN_OR_RETURN(const L2Entry next,
                     EntryAt(at >> geometry_.cluster_bits(), exclusive));
    const uint64_t more =
        exclusive ? InPlaceBytes(next, at, data_.size() - plan.length_bytes)
                  : 0;
    if (more == 0 ||
        next.host_offset().value() + geometry_.OffsetInCluster(at) !=
            plan.host_offset + plan.length_bytes) {
      break;
    }
    plan.length_bytes += more;
  }
  return plan;
}

absl::Status WriteRequest::PlanAllocation(L2Entry first, WritePlan& plan) {
  const uint64_t cluster = offset_ >> geometry_.cluster_bits();
  const uint64_t last =
      (offset_ + data_.size() - 1) >> geometry_.cluster_bits();
  plan.before.push_back(first);
  bool exclusive = false;
  RETURN_IF_ERROR(EntryAt(cluster, exclusive).status());
  if (exclusive && CanReuse(first)) {
    plan.host = {geometry_.ClusterOf(first.host_offset()), 1};
    return PlanFill(plan);
  }
  const uint64_t window = cluster | (geometry_.l2_entries() - 1);
  for (uint64_t next = cluster + 1; next <= std::min(last, window); ++next) {
    ASSIGN_OR_RETURN(const L2Entry entry, EntryAt(next, exclusive));
    if (exclusive && CanReuse(entry)) break;
    plan.before.push_back(entry);
  }
  if (data_file_) {
    // In a data file every cluster has its place.
    plan.host = {HostCluster(cluster), plan.before.size()};
    return PlanFill(plan);
  }
  HostCluster wish;
  if (cluster > 0 && (cluster & (geometry_.l2_entries() - 1)) != 0) {
    ASSIGN_OR_RETURN(const L2Entry previous, EntryAt(cluster - 1, exclusive));
    if (!previous.is_compressed() && previous.host_offset().value() != 0) {
      wish = geometry_.ClusterOf(previous.host_offset()) + 1;
    }
  }
  // The table before the data it maps, so that data stays in one piece.
  RETURN_IF_ERROR(
      core_.metadata->L2ForWrite(cluster >> geometry_.l2_bits()).status());
  ASSIGN_OR_RETURN(const Metadata::Allocation allocation,
                   core_.metadata->AllocateData(plan.before.size(), wish));
  plan.host = allocation.run;
  plan.newly_allocated = true;
  plan.reads_zeros = allocation.reads_zeros && core_.cipher == nullptr;
  plan.before.resize(plan.host.clusters);
  return PlanFill(plan);
}

absl::Status WriteRequest::PlanFill(WritePlan& plan) {
  const uint64_t begin = offset_ - geometry_.OffsetInCluster(offset_);
  const uint64_t end = begin + (plan.host.clusters << geometry_.cluster_bits());
  plan.length_bytes = std::min<uint64_t>(data_.size(), end - offset_);
  const uint64_t data_end = offset_ + plan.length_bytes;
  const uint64_t size = geometry_.subcluster_size();
  plan.fill_begin = offset_ - offset_ % size;
  plan.fill_end = data_end + (size - data_end % size) % size;
  const auto masks = [&](const L2Entry& entry) {
    return SubclustersOf(entry, geometry_, data_file_).allocated;
  };
  const uint64_t last_begin = end - geometry_.cluster_size();
  if (plan.newly_allocated || plan.before.size() > 1 || data_file_) {
    // Other subclusters that have data take it along.
    if ((masks(plan.before.front()) &
         ~MaskOf(plan.fill_begin - begin, geometry_.cluster_size())) != 0) {
      plan.fill_begin = begin;
    }
    if ((masks(plan.before.back()) & ~MaskOf(0, plan.fill_end - last_begin)) !=
        0) {
      plan.fill_end = end;
    }
  } else {
    // In a cluster that stays, stored subclusters are there already.
    const uint64_t unit = core_.cipher != nullptr ? kCipherSectorSize : 1;
    if ((masks(plan.before[0]) &
         MaskOf(plan.fill_begin - begin, plan.fill_begin - begin + 1)) != 0) {
      plan.fill_begin = offset_ - offset_ % unit;
    }
    if ((masks(plan.before[0]) &
         MaskOf(plan.fill_end - begin - 1, plan.fill_end - begin)) != 0) {
      plan.fill_end = data_end + (unit - data_end % unit) % unit;
    }
  }
  plan.zeros_before =
      ReadsZeros(plan.before.front(), plan.fill_begin - begin, offset_ - begin);
  plan.zeros_behind = ReadsZeros(plan.before.back(), data_end - last_begin,
                                 plan.fill_end - last_begin);
  if (data_file_) return absl::OkStatus();
  return core_.metadata->GuardWrite(
      {HostOf(plan, plan.fill_begin), plan.fill_end - plan.fill_begin});
}

absl::Status WriteRequest::WriteHost(uint64_t host_offset,
                                     uint64_t guest_offset,
                                     std::span<const std::byte> bytes) {
  if (bytes.empty()) return absl::OkStatus();
  std::vector<std::byte> encrypted;
  if (core_.cipher != nullptr) {
    encrypted.assign(bytes.begin(), bytes.end());
    const uint64_t first =
        core_.cipher_by_host_offset ? host_offset : guest_offset;
    RETURN_IF_ERROR(
        core_.cipher->Encrypt(first / kCipherSectorSize, encrypted));
    bytes = encrypted;
  }
  absl::Status status = core_.data().Pwrite(host_offset, bytes);
  core_.metadata->NoteDataWritten();
  return status;
}

absl::Status WriteRequest::WriteInPlace(const WritePlan& plan) {
  const std::span<const std::byte> bytes = data_.first(plan.length_bytes);
  const uint64_t skip = offset_ % kCipherSectorSize;
  if (core_.cipher == nullptr ||
      (skip == 0 && bytes.size() % kCipherSectorSize == 0)) {
    return WriteHost(plan.host_offset, offset_, bytes);
  }
  // Only whole sectors can be encrypted.
  const uint64_t whole =
      (skip + bytes.size() + kCipherSectorSize - 1) / kCipherSectorSize;
  std::vector<std::byte> sectors(whole * kCipherSectorSize);
  RETURN_IF_ERROR(ReadGuest(core_, nullptr, offset_ - skip, sectors));
  std::copy(bytes.begin(), bytes.end(),
            sectors.begin() + static_cast<ptrdiff_t>(skip));
  return WriteHost(plan.host_offset - skip, offset_ - skip, sectors);
}

// Writes guest bytes [begin, end), the old ones but for those of the request.
absl::Status WriteRequest::WriteAround(const WritePlan& plan, uint64_t begin,
                                       uint64_t end) {
  if (begin >= end) return absl::OkStatus();
  std::vector<std::byte> bytes(end - begin);
  const std::span<std::byte> all(bytes);
  const uint64_t data_end = offset_ + plan.length_bytes;
  const uint64_t from = std::max(begin, offset_);
  const uint64_t to = std::min(end, data_end);
  if (begin < from) {
    RETURN_IF_ERROR(ReadGuest(core_, nullptr, begin, all.first(from - begin)));
  }
  if (from < to) {
    const auto piece = data_.subspan(from - offset_, to - from);
    std::copy(piece.begin(), piece.end(),
              bytes.begin() + static_cast<ptrdiff_t>(from - begin));
  }
  const uint64_t tail = std::max(to, begin);
  if (tail < end) {
    RETURN_IF_ERROR(ReadGuest(core_, nullptr, tail, all.subspan(tail - begin)));
  }
  return WriteHost(HostOf(plan, begin), begin, bytes);
}

absl::Status WriteRequest::WriteMerged(const WritePlan& plan) {
  const uint64_t data_end = offset_ + plan.length_bytes;
  const bool skip_before = plan.reads_zeros && plan.zeros_before;
  const bool skip_behind = plan.reads_zeros && plan.zeros_behind;
  const uint64_t begin = skip_before ? offset_ : plan.fill_begin;
  const uint64_t end = skip_behind ? data_end : plan.fill_end;
  if (begin == offset_ && end == data_end) {
    RETURN_IF_ERROR(WriteHost(HostOf(plan, offset_), offset_,
                              data_.first(plan.length_bytes)));
  } else if (end - begin <= kMergedWriteBytes) {
    RETURN_IF_ERROR(WriteAround(plan, begin, end));
  } else {
    // The ends are put together in memory; the rest goes as it is.
    const uint64_t size = geometry_.cluster_size();
    const uint64_t head = std::min(offset_ - offset_ % size + size, data_end);
    const uint64_t tail = std::max(data_end - data_end % size, head);
    RETURN_IF_ERROR(WriteAround(plan, begin, head));
    RETURN_IF_ERROR(WriteHost(HostOf(plan, head), head,
                              data_.subspan(head - offset_, tail - head)));
    RETURN_IF_ERROR(WriteAround(plan, tail, end));
  }
  if (skip_behind && end < plan.fill_end) {
    // The file reaches to the end of every cluster that is in use.
    constexpr std::byte kZero[1] = {};
    RETURN_IF_ERROR(
        core_.data().Pwrite(HostOf(plan, plan.fill_end) - 1, kZero));
  }
  return absl::OkStatus();
}

L2Entry WriteRequest::NewEntry(const WritePlan& plan, uint64_t index) const {
  const uint64_t raw =
      (geometry_.OffsetOf(plan.host.first + index).value()) | kCopiedFlag;
  if (!geometry_.extended_l2()) return L2Entry(raw);
  const uint64_t begin = offset_ - geometry_.OffsetInCluster(offset_) +
                         (index << geometry_.cluster_bits());
  const uint64_t from = std::max(plan.fill_begin, begin);
  const uint64_t to = std::min(plan.fill_end, begin + geometry_.cluster_size());
  const uint32_t filled = MaskOf(from - begin, to - begin);
  const L2Entry old = plan.before[index];
  uint32_t zeros = old.is_compressed() ? 0 : old.zero_subclusters();
  uint32_t allocated = filled;
  if (!plan.newly_allocated && !old.is_compressed()) {
    allocated |= old.allocated_subclusters();
  }
  zeros &= ~filled;
  return L2Entry(raw, uint64_t{zeros} << 32 | allocated);
}

absl::Status WriteRequest::Link(const WritePlan& plan) {
  const uint64_t cluster = offset_ >> geometry_.cluster_bits();
  ASSIGN_OR_RETURN(CachedTable * table,
                   core_.metadata->L2ForWrite(cluster >> geometry_.l2_bits()));
  for (uint64_t i = 0; i < plan.before.size(); ++i) {
    const uint64_t index = (cluster + i) & (geometry_.l2_entries() - 1);
    core_.metadata->SetL2Entry(table, index, NewEntry(plan, i));
    if (plan.newly_allocated) {
      core_.metadata->FreeEntryLater(plan.before[i], FreeReason::kNever);
    }
  }
  return absl::OkStatus();
}

absl::Status WriteRequest::WriteNew(const WritePlan& plan) {
  absl::Status status = WriteMerged(plan);
  MutexLock held(&core_.mutex);
  if (status.ok()) status = Link(plan);
  if (!status.ok() && plan.newly_allocated) {
    core_.metadata->FreeLater(plan.host, FreeReason::kNever);
  }
  return status;
}

absl::Status WriteRequest::Run() {
  const uint64_t mask = geometry_.cluster_size() - 1;
  const RangeLock::Holder holder(core_.ranges, offset_ & ~mask,
                                 (offset_ + data_.size() + mask) & ~mask,
                                 RangeLock::Mode::kExclusive);
  while (!data_.empty()) {
    WritePlan plan;
    {
      MutexLock held(&core_.mutex);
      RETURN_IF_ERROR(core_.metadata->BeginChange());
      RETURN_IF_ERROR(core_.NoteChange(offset_, data_.size()));
      ASSIGN_OR_RETURN(plan, MakePlan());
      if (plan.in_place && !data_file_) {
        RETURN_IF_ERROR(
            core_.metadata->GuardWrite({plan.host_offset, plan.length_bytes}));
      }
    }
    RETURN_IF_ERROR(plan.in_place ? WriteInPlace(plan) : WriteNew(plan));
    offset_ += plan.length_bytes;
    data_ = data_.subspan(plan.length_bytes);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteGuest(ImageCore& core, uint64_t offset,
                        std::span<const std::byte> data) {
  if (data.empty()) return absl::OkStatus();
  return WriteRequest(core, offset, data).Run();
}

}  // namespace qcow2
