#include "checker/stored_copied_pass.h"

#include <algorithm>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "engine/format/l1_entry.h"
#include "engine/format/refcount_block.h"

namespace qcow2::checker {
namespace {

constexpr uint64_t kCacheBytes = 4 << 20;

// Stored refcounts by cluster, through a small cache of refcount blocks.
class StoredRefcounts {
 public:
  StoredRefcounts(const CheckState& state, const RefcountStructures& structures)
      : state_(state), geometry_(*state.model.geometry) {
    for (const RefcountBlock& block : structures.blocks) {
      offsets_[block.table_index] = block.offset_bytes;
    }
  }

  // Nothing where qemu-img cannot read the count either.
  std::optional<uint64_t> Get(uint64_t cluster);

 private:
  const std::vector<std::byte>& BlockAt(uint64_t offset);

  const CheckState& state_;
  const Geometry& geometry_;
  absl::flat_hash_map<uint64_t, uint64_t> offsets_;  // by table index
  std::list<std::pair<uint64_t, std::vector<std::byte>>>
      blocks_;  // newest first
  absl::flat_hash_map<uint64_t, decltype(blocks_)::iterator> cached_;
};

const std::vector<std::byte>& StoredRefcounts::BlockAt(uint64_t offset) {
  const auto found = cached_.find(offset);
  if (found != cached_.end()) {
    blocks_.splice(blocks_.begin(), blocks_, found->second);
    return blocks_.front().second;
  }
  const uint64_t capacity =
      std::max<uint64_t>(2, kCacheBytes / geometry_.cluster_size());
  if (blocks_.size() >= capacity) {
    cached_.erase(blocks_.back().first);
    blocks_.pop_back();
  }
  blocks_.emplace_front(offset,
                        std::vector<std::byte>(geometry_.cluster_size()));
  state_.reader.Read(offset, blocks_.front().second);
  cached_[offset] = blocks_.begin();
  return blocks_.front().second;
}

std::optional<uint64_t> StoredRefcounts::Get(uint64_t cluster) {
  const uint64_t entries = geometry_.refcount_block_entries();
  const auto found = offsets_.find(cluster / entries);
  if (found == offsets_.end() || found->second == 0) return 0;
  if (QemuCannotReadBlock(found->second, geometry_)) return std::nullopt;
  return GetRefcount(BlockAt(found->second), geometry_.refcount_order(),
                     cluster % entries);
}

class StoredCopiedPass {
 public:
  StoredCopiedPass(CheckState& state, const RefcountStructures& structures)
      : state_(state),
        geometry_(*state.model.geometry),
        refcounts_(state, structures) {}

  void VisitActiveTable(uint32_t l1_table);

 private:
  void VisitL1Entry(uint32_t l1_table, uint64_t index, L1Entry entry);
  void VisitL2Table(const L2Table& table);
  void VisitL2Entry(const L2Table& table, uint64_t index, L2Entry entry);

  CheckState& state_;
  const Geometry& geometry_;
  StoredRefcounts refcounts_;
};

void StoredCopiedPass::VisitL2Entry(const L2Table& table, uint64_t index,
                                    L2Entry entry) {
  const ImageModel& model = state_.model;
  const L2EntryType type = TypeOf(entry, geometry_, model.external_data_file);
  if (type != L2EntryType::kNormal && type != L2EntryType::kZeroAllocated) {
    return;
  }
  const uint64_t offset = entry.host_offset().value();
  const std::optional<uint64_t> stored =
      model.external_data_file
          ? std::optional<uint64_t>(1)
          : refcounts_.Get(offset >> geometry_.cluster_bits());
  if (!stored.has_value() || entry.copied() == (*stored == 1)) return;
  Finding finding;
  finding.problem =
      entry.copied() ? Problem::kL2CopiedWrong : Problem::kL2CopiedMissing;
  finding.location = LocationOf(model, table, index);
  finding.guest.push_back(GuestRangeOf(model, table, index, 1));
  finding.actual = offset;
  finding.expected = *stored;
  state_.sink.Add(std::move(finding));
}

void StoredCopiedPass::VisitL2Table(const L2Table& table) {
  std::vector<std::byte> bytes(geometry_.cluster_size());
  if (table.offset_bytes < state_.model.file_size_bytes) {
    state_.reader.Read(table.offset_bytes, bytes);
  }
  const uint64_t entry_size = geometry_.l2_entry_size();
  for (uint64_t i = 0; i < geometry_.l2_entries(); ++i) {
    VisitL2Entry(table, i,
                 L2Entry::Decode(bytes.data() + i * entry_size, geometry_));
  }
}

void StoredCopiedPass::VisitL1Entry(uint32_t l1_table, uint64_t index,
                                    L1Entry entry) {
  const uint64_t offset = entry.l2_offset().value();
  if (offset == 0) return;
  const std::optional<uint64_t> stored =
      refcounts_.Get(offset >> geometry_.cluster_bits());
  if (!stored.has_value()) return;
  L2Table table;
  table.offset_bytes = offset;
  table.references = 1;
  table.active_references = 1;
  table.l1_table = l1_table;
  table.l1_index = static_cast<uint32_t>(index);
  if (entry.copied() != (*stored == 1)) {
    Finding finding;
    finding.problem =
        entry.copied() ? Problem::kL1CopiedWrong : Problem::kL1CopiedMissing;
    finding.location.structure = Structure::kActiveL1;
    finding.location.table_offset =
        state_.model.l1_tables[l1_table].offset_bytes;
    finding.location.index = index;
    finding.guest.push_back(
        GuestRangeOf(state_.model, table, 0, geometry_.l2_entries()));
    finding.actual = *stored;
    finding.expected = 1;
    state_.sink.Add(std::move(finding));
  }
  VisitL2Table(table);
}

void StoredCopiedPass::VisitActiveTable(uint32_t l1_table) {
  ForEachL1Entry(state_, state_.model.l1_tables[l1_table],
                 [&](uint64_t index, L1Entry entry) {
                   VisitL1Entry(l1_table, index, entry);
                 });
}

}  // namespace

void RunStoredCopiedPass(CheckState& state,
                         const RefcountStructures& structures) {
  StoredCopiedPass pass(state, structures);
  for (uint32_t i = 0; i < state.model.l1_tables.size(); ++i) {
    if (state.model.l1_tables[i].active) pass.VisitActiveTable(i);
  }
}

}  // namespace qcow2::checker
