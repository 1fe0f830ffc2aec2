// A walk with many threads comes out as one with a single one.
#include "checker/table_walk.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "checker/reference_map.h"
#include "engine/format/byte_order.h"
#include "engine/storage/faulty_file.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/slow_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

using testing::Each;
using testing::Gt;
using testing::Le;
using testing::SizeIs;

constexpr uint64_t kTableBytes = 512;
constexpr uint64_t kTables = 3000;

// Tables of words from 0 on, one behind the other with gaps here and there.
struct Tables {
  std::vector<uint64_t> offsets;
  MemoryFile file;
};

std::unique_ptr<Tables> MakeTables() {
  auto tables = std::make_unique<Tables>();
  std::mt19937_64 random(1);
  uint64_t offset = 0;
  std::vector<std::byte> bytes(kTableBytes);
  for (uint64_t i = 0; i < kTables; ++i) {
    for (uint64_t word = 0; word < kTableBytes / 8; ++word) {
      StoreBe64(&bytes[word * 8], i * kTableBytes / 8 + word);
    }
    tables->offsets.push_back(offset);
    EXPECT_TRUE(tables->file.Pwrite(offset, bytes).ok());
    offset += kTableBytes;
    if (random() % 10 == 0) offset += random() % 100 * kTableBytes;
  }
  return tables;
}

// What the threads of a walk saw together.
struct Seen {
  std::vector<std::atomic<int>> visits = std::vector<std::atomic<int>>(kTables);
  std::atomic<int> wrong_bytes{0};
  std::atomic<uint64_t> unreadable_bytes{0};
};

// Adds the words of each table to a map, and reports every seventh table.
class Visitor : public TableVisitor {
 public:
  Visitor(Seen& seen, ReferenceMap& map) : seen_(seen), writer_(map) {}

  void VisitTable(uint64_t index, std::span<const std::byte> bytes,
                  const std::vector<UnreadableRange>& unreadable,
                  FindingSink& sink) override {
    ++seen_.visits[index];
    for (const UnreadableRange& range : unreadable) {
      seen_.unreadable_bytes += range.length_bytes;
    }
    const uint64_t first = index * kTableBytes / 8;
    if (LoadBe64(bytes.data()) != first && unreadable.empty()) {
      ++seen_.wrong_bytes;
    }
    writer_.Add(first, kTableBytes / 8, 1, 0);
    writer_.Add(index * index, 1, 1, kReferenceCopied);
    if (index % 7 != 0) return;
    Finding finding;
    finding.problem = Problem::kL2EntryReserved;
    finding.location.structure = Structure::kActiveL2;
    finding.location.table_offset = index;
    finding.location.index = 0;
    sink.Add(std::move(finding));
  }
  void VisitHole(uint64_t index, FindingSink& /*sink*/) override {
    ++seen_.visits[index];
  }
  void EndBatch() override { writer_.Release(); }

 private:
  Seen& seen_;
  ReferenceMap::Writer writer_;
};

TableWalk WalkOver(const Tables& tables, Seen& seen, ReferenceMap& map) {
  TableWalk walk;
  walk.tables = kTables;
  walk.table_bytes = kTableBytes;
  walk.offset_of = [&](uint64_t index) { return tables.offsets[index]; };
  walk.make_visitor = [&] { return std::make_unique<Visitor>(seen, map); };
  return walk;
}

// A slow disk that keeps in mind what it was asked for ahead.
class AskedFile : public SlowFile {
 public:
  using SlowFile::SlowFile;
  void Advise(Access access, ByteRange range) const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    asked_[access].push_back(range);
  }
  // What was asked for with `access`, by offset.
  std::vector<ByteRange> Asked(Access access) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<ByteRange> ranges = asked_[access];
    std::sort(ranges.begin(), ranges.end(),
              [](const ByteRange& a, const ByteRange& b) {
                return a.offset < b.offset;
              });
    return ranges;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::map<Access, std::vector<ByteRange>> asked_;
};

// Walks over the tables in `file` with `jobs` threads, after as many reads of
// something else.
void WalkAfterReads(int reads, const File& file, const Tables& tables,
                    unsigned jobs) {
  CheckOptions options;
  options.jobs = jobs;
  CheckState state(file, options);
  std::vector<std::byte> header(512);
  for (int i = 0; i < reads; ++i) state.reader.Read(0, header);
  Seen seen;
  ReferenceMap map(0, kTables * kTables, 0);
  WalkTables(state, WalkOver(tables, seen, map));
}

class TableWalkTest : public testing::TestWithParam<unsigned> {};

TEST_P(TableWalkTest, VisitsEachTableOnceAndReportsInOrder) {
  const std::unique_ptr<Tables> tables = MakeTables();
  CheckOptions options;
  options.jobs = GetParam();
  CheckState state(tables->file, options);
  Seen seen;
  ReferenceMap map(0, kTables * kTables, 0);
  WalkTables(state, WalkOver(*tables, seen, map));

  std::vector<int> visits(seen.visits.begin(), seen.visits.end());
  EXPECT_THAT(visits, Each(1));
  EXPECT_EQ(seen.wrong_bytes, 0);
  std::vector<uint64_t> found;
  for (const Finding& finding : state.sink.TakeFindings()) {
    found.push_back(*finding.location.table_offset);
  }
  EXPECT_EQ(found.size(), (kTables + 6) / 7);
  EXPECT_TRUE(std::is_sorted(found.begin(), found.end()));
  uint64_t references = 0;
  map.ForEachRun(0, map.end_cluster(),
                 [&](uint64_t, uint64_t clusters, const ReferenceCell& cell) {
                   references += clusters * cell.count;
                 });
  EXPECT_EQ(references, kTables * (kTableBytes / 8 + 1));
}

// With many threads, the table a late one begins with may be there already.
TEST_P(TableWalkTest, ASlowDiskIsAskedAheadForNoTableTwice) {
  const std::unique_ptr<Tables> tables = MakeTables();
  AskedFile slow(tables->file);
  WalkAfterReads(1, slow, *tables, GetParam());

  // Those behind a long gap, and those a system reading in order comes upon.
  std::vector<ByteRange> asked = slow.Asked(Access::kWillNeed);
  const std::vector<ByteRange> following = slow.Asked(Access::kWillFollow);
  EXPECT_THAT(asked, SizeIs(Gt(100u)));
  EXPECT_THAT(following, SizeIs(Gt(10u)));
  uint64_t gaps = 1;
  for (uint64_t i = 1; i < kTables; ++i) {
    gaps += tables->offsets[i] - tables->offsets[i - 1] >
            kTableBytes + (uint64_t{16} << 10);
  }
  EXPECT_THAT(asked, SizeIs(Le(gaps)));
  if (GetParam() == 1) {
    EXPECT_THAT(asked, SizeIs(gaps));
  }
  asked.insert(asked.end(), following.begin(), following.end());
  for (const uint64_t offset : tables->offsets) {
    EXPECT_LE(std::count_if(asked.begin(), asked.end(),
                            [&](const ByteRange& range) {
                              return range.offset <= offset &&
                                     offset < range.offset + range.length;
                            }),
              1)
        << offset;
  }
}

// Tables without any gap, in batches of 256.
TEST_P(TableWalkTest, ASlowDiskIsAskedForARowInOneGo) {
  Tables tables;
  for (uint64_t i = 0; i < kTables; ++i) {
    tables.offsets.push_back(i * kTableBytes);
  }
  ASSERT_TRUE(tables.file.Truncate(kTables * kTableBytes).ok());
  AskedFile slow(tables.file);
  WalkAfterReads(3, slow, tables, GetParam());

  constexpr uint64_t kBatchBytes = 256 * kTableBytes;
  std::vector<ByteRange> batches;
  for (uint64_t begin = 0; begin < kTables * kTableBytes;
       begin += kBatchBytes) {
    batches.push_back(
        {begin, std::min(kBatchBytes, kTables * kTableBytes - begin)});
  }
  EXPECT_EQ(slow.Asked(Access::kRowWillNeed), batches);
}

TEST_P(TableWalkTest, ShortRowsAreNotAskedForTwice) {
  const std::unique_ptr<Tables> tables = MakeTables();
  AskedFile slow(tables->file);
  WalkAfterReads(3, slow, *tables, GetParam());
  const std::vector<ByteRange> rows = slow.Asked(Access::kRowWillNeed);
  EXPECT_THAT(rows,
              Each(testing::Field(&ByteRange::length, Gt(uint64_t{64} << 10))));
  EXPECT_LT(rows.size(), slow.Asked(Access::kWillNeed).size());
}

TEST_P(TableWalkTest, BadSectorsAreToldToThoseTheyConcern) {
  const std::unique_ptr<Tables> tables = MakeTables();
  FaultyFile faulty(tables->file);
  faulty.FailReadsIn({tables->offsets[10], kTableBytes});
  faulty.FailReadsIn({tables->offsets[2000], kTableBytes});
  CheckOptions options;
  options.jobs = GetParam();
  CheckState state(faulty, options);
  Seen seen;
  ReferenceMap map(0, kTables * kTables, 0);
  WalkTables(state, WalkOver(*tables, seen, map));
  std::vector<int> visits(seen.visits.begin(), seen.visits.end());
  EXPECT_THAT(visits, Each(1));
  EXPECT_EQ(seen.wrong_bytes, 0);
  EXPECT_EQ(seen.unreadable_bytes, 2 * kTableBytes);
}

TEST_P(TableWalkTest, ACancelledWalkEnds) {
  const std::unique_ptr<Tables> tables = MakeTables();
  const std::atomic<bool> cancel(true);
  CheckOptions options;
  options.jobs = GetParam();
  options.cancel = &cancel;
  CheckState state(tables->file, options);
  Seen seen;
  ReferenceMap map(0, kTables * kTables, 0);
  WalkTables(state, WalkOver(*tables, seen, map));
  std::vector<int> visits(seen.visits.begin(), seen.visits.end());
  EXPECT_THAT(visits, Each(0));
  EXPECT_TRUE(state.sink.empty());
}

INSTANTIATE_TEST_SUITE_P(Threads, TableWalkTest, testing::Values(1, 2, 8));

}  // namespace
}  // namespace qcow2::checker
