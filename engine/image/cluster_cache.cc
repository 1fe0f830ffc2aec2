#include "engine/image/cluster_cache.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

namespace qcow2 {

ClusterCache::ClusterCache(File& file, std::string what, uint64_t cluster_size,
                           size_t capacity, std::byte past_end)
    : file_(file),
      what_(std::move(what)),
      cluster_size_(cluster_size),
      capacity_(capacity),
      past_end_(past_end) {}

absl::StatusOr<CachedTable*> ClusterCache::Get(HostOffset offset) {
  if (recent_ == nullptr || recent_->offset != offset) {
    const auto found = tables_.find(offset.value());
    if (found != tables_.end()) {
      recent_ = found->second.get();
    } else {
      auto table = std::make_unique<CachedTable>();
      table->offset = offset;
      table->bytes.resize(cluster_size_);
      ASSIGN_OR_RETURN(const size_t got,
                       file_.Pread(offset.value(), table->bytes));
      if (got == 0) {
        return absl::DataLossError(absl::StrCat(
            file_.name(), ": the ", what_, " at 0x", absl::Hex(offset.value()),
            " lies past the end of the file"));
      }
      std::fill(table->bytes.begin() + static_cast<ptrdiff_t>(got),
                table->bytes.end(), past_end_);
      recent_ = table.get();
      tables_.emplace(offset.value(), std::move(table));
    }
  }
  recent_->last_used = ++clock_;
  return recent_;
}

CachedTable* ClusterCache::Create(HostOffset offset) {
  Forget(offset);
  auto table = std::make_unique<CachedTable>();
  table->offset = offset;
  table->bytes.resize(cluster_size_);
  MarkDirty(table.get());
  table->last_used = ++clock_;
  recent_ = table.get();
  tables_[offset.value()] = std::move(table);
  return recent_;
}

void ClusterCache::Forget(HostOffset offset) {
  if (recent_ != nullptr && recent_->offset == offset) recent_ = nullptr;
  const auto found = tables_.find(offset.value());
  if (found == tables_.end()) return;
  if (found->second->dirty) --dirty_count_;
  tables_.erase(found);
}

void ClusterCache::DropAll() {
  recent_ = nullptr;
  dirty_count_ = 0;
  tables_.clear();
}

void ClusterCache::MarkDirty(CachedTable* table) {
  if (table->dirty) return;
  table->dirty = true;
  ++dirty_count_;
}

absl::Status ClusterCache::WriteDirty(
    const std::function<absl::Status(HostOffset)>& guard) {
  std::vector<CachedTable*> dirty;
  for (auto& [offset, table] : tables_) {
    if (table->dirty) dirty.push_back(table.get());
  }
  std::sort(dirty.begin(), dirty.end(),
            [](const CachedTable* a, const CachedTable* b) {
              return a->offset < b->offset;
            });
  for (CachedTable* table : dirty) {
    RETURN_IF_ERROR(guard(table->offset));
    RETURN_IF_ERROR(file_.Pwrite(table->offset.value(), table->bytes));
    table->dirty = false;
    --dirty_count_;
  }
  return absl::OkStatus();
}

void ClusterCache::Trim() {
  if (tables_.size() <= capacity_) return;
  std::vector<std::pair<uint64_t, uint64_t>> by_age;  // last used, offset
  for (const auto& [offset, table] : tables_) {
    if (!table->dirty) by_age.emplace_back(table->last_used, offset);
  }
  // A quarter more than needed, so that the next tables do not begin anew.
  const size_t excess = tables_.size() - capacity_ + capacity_ / 4;
  const size_t drop = std::min(excess, by_age.size());
  std::nth_element(by_age.begin(),
                   by_age.begin() + static_cast<ptrdiff_t>(drop), by_age.end());
  for (size_t i = 0; i < drop; ++i) Forget(HostOffset(by_age[i].second));
}

void ClusterCache::DropUnused() {
  recent_ = nullptr;
  absl::erase_if(tables_, [this](const auto& entry) {
    return !entry.second->dirty && entry.second->last_used <= last_clean_;
  });
  last_clean_ = clock_;
}

}  // namespace qcow2
