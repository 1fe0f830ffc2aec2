#include "repair/transaction_report.h"

#include <array>
#include <cstddef>

namespace qcow2::repair {

std::string_view NameOf(Action action) {
  static constexpr std::array<std::string_view, 4> kNames = {
      "repair", "recover", "undo", "discard-freed"};
  return kNames[static_cast<size_t>(action)];
}

std::string_view NameOf(Conclusion conclusion) {
  static constexpr std::array<std::string_view, 8> kNames = {
      "not-started", "cancelled", "nothing-to-do", "planned",
      "not-proven",  "committed", "not-committed", "pending"};
  return kNames[static_cast<size_t>(conclusion)];
}

std::string_view NameOf(JournalState state) {
  static constexpr std::array<std::string_view, 6> kNames = {
      "none", "incomplete", "committed", "applied", "undoing", "undone"};
  return kNames[static_cast<size_t>(state)];
}

std::string_view NameOf(ImageState state) {
  static constexpr std::array<std::string_view, 3> kNames = {"old", "new",
                                                             "pending"};
  return kNames[static_cast<size_t>(state)];
}

bool ChangedImage(const TransactionReport& transaction) {
  if (transaction.conclusion == Conclusion::kCommitted) return true;
  // A journal finished on the way to something else.
  return transaction.recovered.has_value() &&
         (transaction.recovered->found == JournalState::kCommitted ||
          transaction.recovered->found == JournalState::kUndoing);
}

}  // namespace qcow2::repair
