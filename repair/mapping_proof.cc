#include "repair/mapping_proof.h"

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "checker/metadata_reader.h"
#include "engine/format/l1_entry.h"
#include "repair/named_ranges.h"

namespace qcow2::repair {
namespace {

using checker::L1Table;
using checker::L2Table;

// L1 entries looked at before a proof is given up, and differences kept. No
// repair of a sane image comes near them.
constexpr uint64_t kMaxL1Entries = uint64_t{1} << 26;
constexpr uint64_t kMaxDifferences = uint64_t{1} << 20;
// L1 entries read at a time.
constexpr uint64_t kPieceEntries = uint64_t{32} * 1024;

// An L1 table of the image and the one that took its place.
struct TablePair {
  const L1Table* before = nullptr;
  const L1Table* after = nullptr;
};

// A snapshot is known by its ID and its name. A repair may change an ID that
// two snapshots share, but never the order.
class TableMatcher {
 public:
  TableMatcher(const std::vector<L1Table>& before,
               const std::vector<L1Table>& after)
      : before_(before), after_(after), used_(after.size()) {}

  // A pair for each table of `before`; without a partner `after` is null.
  std::vector<TablePair> Match();

 private:
  using Key = std::string (*)(const L1Table& table);
  void MatchBy(Key key, std::vector<TablePair>& pairs);

  const std::vector<L1Table>& before_;
  const std::vector<L1Table>& after_;
  std::vector<bool> used_;
};

std::string KindOf(const L1Table& table) { return table.active ? "a" : "s"; }

void TableMatcher::MatchBy(Key key, std::vector<TablePair>& pairs) {
  // Indexes into after_ by key, the first one last.
  absl::flat_hash_map<std::string, std::vector<size_t>> free;
  for (size_t i = after_.size(); i-- > 0;) {
    if (!used_[i]) free[key(after_[i])].push_back(i);
  }
  for (TablePair& pair : pairs) {
    if (pair.after != nullptr) continue;
    const auto found = free.find(key(*pair.before));
    if (found == free.end() || found->second.empty()) continue;
    pair.after = &after_[found->second.back()];
    used_[found->second.back()] = true;
    found->second.pop_back();
  }
}

std::vector<TablePair> TableMatcher::Match() {
  std::vector<TablePair> pairs;
  pairs.reserve(before_.size());
  for (const L1Table& table : before_) pairs.push_back({&table, nullptr});
  MatchBy(
      [](const L1Table& table) {
        return absl::StrCat(KindOf(table), table.snapshot_id.size(), ":",
                            table.snapshot_id, table.snapshot_name);
      },
      pairs);
  MatchBy(
      [](const L1Table& table) {
        return absl::StrCat(KindOf(table), table.snapshot_name);
      },
      pairs);
  MatchBy(
      [](const L1Table& table) {
        return absl::StrCat(KindOf(table), table.snapshot_id);
      },
      pairs);
  // Where lengths in the entry were damaged, ID and name were, too.
  MatchBy(
      [](const L1Table& table) {
        return absl::StrCat(KindOf(table), table.offset_bytes);
      },
      pairs);
  return pairs;
}

// L1 entries [first, end).
struct EntryRange {
  uint64_t first = 0;
  uint64_t end = 0;
};

class MappingProof {
 public:
  MappingProof(const File& image, const OverlayFile& view,
               const PlannedRepair& planned, const ChangedClusters& changed,
               ProofLog& log);

  void Run();

 private:
  using Differences = std::vector<TableDifference>;
  using DifferingTables = absl::flat_hash_map<uint64_t, Differences>;
  using VisitEntry = std::function<void(uint64_t index, const L2Place& before,
                                        const L2Place& after)>;

  // The entries of a pair that may say something else than before.
  std::vector<EntryRange> EntriesToCompare(const TablePair& pair) const;
  // Calls `visit` for the entries of `range` that lead somewhere on either
  // side and whose bytes could be read before.
  void VisitEntries(const TablePair& pair, const EntryRange& range,
                    const VisitEntry& visit);
  // The differences between two tables, worked out once.
  const Differences& DifferencesOf(const L2Place& before, const L2Place& after);
  void CompareMovedTables(const TablePair& pair);
  void FailMissing(const L1Table& table);
  // Tables that are where they were, but whose content or whose clusters'
  // content may have changed.
  std::vector<uint64_t> KeptTablesToCompare();
  void AddTablesPastOldEnd(std::vector<uint64_t>& tables);
  void CompareKeptTables();
  // Tables that were lost and are in use again: what they say of guest data is
  // not to be lost on the way.
  void CompareFoundTables();
  // Reports the differences of tables (by offset) for all who read through
  // them.
  void JudgeTables(const DifferingTables& differing, bool found_again);
  // Reports what of `differences` in the window of entry `index` is not named.
  void Judge(const TablePair& pair, uint64_t index,
             const Differences& differences);
  void CountBytes();

  const checker::Graph& before_;
  const checker::Graph& after_;
  const PlannedRepair& planned_;
  const ChangedClusters& changed_;
  ProofLog& log_;
  const SourceRules rules_before_;
  const SourceRules rules_after_;
  const NamedRanges named_;
  RangeSet dirty_;
  TableComparer comparer_;
  checker::CheckOptions reader_options_;
  checker::MetadataReader image_reader_;
  checker::MetadataReader view_reader_;
  std::vector<TablePair> pairs_;
  absl::flat_hash_map<std::pair<L2Place, L2Place>, Differences> known_;
  uint64_t known_differences_ = 0;
  uint64_t entries_left_ = kMaxL1Entries;
  bool gave_up_ = false;
};

MappingProof::MappingProof(const File& image, const OverlayFile& view,
                           const PlannedRepair& planned,
                           const ChangedClusters& changed, ProofLog& log)
    : before_(planned.graph_before),
      after_(planned.graph_after),
      planned_(planned),
      changed_(changed),
      log_(log),
      rules_before_(RulesOf(before_.model)),
      rules_after_(RulesOf(after_.model)),
      named_(planned.plan),
      comparer_(image, rules_before_, view, rules_after_, changed.guest, log),
      image_reader_(image, reader_options_),
      view_reader_(view, reader_options_) {
  for (const ByteRange& range : view.DirtyRanges()) dirty_.Append(range);
}

std::vector<EntryRange> MappingProof::EntriesToCompare(
    const TablePair& pair) const {
  const L1Table& before = *pair.before;
  if (before.offset_bytes != pair.after->offset_bytes) {
    return {{0, before.entries}};
  }
  const uint64_t common = std::min(before.entries, pair.after->entries);
  const uint64_t begin = before.offset_bytes;
  const uint64_t end = begin + common * kL1EntrySize;
  std::vector<EntryRange> ranges;
  const auto& dirty = dirty_.ranges();
  auto range =
      std::upper_bound(dirty.begin(), dirty.end(), begin,
                       [](uint64_t at, const ByteRange& candidate) {
                         return at < candidate.offset + candidate.length;
                       });
  for (; range != dirty.end() && range->offset < end; ++range) {
    const uint64_t from = std::max(range->offset, begin);
    const uint64_t to = std::min(range->offset + range->length, end);
    ranges.push_back({(from - begin) / kL1EntrySize,
                      (to - begin + kL1EntrySize - 1) / kL1EntrySize});
  }
  if (before.entries > common) ranges.push_back({common, before.entries});
  return ranges;
}

void MappingProof::VisitEntries(const TablePair& pair, const EntryRange& range,
                                const VisitEntry& visit) {
  std::vector<std::byte> old_words;
  std::vector<std::byte> new_words;
  for (uint64_t first = range.first; first < range.end && !log_.Ended();) {
    const uint64_t count = std::min(kPieceEntries, range.end - first);
    if (count > entries_left_) {
      gave_up_ = true;
      return;
    }
    entries_left_ -= count;
    old_words.assign(count * kL1EntrySize, std::byte{0});
    new_words.assign(count * kL1EntrySize, std::byte{0});
    const uint64_t old_offset =
        pair.before->offset_bytes + first * kL1EntrySize;
    const auto bad = image_reader_.Read(old_offset, old_words);
    if (first < pair.after->entries) {
      const uint64_t there = std::min(count, pair.after->entries - first);
      view_reader_.Read(pair.after->offset_bytes + first * kL1EntrySize,
                        std::span(new_words).first(there * kL1EntrySize));
    }
    for (uint64_t i = 0; i < count && !log_.Ended(); ++i) {
      const uint64_t at = old_offset + i * kL1EntrySize;
      const bool was_bad = std::any_of(
          bad.begin(), bad.end(), [&](const checker::UnreadableRange& spot) {
            return at >= spot.offset_bytes &&
                   at < spot.offset_bytes + spot.length_bytes;
          });
      if (was_bad) continue;
      const Geometry& geometry = rules_before_.geometry;
      const L2Place before = PlaceOf(
          geometry, L1Entry::Decode(old_words.data() + i * kL1EntrySize));
      const L2Place after = PlaceOf(
          geometry, L1Entry::Decode(new_words.data() + i * kL1EntrySize));
      const bool nowhere = before.kind == L2Place::Kind::kNone &&
                           after.kind == L2Place::Kind::kNone;
      if (nowhere) continue;
      visit(first + i, before, after);
    }
    first += count;
  }
}

const MappingProof::Differences& MappingProof::DifferencesOf(
    const L2Place& before, const L2Place& after) {
  const auto [found, fresh] = known_.try_emplace({before, after});
  if (fresh) {
    found->second = comparer_.Compare(before, after);
    known_differences_ += found->second.size();
    if (known_differences_ > kMaxDifferences) gave_up_ = true;
  }
  return found->second;
}

void MappingProof::Judge(const TablePair& pair, uint64_t index,
                         const Differences& differences) {
  const uint64_t window = index << rules_before_.geometry.l2_coverage_bits();
  const uint64_t disk_size = pair.before->disk_size_bytes;
  for (const TableDifference& difference : differences) {
    ByteRange range{window + difference.offset_bytes, difference.length_bytes};
    const bool vm_state = window >= disk_size;
    if (!vm_state) {
      if (range.offset >= disk_size) return;
      range.length = std::min(range.length, disk_size - range.offset);
    }
    range = named_.FirstUnnamed(pair.before->snapshot_name, range);
    // A plan that mended the snapshot's name speaks of it by the new one.
    range = named_.FirstUnnamed(pair.after->snapshot_name, range);
    if (range.length == 0) continue;
    log_.FailGuest(
        {range.offset, range.length, pair.before->snapshot_name, vm_state},
        DescribeSource(difference.before), DescribeSource(difference.after));
  }
}

void MappingProof::CompareMovedTables(const TablePair& pair) {
  for (const EntryRange& range : EntriesToCompare(pair)) {
    VisitEntries(
        pair, range,
        [&](uint64_t index, const L2Place& before, const L2Place& after) {
          if (before == after || gave_up_) return;
          Judge(pair, index, DifferencesOf(before, after));
        });
  }
}

void MappingProof::FailMissing(const L1Table& table) {
  const ByteRange all{0, table.disk_size_bytes};
  if (table.disk_size_bytes != 0 &&
      named_.FirstUnnamed(table.snapshot_name, all).length == 0) {
    return;
  }
  log_.Fail(ProofFailure::Kind::kGuestData,
            table.active ? std::string("the active L1 table would be gone")
                         : absl::StrCat("snapshot \"", table.snapshot_name,
                                        "\" would be gone"));
}

void MappingProof::AddTablesPastOldEnd(std::vector<uint64_t>& tables) {
  // An entry that named a place past the end of the file read zeros there; now
  // the file may hold something at that place.
  if (planned_.before.OccurrencesOf(checker::Problem::kL1EntryPastEnd) == 0) {
    return;
  }
  absl::flat_hash_set<uint64_t> past_end;
  for (const TablePair& pair : pairs_) {
    if (pair.after == nullptr) continue;
    VisitEntries(
        pair, {0, pair.before->entries},
        [&](uint64_t, const L2Place& before, const L2Place& after) {
          if (before == after &&
              before_.model.ReachesPastEnd(
                  before.offset_bytes, rules_before_.geometry.cluster_size()) &&
              before.offset_bytes < after_.model.file_size_bytes) {
            past_end.insert(before.offset_bytes);
          }
        });
  }
  tables.insert(tables.end(), past_end.begin(), past_end.end());
}

std::vector<uint64_t> MappingProof::KeptTablesToCompare() {
  std::vector<uint64_t> tables;
  const uint64_t size = rules_before_.geometry.cluster_size();
  auto kept = after_.l2_tables.begin();
  for (const L2Table& table : before_.l2_tables) {
    while (kept != after_.l2_tables.end() &&
           kept->offset_bytes < table.offset_bytes) {
      ++kept;
    }
    if (kept == after_.l2_tables.end()) break;
    if (kept->offset_bytes != table.offset_bytes) continue;
    if (!changed_.guest.empty() || dirty_.Touches(table.offset_bytes, size)) {
      tables.push_back(table.offset_bytes);
    }
  }
  AddTablesPastOldEnd(tables);
  return tables;
}

void MappingProof::CompareKeptTables() {
  DifferingTables differing;
  for (const uint64_t offset : KeptTablesToCompare()) {
    if (log_.Ended() || gave_up_) return;
    const L2Place place{L2Place::Kind::kTable, offset};
    Differences differences = comparer_.Compare(place, place);
    if (differences.empty()) continue;
    known_differences_ += differences.size();
    if (known_differences_ > kMaxDifferences) gave_up_ = true;
    differing.emplace(offset, std::move(differences));
  }
  JudgeTables(differing, /*found_again=*/false);
}

void MappingProof::CompareFoundTables() {
  DifferingTables differing;
  for (const uint64_t offset : changed_.found_tables) {
    if (log_.Ended() || gave_up_) return;
    const L2Place place{L2Place::Kind::kTable, offset};
    Differences differences = comparer_.Compare(place, place);
    if (!differences.empty()) differing.emplace(offset, std::move(differences));
  }
  JudgeTables(differing, /*found_again=*/true);
}

void MappingProof::JudgeTables(const DifferingTables& differing,
                               bool found_again) {
  if (differing.empty()) return;
  // Who reads through them: every entry that names one on both sides, or does
  // so again.
  for (const TablePair& pair : pairs_) {
    if (pair.after == nullptr) continue;
    VisitEntries(
        pair, {0, pair.before->entries},
        [&](uint64_t index, const L2Place& before, const L2Place& after) {
          if (before != after && !found_again) return;
          const auto found = differing.find(after.offset_bytes);
          if (found != differing.end()) {
            Judge(pair, index, found->second);
          }
        });
  }
}

void MappingProof::CountBytes() {
  uint64_t all = 0;
  for (const TablePair& pair : pairs_) {
    const uint64_t bits = rules_before_.geometry.l2_coverage_bits();
    const uint64_t size = pair.before->disk_size_bytes;
    // What further entries map is VM state. The last L2 table of the disk maps
    // more than the disk has.
    const uint64_t windows =
        (size >> bits) + ((size & ((uint64_t{1} << bits) - 1)) != 0 ? 1 : 0);
    all += size;
    if (pair.before->entries > windows) {
      all += (pair.before->entries - windows) << bits;
    }
  }
  ProofStatistics& statistics = log_.statistics;
  statistics.guest_bytes_by_mapping =
      all - std::min(all, statistics.guest_bytes_by_content);
}

void MappingProof::Run() {
  pairs_ =
      TableMatcher(before_.model.l1_tables, after_.model.l1_tables).Match();
  for (const TablePair& pair : pairs_) {
    if (log_.Ended() || gave_up_) break;
    if (pair.after == nullptr) {
      FailMissing(*pair.before);
    } else {
      CompareMovedTables(pair);
    }
  }
  if (!log_.Ended() && !gave_up_) CompareKeptTables();
  if (!log_.Ended() && !gave_up_) CompareFoundTables();
  if (gave_up_) {
    log_.Fail(ProofFailure::Kind::kIncomplete,
              "the L1 tables have too many entries to compare them all");
  }
  CountBytes();
}

}  // namespace

void ProveMapping(const File& image, const OverlayFile& view,
                  const PlannedRepair& planned, const ChangedClusters& changed,
                  ProofLog& log) {
  MappingProof(image, view, planned, changed, log).Run();
}

}  // namespace qcow2::repair
