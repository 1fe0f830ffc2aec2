#include "checker/ownership_visitors.h"

#include <algorithm>
#include <mutex>

#include "checker/l2_entry_judge.h"
#include "checker/ownership_runs.h"
#include "checker/refcount_runs.h"
#include "engine/format/header.h"
#include "engine/format/refcount_block.h"

namespace qcow2::checker {
namespace {

// Runs a thread keeps before it hands them over.
constexpr size_t kMaxPending = 4096;

}  // namespace

void OwnershipCollector::CountVisitor::VisitTable(
    uint64_t index, std::span<const std::byte> bytes,
    const std::vector<UnreadableRange>& unreadable, FindingSink& /*sink*/) {
  const RefcountBlock& block = *blocks_[index];
  const uint64_t entries = geometry_.refcount_block_entries();
  const uint64_t base = block.table_index * entries;
  const uint64_t end = std::min({base + entries, references_.end_cluster(),
                                 collector_.map_.file_clusters});
  uint64_t next = std::max(base, references_.first_cluster());
  if (next >= end) return;
  for (const UnreadableRange& range : unreadable) {
    const auto count_at = [&](uint64_t offset) {
      return base + RefcountsIn(offset - block.offset_bytes,
                                geometry_.refcount_order());
    };
    const uint64_t bad = std::clamp(count_at(range.offset_bytes), next, end);
    const uint64_t bad_end =
        std::clamp(count_at(range.offset_bytes + range.length_bytes), bad, end);
    Compare(base, next, bad, bytes);
    if (bad_end > bad) Add(bad, bad_end - bad, ClusterMark::kCountUnknown);
    next = bad_end;
  }
  Compare(base, next, end, bytes);
}

void OwnershipCollector::CountVisitor::Compare(
    uint64_t base, uint64_t first, uint64_t end,
    std::span<const std::byte> bytes) {
  const bool usual_width = geometry_.refcount_order() == kRefcountOrderV2;
  while (first < end) {
    if (usual_width) {
      first = references_
                  .PassUsual(first, end, bytes.data() + (first - base) * 2,
                             /*pass_leaks=*/false)
                  .end;
      if (first == end) return;
    }
    const uint64_t stop = references_.RunEnd(first, end);
    CompareRun(base, first, stop, references_.At(first), bytes);
    first = stop;
  }
}

void OwnershipCollector::CountVisitor::CompareRun(
    uint64_t base, uint64_t first, uint64_t end, const ReferenceCell& cell,
    std::span<const std::byte> bytes) {
  const uint32_t order = geometry_.refcount_order();
  const uint64_t expected = std::min(cell.count, geometry_.refcount_max());
  while (first < end) {
    const uint64_t stored = GetRefcount(bytes, order, first - base);
    const uint64_t stop =
        base + RefcountRunEnd(bytes, order, first - base, end - base, stored);
    if (stored != expected) {
      Add(first, stop - first,
          stored < expected ? ClusterMark::kCountTooLow
          : expected > 0    ? ClusterMark::kCountTooHigh
                            : ClusterMark::kLeaked);
    }
    first = stop;
  }
}

void OwnershipCollector::CountVisitor::VisitHole(uint64_t index,
                                                 FindingSink& /*sink*/) {
  const uint64_t entries = geometry_.refcount_block_entries();
  const uint64_t base = blocks_[index]->table_index * entries;
  const uint64_t first = std::max(base, references_.first_cluster());
  const uint64_t end = std::min({base + entries, references_.end_cluster(),
                                 collector_.map_.file_clusters});
  constexpr uint64_t kChunk = ReferenceMap::kChunkClusters;
  for (auto chunk =
           std::lower_bound(chunks_.begin(), chunks_.end(), first / kChunk);
       chunk != chunks_.end() && *chunk * kChunk < end; ++chunk) {
    const uint64_t from = std::max(*chunk * kChunk, first);
    const uint64_t to = std::min((*chunk + 1) * kChunk, end);
    if (from >= to) continue;
    references_.ForEachRun(
        from, to,
        [&](uint64_t run, uint64_t clusters, const ReferenceCell& cell) {
          if (cell.count > 0) Add(run, clusters, ClusterMark::kCountTooLow);
        });
  }
}

void OwnershipCollector::CountVisitor::Add(uint64_t first, uint64_t clusters,
                                           ClusterMark mark) {
  if (!pending_.empty() && pending_.back().mark == mark &&
      pending_.back().first_cluster + pending_.back().clusters == first) {
    pending_.back().clusters += clusters;
    return;
  }
  if (pending_.size() >= kMaxPending) EndBatch();
  pending_.push_back({first, clusters, mark});
}

void OwnershipCollector::CountVisitor::EndBatch() {
  const std::lock_guard<std::mutex> lock(collector_.mutex_);
  for (const MarkedRun& run : pending_) collector_.Mark(run);
  pending_.clear();
}

OwnershipCollector::OwnerVisitor::~OwnerVisitor() {
  EndBatch();
  const std::lock_guard<std::mutex> lock(collector_.mutex_);
  for (size_t i = 0; i < other_seen_.size(); ++i) {
    OtherSeen& seen = collector_.other_seen_[i];
    seen.snapshot += other_seen_[i].snapshot;
    seen.compressed += other_seen_[i].compressed;
    seen.vm_state += other_seen_[i].vm_state;
  }
  for (size_t i = 0; i < guest_bins_.size(); ++i) {
    GuestBin& bin = collector_.map_.guest_bins[i];
    bin.stored += guest_bins_[i].stored;
    bin.compressed += guest_bins_[i].compressed;
  }
}

void OwnershipCollector::OwnerVisitor::EndBatch() {
  const std::lock_guard<std::mutex> lock(collector_.mutex_);
  for (const OwnedRun& run : pending_) collector_.Keep(run);
  pending_.clear();
  OwnershipMap& map = collector_.map_;
  for (const GuestHit& hit : hits_) {
    if (map.hits.size() < OwnershipMap::kMaxRuns) {
      map.hits.push_back(hit);
    } else {
      ++map.hits_omitted;
    }
  }
  map.hits_omitted += hits_omitted_;
  hits_omitted_ = 0;
  hits_.clear();
}

void OwnershipCollector::OwnerVisitor::OnOdd(uint64_t index, L2Entry entry) {
  const EntryReference reference = ReferenceOf(model_, entry, qemu_compatible_);
  if (reference.length_bytes == 0) return;
  const uint64_t first = reference.offset_bytes >> geometry_.cluster_bits();
  const uint64_t last = (reference.offset_bytes + reference.length_bytes - 1) >>
                        geometry_.cluster_bits();
  Take(first, last - first + 1, index, 1,
       reference.whole_cluster ? kOwnerGuestData : kOwnerCompressedData);
}

void OwnershipCollector::OwnerVisitor::Take(uint64_t first, uint64_t clusters,
                                            uint64_t entry, uint64_t entries,
                                            Owner owner) {
  const GuestRange guest = GuestRangeOf(model_, *table_, entry, entries);
  OwnedRun run;
  run.first_cluster = first;
  run.clusters = clusters;
  run.owner = guest.vm_state ? kOwnerVmState : owner;
  run.cluster_class = ClassOf(run.owner, table_->active());
  run.disk = table_->l1_table;
  run.references = table_->references;
  run.guest_offset_bytes = guest.offset_bytes;
  run.guest_length_bytes = guest.length_bytes;
  CountOther(run);
  CountGuest(run, entries);
  NoteHits(run);
  if (!pending_.empty() && Merge(pending_.back(), run)) return;
  if (pending_.size() >= kMaxPending) EndBatch();
  pending_.push_back(run);
}

void OwnershipCollector::OwnerVisitor::CountOther(const OwnedRun& run) {
  if (run.cluster_class == ClusterClass::kGuestData) return;
  ForEachBin(other_seen_, collector_.map_.bin_clusters, run.first_cluster,
             run.clusters, [&](OtherSeen& seen, uint64_t clusters) {
               if (run.owner == kOwnerCompressedData) {
                 seen.compressed += clusters;
               } else if (run.owner == kOwnerVmState) {
                 seen.vm_state += clusters;
               } else {
                 seen.snapshot += clusters;
               }
             });
}

void OwnershipCollector::OwnerVisitor::CountGuest(const OwnedRun& run,
                                                  uint64_t entries) {
  if (!table_->active() || run.owner == kOwnerVmState) return;
  ForEachBin(guest_bins_, collector_.map_.guest_bin_clusters,
             run.guest_offset_bytes >> geometry_.cluster_bits(), entries,
             [&](GuestBin& bin, uint64_t clusters) {
               (run.owner == kOwnerCompressedData ? bin.compressed
                                                  : bin.stored) += clusters;
             });
}

void OwnershipCollector::OwnerVisitor::NoteHits(const OwnedRun& run) {
  if (run.owner == kOwnerVmState) return;
  collector_.damaged_.Intersect(
      run.first_cluster, run.clusters, [&](uint64_t first, uint64_t clusters) {
        const OwnedRun part =
            Cut(run, first, clusters, geometry_.cluster_size());
        if (part.guest_length_bytes == 0) return;
        if (hits_.size() >= OwnershipMap::kMaxRuns) {
          ++hits_omitted_;
          return;
        }
        hits_.push_back({part.guest_offset_bytes, part.guest_length_bytes,
                         first, part.disk, part.references});
      });
}

}  // namespace qcow2::checker
