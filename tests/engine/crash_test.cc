// Crashes and faults at every point of random sequences of requests. After a
// crash, whatever survived of what was not flushed, the checker finds leaks at
// worst, and what was flushed is there.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checker/check.h"
#include "engine/image/image.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"
#include "repair/journal/simulated_disk.h"
#include "tests/engine/disk_model.h"
#include "tests/engine/small_image_test.h"
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

class CrashTest : public SmallImageTest {
 protected:
  void ExpectSound(MemoryFile& file, const History& history, size_t operations);
  void ExpectReadsAs(MemoryFile& file, const History& history,
                     size_t operations);
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
  ExpectReadsAs(file, history, operations);
}

void CrashTest::ExpectReadsAs(MemoryFile& file, const History& history,
                              size_t operations) {
  const auto image = Open(file, /*writable=*/false);
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
    auto image = Open(disk.image());
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

TEST_P(CrashTest, ComesBackFromEveryFault) {
  AtEveryFault(created_, [&](SimulatedDisk& disk, const CallFault& fault) {
    DiskModel model(create_.virtual_size, 3);
    History history(model.bytes());
    auto image = Open(disk.image());
    ASSERT_EQ(image.status(), absl::OkStatus());
    disk.FailCalls(fault);
    absl::Status status;
    for (int step = 0; step < 40 && status.ok(); ++step) {
      status = model.Step(**image);
      history.Note(disk.operations(), model.attempted(),
                   status.ok() && model.last() == "flush");
    }
    const absl::Status closed = (*image)->Close();
    image->reset();
    SCOPED_TRACE(testing::Message() << "last request: " << model.last() << ": "
                                    << status << ", close: " << closed);
    // What failed once and is tried again is made good by the close.
    if (closed.ok()) {
      history.Note(disk.operations(), model.bytes(), true);
      history.Note(disk.operations(), model.attempted(), false);
    }
    MemoryFile file(disk.image_contents());
    if (closed.ok() && !fault.for_good) {
      ASSERT_EQ(FindingsOf(CheckFile(file)), "");
    }
    ExpectSound(file, history, disk.operations());
  });
}

INSTANTIATE_TEST_SUITE_P(Variants, CrashTest,
                         testing::ValuesIn(SmallVariants()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qcow2
