// What looks at the tables for an OwnershipCollector.
//
// Each visitor is one thread's; what it finds goes to the collector, under its
// lock, after each batch of tables.
#ifndef CHECKER_OWNERSHIP_VISITORS_H_
#define CHECKER_OWNERSHIP_VISITORS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "checker/l2_scan.h"
#include "checker/ownership_collector.h"
#include "checker/table_walk.h"

namespace qcow2::checker {

// Compares the counts of the blocks one thread visits with the references.
class OwnershipCollector::CountVisitor : public TableVisitor {
 public:
  CountVisitor(OwnershipCollector& collector,
               const std::vector<const RefcountBlock*>& blocks,
               const ReferenceMap& references,
               const std::vector<uint64_t>& chunks)
      : collector_(collector),
        geometry_(collector.geometry_),
        blocks_(blocks),
        references_(references),
        chunks_(chunks) {}
  ~CountVisitor() override { EndBatch(); }

  void VisitTable(uint64_t index, std::span<const std::byte> bytes,
                  const std::vector<UnreadableRange>& unreadable,
                  FindingSink& sink) override;
  // Counts nothing, whatever is in use.
  void VisitHole(uint64_t index, FindingSink& sink) override;
  void EndBatch() override;

 private:
  void Compare(uint64_t base, uint64_t first, uint64_t end,
               std::span<const std::byte> bytes);
  void CompareRun(uint64_t base, uint64_t first, uint64_t end,
                  const ReferenceCell& cell, std::span<const std::byte> bytes);
  void Add(uint64_t first, uint64_t clusters, ClusterMark mark);

  OwnershipCollector& collector_;
  const Geometry& geometry_;
  const std::vector<const RefcountBlock*>& blocks_;
  const ReferenceMap& references_;
  const std::vector<uint64_t>& chunks_;  // of references_ that hold anything
  std::vector<MarkedRun> pending_;
};

// Collects the owners of the L2 tables one thread visits.
class OwnershipCollector::OwnerVisitor : public TableVisitor {
 public:
  OwnerVisitor(OwnershipCollector& collector, std::span<const L2Table> tables)
      : collector_(collector),
        model_(collector.state_.model),
        geometry_(collector.geometry_),
        rules_(ScanRulesOf(collector.state_)),
        qemu_compatible_(collector.state_.options.qemu_compatible),
        tables_(tables),
        other_seen_(collector.other_seen_.size()),
        guest_bins_(collector.map_.guest_bins.size()) {}
  ~OwnerVisitor() override;

  void VisitTable(uint64_t index, std::span<const std::byte> bytes,
                  const std::vector<UnreadableRange>& /*unreadable*/,
                  FindingSink& /*sink*/) override {
    table_ = &tables_[index];
    ScanL2Table(bytes, rules_, *this);
  }
  // Names nothing.
  void VisitHole(uint64_t /*index*/, FindingSink& /*sink*/) override {}
  void EndBatch() override;

  // Called by the scan.
  void OnRun(const L2Run& run) {
    Take(run.host_offset_bytes >> geometry_.cluster_bits(), run.entries,
         run.first_index, run.entries, kOwnerGuestData);
  }
  void OnOdd(uint64_t index, L2Entry entry);

 private:
  // `entries` entries from `entry` on own `clusters` clusters from `first` on.
  void Take(uint64_t first, uint64_t clusters, uint64_t entry, uint64_t entries,
            Owner owner);
  void CountGuest(const OwnedRun& run, uint64_t entries);
  void CountOther(const OwnedRun& run);
  void NoteHits(const OwnedRun& run);

  OwnershipCollector& collector_;
  const ImageModel& model_;
  const Geometry& geometry_;
  const L2ScanRules rules_;
  const bool qemu_compatible_;
  const std::span<const L2Table> tables_;
  const L2Table* table_ = nullptr;
  std::vector<OtherSeen> other_seen_;
  std::vector<GuestBin> guest_bins_;
  std::vector<OwnedRun> pending_;
  std::vector<GuestHit> hits_;
  uint64_t hits_omitted_ = 0;
};

}  // namespace qcow2::checker

#endif  // CHECKER_OWNERSHIP_VISITORS_H_
