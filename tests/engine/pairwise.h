// Few rows that bring each two values of each two factors together.
//
// For tests only; pure.
#ifndef TESTS_ENGINE_PAIRWISE_H_
#define TESTS_ENGINE_PAIRWISE_H_

#include <cstddef>
#include <functional>
#include <set>
#include <vector>

namespace qcow2 {

// For each factor the number of the value it has.
using FactorRow = std::vector<size_t>;
using RowRule = std::function<bool(const FactorRow& row)>;

// Two factors, the first before the second, and their values.
struct FactorPair {
  size_t first_factor;
  size_t first_value;
  size_t second_factor;
  size_t second_value;

  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 errs about <=>.
  friend auto operator<=>(const FactorPair&, const FactorPair&) = default;
};

// All rows that `can_be`, factor i having sizes[i] values, in order.
std::vector<FactorRow> AllRows(const std::vector<size_t>& sizes,
                               const RowRule& can_be);

// The pairs that are in any of `rows`.
std::set<FactorPair> PairsIn(const std::vector<FactorRow>& rows);

// Some of `rows`, the same at each call, with all pairs that are in any of
// them.
std::vector<FactorRow> PairwiseRows(const std::vector<FactorRow>& rows);

}  // namespace qcow2

#endif  // TESTS_ENGINE_PAIRWISE_H_
