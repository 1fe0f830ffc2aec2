// Crashes and faults at every point of random sequences of requests. After a
// crash, whatever survived of what was not flushed, the checker finds leaks at
// worst, and what was flushed is there.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checker/check.h"
#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"
#include "repair/journal/simulated_disk.h"
#include "tests/engine/disk_model.h"
#include "tests/engine/soundness.h"
#include "tests/engine/variants.h"

namespace qcow2 {
namespace {

using checker::CheckReport;
using repair::CallFault;
using repair::SimulatedDisk;

using Bytes = std::vector<std::byte>;

// The contents of a disk over time: what was flushed last, and every state
// since then.
class History {
 public:
  explicit History(Bytes bytes) : states_{{0, std::move(bytes), true}} {}

  void Note(size_t operations, const Bytes& bytes, bool flushed) {
    states_.push_back({operations, bytes, flushed});
  }
  // The first byte of `read` that cannot be, had a crash come behind the first
  // `operations`; read.size() if there is none.
  size_t Wrong(const Bytes& read, size_t operations) const;

 private:
  struct State {
    size_t operations;  // of the file by then
    Bytes bytes;
    bool flushed;
  };
  std::vector<State> states_;
};

size_t History::Wrong(const Bytes& read, size_t operations) const {
  size_t flushed = 0;
  size_t last = 0;
  for (size_t i = 0; i < states_.size(); ++i) {
    if (states_[i].operations <= operations) {
      last = i;
      if (states_[i].flushed) flushed = i;
    }
  }
  // The request that was interrupted may have been done in part.
  last = std::min(last + 1, states_.size() - 1);
  for (size_t at = 0; at < read.size(); ++at) {
    bool possible = false;
    for (size_t i = flushed; i <= last && !possible; ++i) {
      possible = states_[i].bytes[at] == read[at];
    }
    if (!possible) return at;
  }
  return read.size();
}

class CrashTest : public testing::TestWithParam<EngineVariant> {
 protected:
  void SetUp() override {
    create_ = GetParam().create;
    const uint64_t cluster = uint64_t{1} << create_.cluster_bits;
    create_.virtual_size = std::min<uint64_t>(60 * cluster, 256 << 10) + 512;
    MemoryFile file;
    ASSERT_EQ(CreateImage(file, nullptr, create_), absl::OkStatus());
    created_ = Bytes(file.bytes().begin(), file.bytes().end());
  }

  absl::StatusOr<std::unique_ptr<Image>> Open(File& file, bool writable) {
    ImageOptions options;
    options.writable = writable;
    options.l2_cache_bytes = 0;
    options.refcount_cache_bytes = 0;
    MemoryFile none;
    return GetParam().Open(file, none, std::move(options));
  }

  void ExpectSound(MemoryFile& file, const History& history, size_t operations);

  CreateOptions create_;
  Bytes created_;
};

void CrashTest::ExpectSound(MemoryFile& file, const History& history,
                            size_t operations) {
  const CheckReport report = CheckFile(file);
  if (!report.Found(checker::Problem::kDirtyBit)) {
    ASSERT_EQ(TrueCorruptions(report), 0u) << FindingsOf(report);
  } else {
    // With lazy refcounts the counts are late, and a repair makes them good.
    const auto repaired = CheckRepaired(file, repair::Mode::kAll);
    ASSERT_EQ(repaired.status(), absl::OkStatus());
    ASSERT_EQ(TrueCorruptions(*repaired), 0u) << FindingsOf(*repaired);
  }
  auto image = Open(file, /*writable=*/false);
  ASSERT_EQ(image.status(), absl::OkStatus());
  Bytes read(create_.virtual_size);
  ASSERT_EQ((*image)->Read(0, read), absl::OkStatus());
  ASSERT_EQ(history.Wrong(read, operations), read.size());
}

TEST_P(CrashTest, LeavesLeaksAtWorstAndWhatWasFlushed) {
  SimulatedDisk disk(created_);
  // As disks do: else half an entry could be written.
  disk.KeepSectorsWhole();
  DiskModel model(create_.virtual_size, 7);
  History history(model.bytes());
  {
    auto image = Open(disk.image(), /*writable=*/true);
    ASSERT_EQ(image.status(), absl::OkStatus());
    for (int step = 0; step < 45; ++step) {
      ASSERT_EQ(model.Step(**image), absl::OkStatus()) << model.last();
      history.Note(disk.operations(), model.bytes(), model.last() == "flush");
    }
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
    history.Note(disk.operations(), model.bytes(), true);
  }
  AtEveryCrash(disk, 0, 4, [&](MemoryFile& file, size_t operations) {
    ExpectSound(file, history, operations);
  });
}

// Every call in turn fails, once or for good.
TEST_P(CrashTest, ComesBackFromEveryFault) {
  for (const bool for_good : {false, true}) {
    for (const CallFault::Effect effect :
         {CallFault::Effect::kNone, CallFault::Effect::kHalf,
          CallFault::Effect::kAll}) {
      for (uint64_t skip = 0;; skip += 1 + skip / 16) {
        SimulatedDisk disk(created_);
        DiskModel model(create_.virtual_size, 3);
        History history(model.bytes());
        auto image = Open(disk.image(), /*writable=*/true);
        ASSERT_EQ(image.status(), absl::OkStatus());
        disk.FailCalls({.skip = skip,
                        .for_good = for_good,
                        .error = skip % 2 == 0 ? EIO : ENOSPC,
                        .effect = effect});
        const uint64_t before = disk.calls();
        bool failed = false;
        absl::Status status;
        for (int step = 0; step < 40 && !failed; ++step) {
          status = model.Step(**image);
          failed = !status.ok();
          if (!failed) {
            history.Note(disk.operations(), model.bytes(),
                         model.last() == "flush");
          }
        }
        const absl::Status closed = (*image)->Close();
        image->reset();
        if (!failed && closed.ok() && disk.calls() - before <= skip) break;
        const CheckReport report = CheckFile(MemoryFile(disk.image_contents()));
        if (!report.Found(checker::Problem::kDirtyBit)) {
          ASSERT_EQ(TrueCorruptions(report), 0u)
              << FindingsOf(report) << "call " << skip << ", effect "
              << static_cast<int>(effect) << ", for good " << for_good
              << ", last request: " << model.last() << ": " << status
              << ", close: " << closed;
        }
        // What failed once and is tried again is made good by the close.
        if (!for_good && closed.ok()) {
          ASSERT_EQ(report.counts.corruptions + report.counts.leaks, 0u)
              << FindingsOf(report) << "call " << skip << ", effect "
              << static_cast<int>(effect) << ", last request: " << model.last()
              << ": " << status;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, CrashTest,
                         testing::ValuesIn(SmallVariants()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qcow2
