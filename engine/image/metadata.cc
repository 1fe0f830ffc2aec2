#include "engine/image/metadata.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/format/byte_order.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// L1 entries that are written together: what a disk writes whole or not at all.
constexpr uint64_t kL1EntriesPerSector = 512 / kL1EntrySize;
// Bytes of the snapshot table that are read at a time.
constexpr uint64_t kSnapshotPieceBytes = uint64_t{1} << 20;
// In place of L1 entries that are not there: no file has a table so far out.
constexpr uint64_t kMissingL1Entry = kMaxHostOffset - 512;
// In place of the rest of an L2 table that is not there: its entries are none.
constexpr std::byte kMissingL2Byte{0xff};

absl::Status RefuseWriting(const Header& header, const File& file) {
  if (header.has_incompatible(kIncompatibleCorrupt)) {
    return absl::FailedPreconditionError(
        absl::StrCat(file.name(),
                     ": the image is marked corrupt and may only "
                     "be read; qcow2-fsck --repair mends it"));
  }
  if (header.has_incompatible(kIncompatibleDirty)) {
    return absl::FailedPreconditionError(
        absl::StrCat(file.name(),
                     ": the image is marked dirty: its refcounts may be out of "
                     "date; qcow2-fsck --repair mends them"));
  }
  return absl::OkStatus();
}

}  // namespace

Metadata::Metadata(File& file, HeaderArea area, const Geometry& geometry,
                   const MetadataOptions& options)
    : file_(file),
      geometry_(geometry),
      options_(options),
      header_(file, std::move(area)),
      guard_(options.overlap_check),
      l2_(file, "L2 table", geometry.cluster_size(), options.l2_cache_tables,
          options.salvage ? kMissingL2Byte : std::byte{0}) {}

absl::StatusOr<std::unique_ptr<Metadata>> Metadata::Load(
    File& file, HeaderArea area, const MetadataOptions& options) {
  ASSIGN_OR_RETURN(const Geometry geometry, GeometryOf(area.header));
  if (options.writable) {
    RETURN_IF_ERROR(RefuseWriting(area.header, file));
  }
  std::unique_ptr<Metadata> metadata(
      new Metadata(file, std::move(area), geometry, options));
  RETURN_IF_ERROR(metadata->LoadL1());
  const absl::Status snapshots = metadata->LoadSnapshots();
  if (!snapshots.ok()) {
    if (!options.salvage) return snapshots;
    metadata->snapshots_.clear();
  }
  if (!options.writable) return metadata;
  ASSIGN_OR_RETURN(metadata->refcounts_,
                   Refcounts::Load(file, metadata->header_, geometry,
                                   options.refcount_cache_tables));
  ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  metadata->fresh_from_ = HostCluster(geometry.ClustersFor(size));
  metadata->AddOwners();
  RETURN_IF_ERROR(metadata->AddSnapshotOwners());
  return metadata;
}

absl::Status Metadata::LoadL1() {
  const uint64_t offset = header().l1_table_offset.value();
  std::vector<std::byte> bytes(uint64_t{header().l1_size} * kL1EntrySize);
  ASSIGN_OR_RETURN(const size_t got, file_.Pread(offset, bytes));
  std::fill(bytes.begin() + static_cast<ptrdiff_t>(got), bytes.end(),
            std::byte{0});
  l1_.resize(header().l1_size);
  for (uint64_t i = 0; i < l1_.size(); ++i) {
    const bool missing = (i + 1) * kL1EntrySize > got;
    l1_[i] = missing && options_.salvage
                 ? kMissingL1Entry
                 : LoadBe64(bytes.data() + i * kL1EntrySize);
  }
  return absl::OkStatus();
}

absl::Status Metadata::LoadSnapshots() {
  const uint64_t count = header().nb_snapshots;
  if (count == 0) return absl::OkStatus();
  const uint64_t begin = header().snapshots_offset.value();
  std::vector<LocatedSnapshot> found;
  // The table's length is stored nowhere: read on until all entries are whole.
  // `bytes` begin at `at`, where the first entry that is not whole yet begins.
  std::vector<std::byte> bytes;
  uint64_t at = 0;
  while (found.size() < count) {
    const size_t size = bytes.size();
    bytes.resize(size + kSnapshotPieceBytes);
    ASSIGN_OR_RETURN(
        const size_t got,
        file_.Pread(begin + at + size, std::span(bytes).subspan(size)));
    bytes.resize(size + got);
    uint64_t whole = 0;
    for (LocatedSnapshot& next :
         DecodeSnapshotTable(bytes, count - found.size())) {
      if (!next.entry.complete()) break;
      whole = next.offset + next.entry.padded_size_bytes();
      next.offset += at;
      found.push_back(std::move(next));
    }
    // The padding of the last one may not be there yet.
    bytes.erase(bytes.begin(),
                bytes.begin() + static_cast<ptrdiff_t>(
                                    std::min<uint64_t>(whole, bytes.size())));
    at += whole;
    const bool too_long = at + bytes.size() > kMaxSnapshotTableBytes;
    if (found.size() < count && (got < kSnapshotPieceBytes || too_long)) {
      return absl::DataLossError(absl::StrCat(
          file_.name(), ": snapshot table at 0x", absl::Hex(begin), ": only ",
          found.size(), " of ", count, " entries are there",
          too_long ? " in the 64 MiB it may have" : ""));
    }
  }
  for (const LocatedSnapshot& located : found) {
    const uint32_t issues =
        SnapshotIssues(located.entry, geometry_, header().version);
    if ((issues & (kSnapshotL1Unaligned | kSnapshotL1TooLarge)) != 0) {
      return absl::DataLossError(absl::StrCat(
          file_.name(), ": snapshot table at 0x",
          absl::Hex(header().snapshots_offset.value()), ", entry at byte ",
          located.offset, ": bad L1 table (offset 0x",
          absl::Hex(located.entry.l1_table_offset.value()), ", ",
          located.entry.l1_size, " entries)"));
    }
    snapshots_.push_back(located.entry);
  }
  return absl::OkStatus();
}

void Metadata::AddOwners() {
  const auto run = [&](HostOffset offset, uint64_t bytes) {
    return ClusterRun{geometry_.ClusterOf(offset),
                      geometry_.ClustersFor(bytes)};
  };
  guard_.Add(kOverlapMainHeader, {HostCluster(0), 1});
  guard_.Add(kOverlapActiveL1,
             run(header().l1_table_offset, l1_.size() * kL1EntrySize));
  guard_.Add(kOverlapRefcountTable, refcounts_->table_run());
  for (const uint64_t block : refcounts_->table()) {
    if (block != 0)
      guard_.Add(kOverlapRefcountBlock, run(HostOffset(block), 1));
  }
  for (const uint64_t raw : l1_) {
    const L1Entry entry(raw);
    if (entry.has_l2_table()) {
      guard_.Add(kOverlapActiveL2, run(entry.l2_offset(), 1));
    }
  }
  refcounts_->set_listener(
      {.new_block =
           [this](HostOffset block) {
             guard_.Add(kOverlapRefcountBlock, {geometry_.ClusterOf(block), 1});
           },
       .table_moved =
           [this](ClusterRun before, ClusterRun after) {
             guard_.Remove(kOverlapRefcountTable, before);
             guard_.Add(kOverlapRefcountTable, after);
             FreeLater(before, FreeReason::kOther);
           }});
}

ClusterRun Metadata::SnapshotTableRun() const {
  return {geometry_.ClusterOf(header().snapshots_offset),
          geometry_.ClustersFor(EncodeSnapshotTable(snapshots_).size())};
}

absl::Status Metadata::AddSnapshotOwners() {
  guard_.Add(kOverlapSnapshotTable, SnapshotTableRun());
  for (const SnapshotEntry& snapshot : snapshots_) {
    const uint64_t bytes_of_l1 = uint64_t{snapshot.l1_size} * kL1EntrySize;
    guard_.Add(kOverlapInactiveL1,
               {geometry_.ClusterOf(snapshot.l1_table_offset),
                geometry_.ClustersFor(bytes_of_l1)});
    if ((options_.overlap_check & kOverlapInactiveL2) == 0) continue;
    std::vector<std::byte> bytes(bytes_of_l1);
    RETURN_IF_ERROR(
        ReadZeroFilled(file_, snapshot.l1_table_offset.value(), bytes));
    for (uint64_t i = 0; i < snapshot.l1_size; ++i) {
      const L1Entry entry = L1Entry::Decode(bytes.data() + i * kL1EntrySize);
      if (!entry.has_l2_table()) continue;
      inactive_l2_.push_back({geometry_.ClusterOf(entry.l2_offset()), 1});
      guard_.Add(kOverlapInactiveL2, inactive_l2_.back());
    }
  }
  return absl::OkStatus();
}

void Metadata::RemoveSnapshotOwners(ClusterRun table) {
  guard_.Remove(kOverlapSnapshotTable, table);
  for (const SnapshotEntry& snapshot : snapshots_) {
    guard_.Remove(kOverlapInactiveL1,
                  {geometry_.ClusterOf(snapshot.l1_table_offset),
                   geometry_.ClustersFor(snapshot.l1_size * kL1EntrySize)});
  }
  for (const ClusterRun& run : inactive_l2_) {
    guard_.Remove(kOverlapInactiveL2, run);
  }
  inactive_l2_.clear();
}

absl::StatusOr<CachedTable*> Metadata::L2ForRead(L1Entry entry) {
  if (!entry.has_l2_table()) return nullptr;
  if (entry.raw() == kMissingL1Entry) {
    return absl::DataLossError(absl::StrCat(
        file_.name(), ": the L1 table reaches past the end of the file"));
  }
  if (!geometry_.IsAligned(entry.l2_offset().value())) {
    const std::string what =
        absl::StrCat(file_.name(), ": L1 entry 0x", absl::Hex(entry.raw()),
                     " names an L2 table that is not cluster aligned");
    return options_.writable ? MarkCorrupt(what) : absl::DataLossError(what);
  }
  return l2_.Get(entry.l2_offset());
}

absl::Status Metadata::MarkInUse() {
  if (header().version < 3) return absl::OkStatus();
  const bool stray =
      (header().autoclear_features & ~kKnownAutoclearFeatures) != 0;
  const bool dirty = header().has_incompatible(kIncompatibleDirty);
  if (!stray && (dirty || !options_.lazy_refcounts)) return absl::OkStatus();
  HeaderArea next = area();
  next.header.autoclear_features &= kKnownAutoclearFeatures;
  if (options_.lazy_refcounts) {
    next.header.incompatible_features |= kIncompatibleDirty;
  }
  return header_.Switch(std::move(next));
}

absl::Status Metadata::BeginChange() {
  if (!options_.writable) {
    return absl::FailedPreconditionError(
        absl::StrCat(file_.name(), ": the image was opened read-only"));
  }
  RETURN_IF_ERROR(corrupt_);
  RETURN_IF_ERROR(header_.health());
  RETURN_IF_ERROR(MarkInUse());
  if (l2_.dirty_count() > l2_.capacity() / 2 ||
      refcounts_->dirty_blocks() > refcounts_->cache().capacity() / 2) {
    RETURN_IF_ERROR(Commit());
  }
  TrimTables();
  return absl::OkStatus();
}

void Metadata::TrimTables() {
  l2_.Trim();
  if (refcounts_ != nullptr) refcounts_->cache().Trim();
}

absl::StatusOr<CachedTable*> Metadata::L2ForWrite(uint64_t l1_index) {
  const L1Entry entry = l1_entry(l1_index);
  ASSIGN_OR_RETURN(CachedTable * old, L2ForRead(entry));
  if (old != nullptr && entry.copied()) return old;
  ASSIGN_OR_RETURN(const HostCluster cluster, AllocateTable(1));
  // In a damaged image the table to copy may be what is counted as free.
  if (old != nullptr && geometry_.OffsetOf(cluster) == old->offset) {
    return MarkCorrupt(absl::StrCat(file_.name(), ": the L2 table at 0x",
                                    absl::Hex(old->offset.value()),
                                    " is in use, but its refcount is 0"));
  }
  CachedTable* table = l2_.Create(geometry_.OffsetOf(cluster));
  if (old != nullptr) {
    table->bytes = old->bytes;
    FreeLater({geometry_.ClusterOf(old->offset), 1}, FreeReason::kNever);
    guard_.Remove(kOverlapActiveL2, {geometry_.ClusterOf(old->offset), 1});
  }
  guard_.Add(kOverlapActiveL2, {cluster, 1});
  SetL1Entry(l1_index, L1Entry(table->offset.value() | kCopiedFlag));
  return table;
}

void Metadata::SetL2Entry(CachedTable* table, uint64_t index, L2Entry entry) {
  entry.Encode(table->bytes.data() + index * geometry_.l2_entry_size(),
               geometry_);
  l2_.MarkDirty(table);
}

void Metadata::SetL1Entry(uint64_t index, L1Entry entry) {
  l1_[index] = entry.raw();
  dirty_l1_sectors_.insert(index / kL1EntriesPerSector);
}

absl::StatusOr<Metadata::Allocation> Metadata::AllocateData(uint64_t most,
                                                            HostCluster wish) {
  ASSIGN_OR_RETURN(const ClusterRun run, refcounts_->AllocateUpTo(most, wish));
  Allocation allocation{run, run.first >= fresh_from_};
  fresh_from_ = std::max(fresh_from_, run.first + run.clusters);
  return allocation;
}

absl::StatusOr<HostCluster> Metadata::AllocateTable(uint64_t clusters) {
  ASSIGN_OR_RETURN(const HostCluster first, refcounts_->Allocate(clusters));
  fresh_from_ = std::max(fresh_from_, first + clusters);
  return first;
}

absl::StatusOr<HostOffset> Metadata::AllocateBytes(uint64_t bytes) {
  const uint64_t in_last = geometry_.OffsetInCluster(free_byte_offset_);
  if (in_last != 0) {
    const HostCluster last = geometry_.ClusterOf(HostOffset(free_byte_offset_));
    ASSIGN_OR_RETURN(const uint64_t count, refcounts_->Get(last));
    const bool fits = in_last + bytes <= geometry_.cluster_size();
    ASSIGN_OR_RETURN(const uint64_t next, refcounts_->Get(last + 1));
    if (count > 0 && count < geometry_.refcount_max() && (fits || next == 0)) {
      const HostOffset at(free_byte_offset_);
      if (!fits) {
        ASSIGN_OR_RETURN(const ClusterRun run,
                         refcounts_->AllocateUpTo(1, last + 1));
        fresh_from_ = std::max(fresh_from_, run.first + 1);
        if (run.first != last + 1) {
          free_byte_offset_ = geometry_.OffsetOf(run.first).value() + bytes;
          return geometry_.OffsetOf(run.first);
        }
      }
      RETURN_IF_ERROR(refcounts_->Add({last, 1}));
      free_byte_offset_ += bytes;
      return at;
    }
  }
  ASSIGN_OR_RETURN(const HostCluster fresh, AllocateTable(1));
  free_byte_offset_ = geometry_.OffsetOf(fresh).value() + bytes;
  return geometry_.OffsetOf(fresh);
}

void Metadata::FreeLater(ClusterRun run, FreeReason reason) {
  if (run.clusters == 0) return;
  if (!frees_.empty()) {
    PendingFree& last = frees_.back();
    if (last.reason == reason &&
        last.run.first + last.run.clusters == run.first) {
      last.run.clusters += run.clusters;
      return;
    }
  }
  frees_.push_back({run, reason});
}

void Metadata::FreeEntryLater(L2Entry entry, FreeReason reason) {
  if (entry.is_compressed()) {
    const CompressedDescriptor data = entry.compressed(geometry_);
    const HostCluster first = geometry_.ClusterOf(data.offset);
    const HostCluster last =
        geometry_.ClusterOf(data.offset + (data.length - 1));
    FreeLater({first, last - first + 1}, FreeReason::kNever);
    return;
  }
  if (entry.host_offset().value() == 0 || header().has_external_data_file()) {
    return;
  }
  FreeLater({geometry_.ClusterOf(entry.host_offset()), 1}, reason);
}

absl::Status Metadata::FlushFiles() {
  if (!unflushed_.exchange(false)) return absl::OkStatus();
  absl::Status status =
      data_file_ == nullptr ? absl::OkStatus() : data_file_->Flush();
  if (status.ok()) status = file_.Flush();
  if (!status.ok()) unflushed_.store(true);
  return status;
}

absl::Status Metadata::WriteRefcounts() {
  if (!refcounts_->dirty()) return absl::OkStatus();
  unflushed_.store(true);
  return refcounts_->Write([this](HostOffset offset) {
    return GuardWrite({offset.value(), geometry_.cluster_size()},
                      kOverlapRefcountBlock);
  });
}

absl::Status Metadata::WriteL1() {
  for (const uint64_t sector : dirty_l1_sectors_) {
    const uint64_t first = sector * kL1EntriesPerSector;
    const uint64_t count =
        std::min<uint64_t>(kL1EntriesPerSector, l1_.size() - first);
    // A whole sector, behind the last entry with zeros: a table has its
    // clusters to itself, and no disk writes half an entry then.
    std::vector<std::byte> bytes(kL1EntriesPerSector * kL1EntrySize);
    for (uint64_t i = 0; i < count; ++i) {
      StoreBe64(bytes.data() + i * kL1EntrySize, l1_[first + i]);
    }
    const uint64_t offset =
        header().l1_table_offset.value() + first * kL1EntrySize;
    RETURN_IF_ERROR(GuardWrite({offset, bytes.size()}, kOverlapActiveL1));
    unflushed_.store(true);
    RETURN_IF_ERROR(file_.Pwrite(offset, bytes));
  }
  dirty_l1_sectors_.clear();
  return absl::OkStatus();
}

absl::Status Metadata::WriteMappings() {
  if (l2_.dirty_count() == 0 && dirty_l1_sectors_.empty()) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(FlushFiles());
  if (l2_.dirty_count() > 0) {
    unflushed_.store(true);
    RETURN_IF_ERROR(l2_.WriteDirty([this](HostOffset offset) {
      return GuardWrite({offset.value(), geometry_.cluster_size()},
                        kOverlapActiveL2);
    }));
  }
  if (dirty_l1_sectors_.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(FlushFiles());
  return WriteL1();
}

bool Metadata::PassesDiscard(FreeReason reason) const {
  switch (reason) {
    case FreeReason::kNever:
      return false;
    case FreeReason::kAlways:
      return true;
    case FreeReason::kRequest:
      return options_.pass_discard_request;
    case FreeReason::kSnapshot:
      return options_.pass_discard_snapshot;
    case FreeReason::kOther:
      return options_.pass_discard_other;
  }
  return false;
}

void Metadata::ForgetFreeBytes(ClusterRun freed) {
  const HostCluster last = geometry_.ClusterOf(HostOffset(free_byte_offset_));
  if (last >= freed.first && last < freed.first + freed.clusters) {
    free_byte_offset_ = 0;
  }
}

absl::Status Metadata::CountDown(ClusterRun run, FreeReason reason) {
  return refcounts_->Subtract(run, [&](ClusterRun freed) {
    for (uint64_t i = 0; i < freed.clusters; ++i) {
      l2_.Forget(geometry_.OffsetOf(freed.first + i));
    }
    ForgetFreeBytes(freed);
    if (!PassesDiscard(reason)) return;
    // The space is given back as far as that can be done; that it could
    // not harms nobody.
    unflushed_.store(true);
    file_
        .PunchHole({geometry_.OffsetOf(freed.first).value(),
                    freed.clusters << geometry_.cluster_bits()})
        .IgnoreError();
  });
}

absl::Status Metadata::FreeNow(ClusterRun run, FreeReason reason) {
  const uint64_t entries = geometry_.refcount_block_entries();
  while (run.clusters > 0) {
    const uint64_t in_block =
        std::min(run.clusters, entries - run.first.value() % entries);
    absl::Status status = CountDown({run.first, in_block}, reason);
    if (absl::IsDataLoss(status)) {
      return MarkCorrupt(std::string(status.message()));
    }
    if (!status.ok()) {
      FreeLater(run, reason);
      return status;
    }
    run = {run.first + in_block, run.clusters - in_block};
  }
  return absl::OkStatus();
}

absl::Status Metadata::ApplyFrees() {
  if (frees_.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(FlushFiles());
  std::vector<PendingFree> frees;
  frees.swap(frees_);
  absl::Status status;
  for (const PendingFree& free : frees) {
    if (status.ok()) {
      status = FreeNow(free.run, free.reason);
    } else {
      FreeLater(free.run, free.reason);
    }
  }
  return status;
}

absl::Status Metadata::Commit() {
  if (!options_.writable) return absl::OkStatus();
  RETURN_IF_ERROR(corrupt_);
  RETURN_IF_ERROR(header_.health());
  const bool dirty = header().has_incompatible(kIncompatibleDirty);
  // With the dirty bit on, counts are late until they are too many to keep.
  if (!dirty ||
      refcounts_->dirty_blocks() > refcounts_->cache().capacity() / 2) {
    RETURN_IF_ERROR(WriteRefcounts());
  }
  RETURN_IF_ERROR(WriteMappings());
  return ApplyFrees();
}

absl::Status Metadata::Flush() {
  if (!options_.writable) return absl::OkStatus();
  RETURN_IF_ERROR(Commit());
  return FlushFiles();
}

absl::Status Metadata::FlushCounts() {
  RETURN_IF_ERROR(Commit());
  RETURN_IF_ERROR(WriteRefcounts());
  return FlushFiles();
}

absl::Status Metadata::Close() {
  if (!options_.writable || !corrupt_.ok()) return corrupt_;
  RETURN_IF_ERROR(FlushCounts());
  if (!header().has_incompatible(kIncompatibleDirty)) return absl::OkStatus();
  HeaderArea next = area();
  next.header.incompatible_features &= ~kIncompatibleDirty;
  return header_.Switch(std::move(next));
}

absl::Status Metadata::SwitchHeader(HeaderArea next) {
  RETURN_IF_ERROR(Commit());
  RETURN_IF_ERROR(FlushFiles());
  return header_.Switch(std::move(next));
}

absl::Status Metadata::SwitchSnapshots(HeaderArea next,
                                       std::vector<SnapshotEntry> snapshots) {
  const ClusterRun before = SnapshotTableRun();
  RETURN_IF_ERROR(SwitchHeader(std::move(next)));
  RemoveSnapshotOwners(before);
  snapshots_ = std::move(snapshots);
  FreeLater(before, FreeReason::kOther);
  return AddSnapshotOwners();
}

absl::Status Metadata::ReplaceL1(HeaderArea next,
                                 std::vector<uint64_t> entries) {
  RETURN_IF_ERROR(Commit());
  const uint64_t clusters = std::max<uint64_t>(
      1, geometry_.ClustersFor(entries.size() * kL1EntrySize));
  ASSIGN_OR_RETURN(const HostCluster first, AllocateTable(clusters));
  std::vector<std::byte> bytes(clusters << geometry_.cluster_bits());
  for (uint64_t i = 0; i < entries.size(); ++i) {
    StoreBe64(bytes.data() + i * kL1EntrySize, entries[i]);
  }
  const HostOffset offset = geometry_.OffsetOf(first);
  RETURN_IF_ERROR(GuardWrite({offset.value(), bytes.size()}));
  unflushed_.store(true);
  RETURN_IF_ERROR(file_.Pwrite(offset.value(), bytes));
  const ClusterRun before{geometry_.ClusterOf(header().l1_table_offset),
                          geometry_.ClustersFor(l1_.size() * kL1EntrySize)};
  // The allocation may have moved it.
  next.header.refcount_table_offset = header().refcount_table_offset;
  next.header.refcount_table_clusters = header().refcount_table_clusters;
  next.header.l1_table_offset = offset;
  next.header.l1_size = static_cast<uint32_t>(entries.size());
  RETURN_IF_ERROR(SwitchHeader(std::move(next)));
  guard_.Remove(kOverlapActiveL1, before);
  guard_.Add(kOverlapActiveL1, {first, clusters});
  for (const uint64_t raw : l1_) {
    guard_.Remove(kOverlapActiveL2,
                  {geometry_.ClusterOf(L1Entry(raw).l2_offset()), 1});
  }
  for (const uint64_t raw : entries) {
    if (!L1Entry(raw).has_l2_table()) continue;
    guard_.Add(kOverlapActiveL2,
               {geometry_.ClusterOf(L1Entry(raw).l2_offset()), 1});
  }
  l1_ = std::move(entries);
  FreeLater(before, FreeReason::kOther);
  return absl::OkStatus();
}

absl::Status Metadata::GuardWrite(ByteRange range, uint32_t own) {
  const HostCluster first = geometry_.ClusterOf(HostOffset(range.offset));
  const HostCluster last =
      geometry_.ClusterOf(HostOffset(range.offset + range.length - 1));
  const uint32_t owners = guard_.Find({first, last - first + 1}, own);
  if (owners == 0) return absl::OkStatus();
  const std::string_view name = NameOfOverlap(owners);
  return MarkCorrupt(absl::StrCat(file_.name(), ": a write of ", range.length,
                                  " bytes at 0x", absl::Hex(range.offset),
                                  " would hit ",
                                  absl::string_view(name.data(), name.size())));
}

absl::Status Metadata::MarkCorrupt(const std::string& why) {
  if (corrupt_.ok() && options_.writable && header_.health().ok()) {
    if (header().version >= 3) {
      HeaderArea next = area();
      next.header.incompatible_features |= kIncompatibleCorrupt;
      header_.Switch(std::move(next)).IgnoreError();
    }
    corrupt_ = absl::DataLossError(absl::StrCat(
        why,
        "; the image is not written any more, qcow2-fsck --repair mends "
        "it"));
  }
  return corrupt_.ok() ? absl::DataLossError(why) : corrupt_;
}

void Metadata::DropUnusedTables() {
  l2_.DropUnused();
  if (refcounts_ != nullptr) refcounts_->cache().DropUnused();
}

void Metadata::DropTables() {
  l2_.DropAll();
  if (refcounts_ != nullptr) refcounts_->cache().DropAll();
}

}  // namespace qcow2
