#include "tests/engine/pairwise.h"

#include <algorithm>
#include <utility>

namespace qcow2 {
namespace {

void Extend(const std::vector<size_t>& sizes, const RowRule& can_be,
            FactorRow& row, std::vector<FactorRow>& rows) {
  if (row.size() == sizes.size()) {
    if (can_be(row)) rows.push_back(row);
    return;
  }
  const size_t values = sizes[row.size()];
  for (size_t value = 0; value < values; ++value) {
    row.push_back(value);
    Extend(sizes, can_be, row, rows);
    row.pop_back();
  }
}

// Calls `use` for each pair of the row.
template <typename Use>
void ForEachPairOf(const FactorRow& row, Use use) {
  for (size_t first = 0; first < row.size(); ++first) {
    for (size_t second = first + 1; second < row.size(); ++second) {
      use(FactorPair{first, row[first], second, row[second]});
    }
  }
}

// A number for each pair, below the square of the number of all values.
class PairNumbers {
 public:
  explicit PairNumbers(const std::vector<FactorRow>& rows) {
    for (const FactorRow& row : rows) {
      for (const size_t value : row)
        most_values_ = std::max(most_values_, value);
    }
    ++most_values_;
    values_ = rows.empty() ? 0 : rows.front().size() * most_values_;
  }
  size_t count() const { return values_ * values_; }
  size_t Of(const FactorPair& pair) const {
    return (pair.first_factor * most_values_ + pair.first_value) * values_ +
           pair.second_factor * most_values_ + pair.second_value;
  }

 private:
  size_t most_values_ = 0;
  size_t values_ = 0;
};

}  // namespace

std::vector<FactorRow> AllRows(const std::vector<size_t>& sizes,
                               const RowRule& can_be) {
  std::vector<FactorRow> rows;
  FactorRow row;
  Extend(sizes, can_be, row, rows);
  return rows;
}

std::set<FactorPair> PairsIn(const std::vector<FactorRow>& rows) {
  const PairNumbers numbers(rows);
  std::vector<bool> seen(numbers.count());
  std::set<FactorPair> pairs;
  for (const FactorRow& row : rows) {
    ForEachPairOf(row, [&](const FactorPair& pair) {
      if (seen[numbers.Of(pair)]) return;
      seen[numbers.Of(pair)] = true;
      pairs.insert(pair);
    });
  }
  return pairs;
}

std::vector<FactorRow> PairwiseRows(const std::vector<FactorRow>& rows) {
  const PairNumbers numbers(rows);
  std::vector<bool> missing(numbers.count());
  size_t left = 0;
  for (const FactorPair& pair : PairsIn(rows)) {
    missing[numbers.Of(pair)] = true;
    ++left;
  }
  // What a row brought when it was looked at last: it never brings more later,
  // so that few rows need another look.
  std::vector<size_t> brings(rows.size(), ~size_t{0});
  std::vector<FactorRow> chosen;
  while (left > 0) {
    size_t best = 0;
    size_t most = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (brings[i] <= most) continue;
      brings[i] = 0;
      ForEachPairOf(rows[i], [&](const FactorPair& pair) {
        brings[i] += missing[numbers.Of(pair)] ? 1 : 0;
      });
      if (brings[i] <= most) continue;
      most = brings[i];
      best = i;
    }
    chosen.push_back(rows[best]);
    left -= most;
    ForEachPairOf(rows[best], [&](const FactorPair& pair) {
      missing[numbers.Of(pair)] = false;
    });
  }
  return chosen;
}

}  // namespace qcow2
