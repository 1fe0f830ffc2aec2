// Which L1 entries name an L2 table, so that every guest range a change in it
// concerns can be told: of the active disk and of each snapshot.
//
// Reads only.
#ifndef REPAIR_TABLE_USERS_H_
#define REPAIR_TABLE_USERS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "checker/graph.h"
#include "engine/format/l1_entry.h"
#include "engine/storage/file.h"

namespace qcow2::repair {

// Calls `visit(table, index, entry)` for every entry that is not zero, `table`
// being an index into model.l1_tables. What cannot be read is passed over.
// False, with nothing visited, if the tables are longer than any image needs:
// they lie in holes or over one another.
bool ForEachL1Entry(
    const checker::ImageModel& model, const File& view,
    const std::function<void(uint32_t, uint64_t, L1Entry)>& visit);

// One L1 entry: index into ImageModel::l1_tables and into that table.
struct L1Place {
  uint32_t table = 0;
  uint32_t index = 0;
};

class TableUsers {
 public:
  // Both must outlive the object; `graph` is of `view`.
  TableUsers(const checker::Graph& graph, const File& view)
      : graph_(graph), view_(view) {}

  // Announces that the users of `table` will be asked for.
  void Want(const checker::L2Table& table);

  // The entries that name `table`. Empty if not all are known, or too many.
  const std::vector<L1Place>& UsersOf(const checker::L2Table& table);

 private:
  void Find();

  const checker::Graph& graph_;
  const File& view_;
  bool found_ = false;
  // Of tables that several entries name, by offset.
  absl::flat_hash_map<uint64_t, std::vector<L1Place>> users_;
  uint64_t references_wanted_ = 0;
  // The answer for a table that one entry names.
  std::vector<L1Place> sole_;
};

}  // namespace qcow2::repair

#endif  // REPAIR_TABLE_USERS_H_
