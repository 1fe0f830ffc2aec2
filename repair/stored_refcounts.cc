#include "repair/stored_refcounts.h"

#include <algorithm>

#include "engine/format/refcount_block.h"

namespace qcow2::repair {

void StoredRefcounts::Load(uint64_t table_index) {
  if (loaded_ == table_index) return;
  loaded_ = table_index;
  state_ = graph_.model.refcounts_unknown ? State::kUnknown : State::kNone;
  if (state_ == State::kUnknown) return;
  const std::vector<checker::RefcountBlock>& blocks = graph_.refcounts.blocks;
  const auto found =
      std::lower_bound(blocks.begin(), blocks.end(), table_index,
                       [](const checker::RefcountBlock& block, uint64_t index) {
                         return block.table_index < index;
                       });
  if (found == blocks.end() || found->table_index != table_index) return;
  // What lies past the end of the file reads as zeros.
  if (found->past_end) return;
  state_ = State::kUnknown;
  if (!found->readable) return;
  bytes_.resize(graph_.model.geometry->cluster_size());
  if (ReadZeroFilled(view_, found->offset_bytes, bytes_).ok()) {
    state_ = State::kRead;
  }
}

std::optional<uint64_t> StoredRefcounts::At(uint64_t cluster) {
  const Geometry& geometry = *graph_.model.geometry;
  Load(cluster / geometry.refcount_block_entries());
  if (state_ == State::kNone) return 0;
  if (state_ == State::kUnknown) return std::nullopt;
  return GetRefcount(bytes_, geometry.refcount_order(),
                     cluster % geometry.refcount_block_entries());
}

std::span<const std::byte> StoredRefcounts::BlockOf(uint64_t cluster) {
  Load(cluster / graph_.model.geometry->refcount_block_entries());
  if (state_ != State::kRead) return {};
  return bytes_;
}

}  // namespace qcow2::repair
