#include "repair/table_users.h"

#include <algorithm>
#include <cstddef>

namespace qcow2::repair {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;
// Bytes of L1 tables in all: thousands of snapshots of a large disk have less.
constexpr uint64_t kMaxL1Bytes = uint64_t{4} << 30;
// Users kept in all.
constexpr uint64_t kMaxUsers = uint64_t{1} << 20;

}  // namespace

bool ForEachL1Entry(
    const checker::ImageModel& model, const File& view,
    const std::function<void(uint32_t, uint64_t, L1Entry)>& visit) {
  uint64_t total = 0;
  for (const checker::L1Table& table : model.l1_tables) {
    total += table.entries * kL1EntrySize;
    if (total > kMaxL1Bytes) return false;
  }
  std::vector<std::byte> piece;
  for (uint32_t t = 0; t < model.l1_tables.size(); ++t) {
    const checker::L1Table& table = model.l1_tables[t];
    const uint64_t bytes = table.entries * kL1EntrySize;
    for (uint64_t done = 0; done < bytes; done += piece.size()) {
      const uint64_t offset = table.offset_bytes + done;
      if (offset >= model.file_size_bytes) break;
      piece.resize(std::min(kPieceBytes, bytes - done));
      if (!ReadZeroFilled(view, offset, piece).ok()) continue;
      for (uint64_t at = 0; at < piece.size(); at += kL1EntrySize) {
        const L1Entry entry = L1Entry::Decode(&piece[at]);
        if (!entry.is_zero()) visit(t, (done + at) / kL1EntrySize, entry);
      }
    }
  }
  return true;
}

void TableUsers::Want(const checker::L2Table& table) {
  if (table.references <= 1 ||
      references_wanted_ + table.references > kMaxUsers) {
    return;
  }
  if (users_.try_emplace(table.offset_bytes).second) {
    references_wanted_ += table.references;
    found_ = false;
  }
}

void TableUsers::Find() {
  found_ = true;
  for (auto& [offset, users] : users_) users.clear();
  if (users_.empty()) return;
  ForEachL1Entry(
      graph_.model, view_,
      [this](uint32_t table, uint64_t index, L1Entry entry) {
        const auto users = users_.find(entry.l2_offset().value());
        if (users == users_.end()) return;
        users->second.push_back({table, static_cast<uint32_t>(index)});
      });
}

const std::vector<L1Place>& TableUsers::UsersOf(const checker::L2Table& table) {
  sole_.clear();
  if (table.references == 1) {
    sole_.push_back({table.l1_table, table.l1_index});
    return sole_;
  }
  if (!found_) Find();
  const auto users = users_.find(table.offset_bytes);
  if (users == users_.end() || users->second.size() != table.references) {
    return sole_;
  }
  return users->second;
}

}  // namespace qcow2::repair
