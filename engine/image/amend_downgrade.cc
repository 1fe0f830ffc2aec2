// From version 3 to version 2, which has no entries that say "zeros".
//
// Each L2 table is rewritten where it is: every entry reads the same before and
// after, so that it makes no difference who else uses the table, and a crash
// leaves an image of version 3 that has fewer such entries.
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/format/entry_flags.h"
#include "engine/format/header_extension.h"
#include "engine/image/amend.h"
#include "engine/image/bitmap_store.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

absl::Status Cannot(const std::string& name, const std::string& what) {
  return absl::FailedPreconditionError(
      absl::StrCat(name, ": version 2 (compat 0.10) cannot have ", what));
}

absl::Status CheckHeader(const std::string& name, const HeaderArea& area) {
  const Header& header = area.header;
  if (header.refcount_order != kRefcountOrderV2) {
    return Cannot(name,
                  absl::StrCat("refcounts of ", 1u << header.refcount_order,
                               " bits; change them to 16 first"));
  }
  if (header.has_external_data_file()) return Cannot(name, "a data file");
  if (header.has_extended_l2()) return Cannot(name, "extended L2 entries");
  if (header.compression_type != kCompressionDeflate) {
    return Cannot(name, "compression types other than zlib");
  }
  if (!header.unknown_tail.empty()) {
    return Cannot(name, "the header fields it has that are not known here");
  }
  return absl::OkStatus();
}

// The first names, and how many there are more.
std::string NamesOf(const BitmapDirectory& directory) {
  constexpr size_t kNamesShown = 3;
  std::string names;
  for (size_t i = 0; i < std::min(kNamesShown, directory.bitmaps.size()); ++i) {
    absl::StrAppend(&names, i == 0 ? "" : ", ", "\"",
                    directory.bitmaps[i].entry.name, "\"");
  }
  if (directory.bitmaps.size() > kNamesShown) {
    absl::StrAppend(&names, " and ", directory.bitmaps.size() - kNamesShown,
                    " more");
  }
  return names;
}

// Their clusters would be leaked, and who relies on them would not be told.
absl::Status CheckBitmaps(const std::string& name, Metadata& metadata) {
  if (metadata.area().Find(kExtensionBitmaps) == nullptr) {
    return absl::OkStatus();
  }
  if (!HasConsistentBitmaps(metadata)) {
    return Cannot(name,
                  "dirty bitmaps. Those of the image are void: a program that "
                  "does not know bitmaps has written it. qcow2-fsck --repair "
                  "takes them away and frees their clusters");
  }
  ASSIGN_OR_RETURN(const BitmapDirectory directory,
                   LoadBitmapDirectory(metadata));
  if (!directory.intact) {
    return Cannot(name,
                  "dirty bitmaps. The directory of the image's is damaged: "
                  "qcow2-fsck --repair mends it or takes it away");
  }
  return Cannot(
      name, absl::StrCat("dirty bitmaps. The image has ", NamesOf(directory),
                         "; each can be removed by qcow2-tool bitmap "
                         "remove"));
}

absl::Status CheckSnapshots(const std::string& name, const Metadata& metadata) {
  for (const SnapshotEntry& entry : metadata.snapshots()) {
    const uint64_t size = entry.disk_size().value_or(metadata.header().size);
    if (size != metadata.header().size) {
      return Cannot(name, absl::StrCat("snapshot '", entry.name, "' of ", size,
                                       " bytes next to a disk of ",
                                       metadata.header().size));
    }
    if (entry.vm_state_size() > ~uint32_t{0}) {
      return Cannot(name, absl::StrCat("the VM state of snapshot '", entry.name,
                                       "', which is 4 GiB or longer"));
    }
  }
  return absl::OkStatus();
}

class Downgrade {
 public:
  explicit Downgrade(ImageCore& core)
      : core_(core),
        metadata_(*core.metadata),
        geometry_(core.metadata->geometry()) {}

  absl::Status ExpandAll();

 private:
  // Notes the tables that these L1 entries name.
  void Note(std::span<const uint64_t> l1);
  absl::Status ExpandTable(HostOffset offset, uint64_t l1_index);
  // The entry that reads as zeros in version 2. `references` is how many
  // entries of L1 tables reach this one.
  absl::StatusOr<L2Entry> Expanded(L2Entry entry, uint64_t guest_offset,
                                   uint64_t references);
  absl::Status FillWithZeros(HostOffset cluster, uint64_t guest_offset);

  ImageCore& core_;
  Metadata& metadata_;
  const Geometry& geometry_;
  // L2 tables by offset, and an index of an L1 table they are found at.
  std::map<uint64_t, uint64_t> tables_;
};

void Downgrade::Note(std::span<const uint64_t> l1) {
  for (uint64_t i = 0; i < l1.size(); ++i) {
    const L1Entry entry(l1[i]);
    if (entry.has_l2_table()) tables_.emplace(entry.l2_offset().value(), i);
  }
}

absl::Status Downgrade::FillWithZeros(HostOffset cluster,
                                      uint64_t guest_offset) {
  std::vector<std::byte> zeros(geometry_.cluster_size());
  if (core_.cipher != nullptr) {
    const uint64_t first =
        core_.cipher_by_host_offset ? cluster.value() : guest_offset;
    RETURN_IF_ERROR(core_.cipher->Encrypt(first / kCipherSectorSize, zeros));
  }
  RETURN_IF_ERROR(metadata_.GuardWrite({cluster.value(), zeros.size()}));
  metadata_.NoteDataWritten();
  return core_.file->Pwrite(cluster.value(), zeros);
}

absl::StatusOr<L2Entry> Downgrade::Expanded(L2Entry entry,
                                            uint64_t guest_offset,
                                            uint64_t references) {
  const bool backed = !metadata_.area().backing_name.empty();
  HostOffset cluster = entry.host_offset();
  if (cluster.value() != 0) {
    ASSIGN_OR_RETURN(const uint64_t count,
                     metadata_.refcounts().Get(geometry_.ClusterOf(cluster)));
    const bool reuse = backed && count == 1 && references == 1;
    if (!reuse) {
      // Somebody else may have data there.
      for (uint64_t i = 0; i < references; ++i) {
        metadata_.FreeEntryLater(entry, FreeReason::kOther);
      }
      cluster = HostOffset();
    }
  }
  if (!backed) return L2Entry();
  if (cluster.value() == 0) {
    ASSIGN_OR_RETURN(const HostCluster fresh, metadata_.AllocateTable(1));
    for (uint64_t i = 1; i < references; ++i) {
      RETURN_IF_ERROR(metadata_.refcounts().Add({fresh, 1}));
    }
    cluster = geometry_.OffsetOf(fresh);
  }
  RETURN_IF_ERROR(FillWithZeros(cluster, guest_offset));
  return L2Entry(cluster.value() | (references == 1 ? kCopiedFlag : 0));
}

absl::Status Downgrade::ExpandTable(HostOffset offset, uint64_t l1_index) {
  RETURN_IF_ERROR(metadata_.BeginChange());
  ASSIGN_OR_RETURN(CachedTable * table,
                   metadata_.L2ForRead(L1Entry(offset.value())));
  ASSIGN_OR_RETURN(const uint64_t references,
                   metadata_.refcounts().Get(geometry_.ClusterOf(offset)));
  for (uint64_t i = 0; i < geometry_.l2_entries(); ++i) {
    const L2Entry entry = L2Entry::Decode(
        table->bytes.data() + i * geometry_.l2_entry_size(), geometry_);
    if (entry.is_compressed() || !entry.zero_flag()) continue;
    const uint64_t guest_offset = ((l1_index << geometry_.l2_bits()) + i)
                                  << geometry_.cluster_bits();
    ASSIGN_OR_RETURN(const L2Entry after,
                     Expanded(entry, guest_offset, references));
    metadata_.SetL2Entry(table, i, after);
  }
  return absl::OkStatus();
}

absl::Status Downgrade::ExpandAll() {
  Note(metadata_.l1());
  for (const SnapshotEntry& snapshot : metadata_.snapshots()) {
    std::vector<std::byte> bytes(uint64_t{snapshot.l1_size} * kL1EntrySize);
    RETURN_IF_ERROR(
        ReadZeroFilled(*core_.file, snapshot.l1_table_offset.value(), bytes));
    std::vector<uint64_t> l1(snapshot.l1_size);
    for (uint64_t i = 0; i < l1.size(); ++i) {
      l1[i] = L1Entry::Decode(bytes.data() + i * kL1EntrySize).raw();
    }
    Note(l1);
  }
  for (const auto& [offset, l1_index] : tables_) {
    RETURN_IF_ERROR(ExpandTable(HostOffset(offset), l1_index));
  }
  return metadata_.Flush();
}

HeaderArea Downgraded(const HeaderArea& area) {
  HeaderArea next = area;
  next.header.version = 2;
  next.header.header_length = kHeaderLengthV2;
  next.header.incompatible_features = 0;
  next.header.compatible_features = 0;
  next.header.autoclear_features = 0;
  next.Remove(kExtensionFeatureNames);
  return next;
}

}  // namespace

absl::Status DowngradeImage(Image& image) {
  ImageCore& core = image.core();
  const ExclusiveUse everything(core);
  Metadata& metadata = *core.metadata;
  if (metadata.header().version < 3) return absl::OkStatus();
  if (metadata.options().lazy_refcounts ||
      (metadata.options().overlap_check & kOverlapInactiveL2) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        image.name(),
        ": to become version 2 the image must be opened without lazy refcounts "
        "and without an overlap check of inactive L2 tables"));
  }
  RETURN_IF_ERROR(CheckHeader(image.name(), metadata.area()));
  RETURN_IF_ERROR(CheckBitmaps(image.name(), metadata));
  RETURN_IF_ERROR(CheckSnapshots(image.name(), metadata));
  RETURN_IF_ERROR(metadata.BeginChange());
  RETURN_IF_ERROR(Downgrade(core).ExpandAll());
  return metadata.SwitchHeader(Downgraded(metadata.area()));
}

}  // namespace qcow2
