// Snapshots in random sequences with writes, on images of every variant: the
// disk and every snapshot read as they should, and the checker finds nothing.
// And a crash at every point of such a sequence.
#include "engine/image/snapshots.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/check.h"
#include "engine/image/image.h"
#include "engine/image/snapshot_disk.h"
#include "engine/status_macros.h"
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

absl::Status Differs(const std::string& what) {
  return absl::DataLossError(absl::StrCat(what, " reads otherwise"));
}

// A disk with snapshots, in memory.
class SnapshotModel {
 public:
  SnapshotModel(uint64_t size_bytes, uint64_t seed) : disk_(size_bytes, seed) {}

  DiskModel& disk() { return disk_; }
  const std::map<std::string, Bytes>& snapshots() const { return snapshots_; }
  const std::string& last() const { return last_; }
  // The snapshots once the last request about them is done.
  const std::map<std::string, Bytes>& attempted() const { return attempted_; }
  // What the disk has once the last snapshot is applied.
  const Bytes& applied() const { return applied_; }

  absl::Status Create(Image& image) {
    NewSnapshot snapshot;
    snapshot.name = absl::StrCat("s", ++created_);
    last_ = "create " + snapshot.name;
    attempted_ = snapshots_;
    attempted_[snapshot.name] = disk_.bytes();
    RETURN_IF_ERROR(CreateSnapshot(image.core(), snapshot).status());
    snapshots_ = attempted_;
    return absl::OkStatus();
  }
  absl::Status Apply(Image& image) {
    const auto any = Any();
    last_ = "apply " + any->first;
    attempted_ = snapshots_;
    applied_ = any->second;
    RETURN_IF_ERROR(ApplySnapshot(image.core(), any->first));
    disk_.bytes() = any->second;
    return absl::OkStatus();
  }
  absl::Status Delete(Image& image) {
    const auto any = Any();
    last_ = "delete " + any->first;
    attempted_ = snapshots_;
    attempted_.erase(any->first);
    RETURN_IF_ERROR(DeleteSnapshot(image.core(), any->first));
    snapshots_.erase(any);
    return absl::OkStatus();
  }
  // One random request, about snapshots or not.
  absl::Status Step(Image& image) {
    switch (disk_.random()() % 12) {
      case 0:
        return snapshots_.size() < 4 ? Create(image) : Delete(image);
      case 1:
        return snapshots_.empty() ? Create(image) : Apply(image);
      case 2:
        return snapshots_.empty() ? absl::OkStatus() : Delete(image);
      default:
        break;
    }
    absl::Status status = disk_.Step(image);
    last_ = disk_.last();
    return status;
  }
  absl::Status Compare(Image& image) const {
    RETURN_IF_ERROR(disk_.Compare(image));
    return CompareSnapshots(image);
  }
  absl::Status CompareSnapshots(Image& image) const {
    if (ListSnapshots(image.core()).size() != snapshots_.size()) {
      return absl::DataLossError("another number of snapshots");
    }
    for (const auto& [name, bytes] : snapshots_) {
      ASSIGN_OR_RETURN(const auto disk, SnapshotDisk::Open(image.core(), name));
      Bytes read(disk->size_bytes());
      RETURN_IF_ERROR(disk->Read(0, read));
      if (read != bytes) return Differs(disk->name());
    }
    return absl::OkStatus();
  }

 private:
  std::map<std::string, Bytes>::iterator Any() {
    auto any = snapshots_.begin();
    std::advance(any, disk_.random()() % snapshots_.size());
    return any;
  }

  DiskModel disk_;
  std::map<std::string, Bytes> snapshots_;
  std::map<std::string, Bytes> attempted_;
  Bytes applied_;
  int created_ = 0;
  std::string last_;
};

// Every kind of request about snapshots, with writes in between. Ends with the
// first error.
absl::Status UseSnapshots(Image& image, SnapshotModel& model) {
  const auto write = [&]() -> absl::Status {
    for (int i = 0; i < 3; ++i) RETURN_IF_ERROR(model.disk().Step(image));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(write());
  RETURN_IF_ERROR(model.Create(image));
  RETURN_IF_ERROR(write());
  RETURN_IF_ERROR(model.Create(image));
  RETURN_IF_ERROR(write());
  RETURN_IF_ERROR(model.Apply(image));
  RETURN_IF_ERROR(write());
  return model.Delete(image);
}

class SnapshotsTest : public SmallImageTest {
 protected:
  // Leaks at worst, which a repair frees; with lazy refcounts also counts that
  // are late.
  void ExpectRepairable(const File& file) {
    const CheckReport report = CheckFile(file);
    const bool dirty = report.Found(checker::Problem::kDirtyBit);
    if (!dirty) {
      ASSERT_EQ(TrueCorruptions(report), 0u) << FindingsOf(report);
    }
    for (const repair::Mode mode : {repair::Mode::kLeaks, repair::Mode::kAll}) {
      if (mode == repair::Mode::kLeaks && dirty) continue;
      const auto repaired = CheckRepaired(file, mode);
      ASSERT_EQ(repaired.status(), absl::OkStatus());
      ASSERT_EQ(FindingsOf(*repaired), "");
    }
  }

  void ReadSnapshots(File& file, std::map<std::string, Bytes>& snapshots) {
    const auto image = Open(file, /*writable=*/false);
    ASSERT_EQ(image.status(), absl::OkStatus());
    for (const SnapshotEntry& entry : ListSnapshots((*image)->core())) {
      const auto disk = SnapshotDisk::Open((*image)->core(), entry.id);
      ASSERT_EQ(disk.status(), absl::OkStatus());
      Bytes& read = snapshots[entry.name];
      read.resize((*disk)->size_bytes());
      ASSERT_EQ((*disk)->Read(0, read), absl::OkStatus());
    }
  }
};

TEST_P(SnapshotsTest, ReadAsWhatTheyWereTakenOf) {
  MemoryFile file(created_);
  SnapshotModel model(create_.virtual_size, 5);
  for (int stretch = 0; stretch < 6; ++stretch) {
    auto image = Open(file);
    ASSERT_EQ(image.status(), absl::OkStatus());
    ASSERT_EQ(model.Compare(**image), absl::OkStatus());
    for (int step = 0; step < 40; ++step) {
      const absl::Status status = model.Step(**image);
      // With few bits a cluster cannot be counted often.
      if (create_.refcount_bits <= 2 && absl::IsOutOfRange(status)) continue;
      ASSERT_EQ(status, absl::OkStatus())
          << "stretch " << stretch << ", step " << step << ": " << model.last();
    }
    ASSERT_EQ(model.Compare(**image), absl::OkStatus());
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
    ASSERT_EQ(FindingsOf(CheckFile(file)), "") << "stretch " << stretch;
  }
}

// Flushed before each request about snapshots, the disk and all snapshots are
// afterwards what they were before it or what they are after it.
TEST_P(SnapshotsTest, SurviveACrashAtAnyPoint) {
  // Compressed clusters side by side are counted often enough already.
  if (create_.refcount_bits <= 2) return;
  SimulatedDisk disk(created_);
  disk.KeepSectorsWhole();
  SnapshotModel model(create_.virtual_size, 6);
  struct State {
    size_t operations;
    Bytes disk;
    std::map<std::string, Bytes> snapshots;
  };
  std::vector<State> states;
  {
    auto image = Open(disk.image());
    ASSERT_EQ(image.status(), absl::OkStatus());
    const auto note = [&] {
      ASSERT_EQ((*image)->Flush(), absl::OkStatus());
      states.push_back(
          {disk.operations(), model.disk().bytes(), model.snapshots()});
    };
    const auto write = [&] {
      for (int i = 0; i < 6; ++i) {
        ASSERT_EQ(model.disk().Step(**image), absl::OkStatus());
      }
      note();
    };
    write();
    ASSERT_EQ(model.Create(**image), absl::OkStatus());
    write();
    note();
    ASSERT_EQ(model.Create(**image), absl::OkStatus());
    write();
    note();
    ASSERT_EQ(model.Apply(**image), absl::OkStatus());
    note();
    ASSERT_EQ(model.Delete(**image), absl::OkStatus());
    note();
    write();
    ASSERT_EQ(model.Delete(**image), absl::OkStatus());
    note();
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
  }
  AtEveryCrash(
      disk, states.front().operations, 4,
      [&](MemoryFile& file, size_t operations) {
        ExpectRepairable(file);
        std::map<std::string, Bytes> snapshots;
        ASSERT_NO_FATAL_FAILURE(ReadSnapshots(file, snapshots));
        const auto after = std::find_if(
            states.begin(), states.end(),
            [&](const State& state) { return state.operations > operations; });
        const State& before = *std::prev(after);
        ASSERT_TRUE(snapshots == before.snapshots ||
                    (after != states.end() && snapshots == after->snapshots));
      });
}

// A snapshot is there as soon as it was said to be made, and the disk is lost
// to no fault that passes.
TEST_P(SnapshotsTest, ComeBackFromEveryFault) {
  if (create_.refcount_bits <= 2) return;
  AtEveryFault(created_, [&](SimulatedDisk& disk, const CallFault& fault) {
    SnapshotModel model(create_.virtual_size, 7);
    auto image = Open(disk.image());
    ASSERT_EQ(image.status(), absl::OkStatus());
    disk.FailCalls(fault);
    const absl::Status status = UseSnapshots(**image, model);
    const absl::Status closed = (*image)->Close();
    image->reset();
    SCOPED_TRACE(testing::Message() << "last request: " << model.last() << ": "
                                    << status << ", close: " << closed);
    MemoryFile file(disk.image_contents());
    const CheckReport report = CheckFile(file);
    if (!report.Found(checker::Problem::kDirtyBit)) {
      ASSERT_EQ(TrueCorruptions(report), 0u) << FindingsOf(report);
    }
    std::map<std::string, Bytes> snapshots;
    ASSERT_NO_FATAL_FAILURE(ReadSnapshots(file, snapshots));
    ASSERT_TRUE(snapshots == model.snapshots() ||
                snapshots == model.attempted());
    if (!closed.ok()) return;
    const auto again = Open(file, /*writable=*/false);
    ASSERT_EQ(again.status(), absl::OkStatus());
    Bytes read(create_.virtual_size);
    ASSERT_EQ((*again)->Read(0, read), absl::OkStatus());
    if (read == model.applied()) return;
    for (size_t i = 0; i < read.size(); ++i) {
      ASSERT_TRUE(read[i] == model.disk().bytes()[i] ||
                  read[i] == model.disk().attempted()[i])
          << "byte " << i;
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Variants, SnapshotsTest,
                         testing::ValuesIn(SmallVariants()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qcow2
