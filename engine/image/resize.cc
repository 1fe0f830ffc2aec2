#include "engine/image/resize.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/format/entry_flags.h"
#include "engine/image/bitmap_store.h"
#include "engine/image/bitmaps.h"
#include "engine/image/resize_preallocate.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

constexpr uint64_t kSectorBytes = 512;

absl::Status CheckImage(const Image& image, const HeaderArea& area) {
  if (!image.writable()) {
    return absl::FailedPreconditionError(
        absl::StrCat(image.name(), ": the image was opened read-only"));
  }
  if (area.header.version < 3 && area.header.nb_snapshots > 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        image.name(),
        ": an image of version 2 with snapshots cannot change its size: its "
        "snapshots do not say what size they have"));
  }
  return absl::OkStatus();
}

absl::Status CheckSize(const Image& image, uint64_t size) {
  if (size % kSectorBytes != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(image.name(), ": the size must be a multiple of ",
                     kSectorBytes, " bytes, not ", size));
  }
  const uint64_t entries = image.geometry().L1EntriesFor(size);
  const bool unreachable =
      image.header_area().header.has_external_data_file() &&
      size > kMaxHostOffset;
  if (entries > kMaxL1Bytes / kL1EntrySize || unreachable) {
    return absl::InvalidArgumentError(absl::StrCat(
        image.name(), ": a disk of ", size, " bytes needs an L1 table of ",
        entries, " entries, more than the ", kMaxL1Bytes / kL1EntrySize,
        " it may have"));
  }
  return absl::OkStatus();
}

absl::Status CheckOptions(const Image& image, uint64_t size,
                          const ResizeOptions& options) {
  const uint64_t old_size = image.size_bytes();
  if (size < old_size && !options.allow_shrink) {
    return absl::FailedPreconditionError(
        absl::StrCat(image.name(), ": what lies behind byte ", size,
                     " would be lost; shrinking has to be asked for"));
  }
  if (size <= old_size && options.preallocation != Preallocation::kOff) {
    return absl::InvalidArgumentError(absl::StrCat(
        image.name(), ": only a disk that grows can be preallocated"));
  }
  return absl::OkStatus();
}

class Resize {
 public:
  Resize(ImageCore& core, uint64_t size)
      : core_(core),
        geometry_(core.metadata->geometry()),
        old_size_(core.size_bytes.load()),
        size_(size) {}

  absl::Status Grow(Preallocation preallocation);
  absl::Status Shrink();

 private:
  absl::Status GrowL1();
  absl::Status ResizeDataFile(Preallocation preallocation);
  // VM state that lies where the new disk will be.
  absl::Status DropVmState();
  // Makes what was behind the old end read as zeros.
  absl::Status ZeroNewPart();
  absl::Status SwitchSize();
  // Gives back what the L1 entries behind the disk's end reach.
  absl::Status DropTables();
  absl::Status DropTable(uint64_t l1_index)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(core_.mutex);
  absl::Status CutOffFile();

  uint64_t RoundedUp(uint64_t bytes) const {
    return geometry_.ClustersFor(bytes) << geometry_.cluster_bits();
  }

  ImageCore& core_;
  const Geometry& geometry_;
  const uint64_t old_size_;
  const uint64_t size_;
};

absl::Status Resize::GrowL1() {
  const ExclusiveUse everything(core_);
  RETURN_IF_ERROR(core_.metadata->BeginChange());
  const uint64_t needed = geometry_.L1EntriesFor(size_);
  std::vector<uint64_t> entries = core_.metadata->l1();
  if (entries.size() >= needed) return absl::OkStatus();
  entries.resize(needed);
  return core_.metadata->ReplaceL1(core_.metadata->area(), std::move(entries));
}

absl::Status Resize::ResizeDataFile(Preallocation preallocation) {
  if (core_.data_file == nullptr) return absl::OkStatus();
  const RangeLock::Holder holder(core_.ranges, 0, ImageCore::kEverything,
                                 RangeLock::Mode::kExclusive);
  ASSIGN_OR_RETURN(const uint64_t there, core_.data_file->Size());
  RETURN_IF_ERROR(core_.data_file->Truncate(size_));
  // What it had behind the disk's end is not to show now.
  if (std::min(there, size_) > old_size_) {
    RETURN_IF_ERROR(core_.data_file->PunchHole(
        {old_size_, std::min(there, size_) - old_size_}));
  }
  const bool reserve = preallocation == Preallocation::kFalloc ||
                       preallocation == Preallocation::kFull;
  if (reserve && size_ > old_size_) {
    RETURN_IF_ERROR(core_.data_file->Allocate({old_size_, size_ - old_size_}));
  }
  core_.metadata->NoteDataWritten();
  return absl::OkStatus();
}

absl::Status Resize::ZeroNewPart() {
  const uint64_t end = RoundedUp(size_);
  for (uint64_t at = old_size_; at < end;) {
    MappedExtent extent;
    {
      MutexLock held(&core_.mutex);
      core_.metadata->TrimTables();
      ASSIGN_OR_RETURN(extent, MapExtent(*core_.metadata, core_.metadata->l1(),
                                         at, end - at));
    }
    uint64_t length = extent.length_bytes;
    bool reads_zeros = extent.kind == MappedKind::kZeros;
    if (extent.kind == MappedKind::kUnallocated) {
      const uint64_t backed =
          core_.backing == nullptr ? 0 : core_.backing->size_bytes();
      reads_zeros = at >= backed;
      if (!reads_zeros) {
        length = std::min(length, RoundedUp(std::min(backed, end)) - at);
      }
    }
    if (!reads_zeros) {
      RETURN_IF_ERROR(ZeroGuest(core_, at, length, ZeroMode::kUnmap));
    }
    at += length;
  }
  return absl::OkStatus();
}

absl::Status Resize::SwitchSize() {
  const ExclusiveUse everything(core_);
  RETURN_IF_ERROR(core_.metadata->BeginChange());
  if (HasConsistentBitmaps(*core_.metadata)) {
    RETURN_IF_ERROR(ResizeWithBitmaps(core_, size_));
  } else {
    HeaderArea next = core_.metadata->area();
    next.header.size = size_;
    RETURN_IF_ERROR(core_.metadata->SwitchHeader(std::move(next)));
  }
  core_.size_bytes.store(size_);
  return absl::OkStatus();
}

absl::Status Resize::DropVmState() {
  const uint64_t first = geometry_.L1EntriesFor(old_size_);
  // In the window of a table that the disk has already there is none.
  if (geometry_.L1EntriesFor(size_) == first) return absl::OkStatus();
  const ExclusiveUse everything(core_);
  for (uint64_t i = first; i < core_.metadata->l1_size(); ++i) {
    RETURN_IF_ERROR(DropTable(i));
  }
  return absl::OkStatus();
}

absl::Status Resize::Grow(Preallocation preallocation) {
  RETURN_IF_ERROR(DropVmState());
  RETURN_IF_ERROR(GrowL1());
  RETURN_IF_ERROR(ResizeDataFile(preallocation));
  RETURN_IF_ERROR(ZeroNewPart());
  if (preallocation != Preallocation::kOff) {
    RETURN_IF_ERROR(
        PreallocateGuest(core_, old_size_, RoundedUp(size_), preallocation));
  }
  return SwitchSize();
}

absl::Status Resize::DropTable(uint64_t l1_index) {
  const L1Entry entry = core_.metadata->l1_entry(l1_index);
  if (!entry.has_l2_table()) return absl::OkStatus();
  RETURN_IF_ERROR(core_.metadata->BeginChange());
  ASSIGN_OR_RETURN(const CachedTable* table, core_.metadata->L2ForRead(entry));
  for (uint64_t i = 0; i < geometry_.l2_entries(); ++i) {
    core_.metadata->FreeEntryLater(
        L2Entry::Decode(table->bytes.data() + i * geometry_.l2_entry_size(),
                        geometry_),
        FreeReason::kRequest);
  }
  const ClusterRun run{geometry_.ClusterOf(entry.l2_offset()), 1};
  core_.metadata->FreeLater(run, FreeReason::kRequest);
  core_.metadata->guard().Remove(kOverlapActiveL2, run);
  core_.metadata->SetL1Entry(l1_index, L1Entry());
  return absl::OkStatus();
}

absl::Status Resize::DropTables() {
  const uint64_t first = geometry_.L1EntriesFor(size_);
  const uint64_t begin = RoundedUp(size_);
  const uint64_t window_end = first << geometry_.l2_coverage_bits();
  if (begin < window_end) {
    RETURN_IF_ERROR(ForgetGuest(core_, begin, window_end - begin));
  }
  const ExclusiveUse everything(core_);
  for (uint64_t i = first; i < core_.metadata->l1_size(); ++i) {
    RETURN_IF_ERROR(DropTable(i));
  }
  return absl::OkStatus();
}

absl::Status Resize::CutOffFile() {
  const ExclusiveUse everything(core_);
  // The first flush drops what became free, the second has the counts written.
  RETURN_IF_ERROR(core_.metadata->Flush());
  RETURN_IF_ERROR(core_.metadata->Flush());
  ASSIGN_OR_RETURN(const HostCluster end,
                   core_.metadata->refcounts().EndOfCounted());
  ASSIGN_OR_RETURN(const uint64_t there, core_.file->Size());
  const uint64_t needed = geometry_.OffsetOf(end).value();
  if (needed >= there) return absl::OkStatus();
  const absl::Status cut_off = core_.file->Truncate(needed);
  // A device keeps its length.
  return absl::IsInvalidArgument(cut_off) ? absl::OkStatus() : cut_off;
}

absl::Status Resize::Shrink() {
  RETURN_IF_ERROR(SwitchSize());
  RETURN_IF_ERROR(DropTables());
  RETURN_IF_ERROR(ResizeDataFile(Preallocation::kOff));
  return CutOffFile();
}

}  // namespace

absl::Status ResizeImage(Image& image, uint64_t size,
                         const ResizeOptions& options) {
  const HeaderArea area = image.header_area();
  RETURN_IF_ERROR(CheckImage(image, area));
  RETURN_IF_ERROR(CheckSize(image, size));
  RETURN_IF_ERROR(CheckOptions(image, size, options));
  RETURN_IF_ERROR(CheckBitmapsCanResize(image.core(), size));
  Resize resize(image.core(), size);
  const uint64_t old_size = image.size_bytes();
  if (size < old_size) return resize.Shrink();
  if (size == old_size) return absl::OkStatus();
  // A raw data file is the disk for those who know only it: all of it is
  // mapped.
  const bool raw = (area.header.autoclear_features & kAutoclearRawData) != 0;
  return resize.Grow(raw && options.preallocation == Preallocation::kOff
                         ? Preallocation::kMetadata
                         : options.preallocation);
}

}  // namespace qcow2
