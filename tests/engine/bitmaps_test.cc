// Dirty bitmaps while an image is written, with a crash behind every operation
// and a fault in every call: the checker finds leaks at worst, and a bitmap
// that claims to be up to date has missed nothing.
#include "engine/image/bitmaps.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/check.h"
#include "engine/format/header_extension.h"
#include "engine/image/bitmap_store.h"
#include "engine/image/image.h"
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
// By number of the bit.
using Bits = std::vector<bool>;

constexpr uint64_t kGranularity = 4096;

void MarkDifferences(const Bytes& before, const Bytes& after, Bits& bits) {
  bits.resize(after.size() / kGranularity + 1);
  for (size_t at = 0; at < std::min(before.size(), after.size()); ++at) {
    if (before[at] != after[at]) bits[at / kGranularity] = true;
  }
}

bool Covers(const Bits& bits, const Bits& needed) {
  for (size_t i = 0; i < needed.size(); ++i) {
    if (needed[i] && (i >= bits.size() || !bits[i])) return false;
  }
  return true;
}

struct ReadBitmap {
  bool records = false;
  Bits bits;

  friend bool operator==(const ReadBitmap&, const ReadBitmap&) = default;
};

// The bitmaps of an image that say they are up to date.
absl::StatusOr<std::map<std::string, ReadBitmap>> ReadBitmaps(Image& image) {
  std::map<std::string, ReadBitmap> bitmaps;
  const uint64_t most = image.size_bytes() / kGranularity + 1;
  MutexLock held(&image.core().mutex);
  Metadata& metadata = *image.core().metadata;
  ASSIGN_OR_RETURN(const BitmapDirectory directory,
                   LoadBitmapDirectory(metadata));
  if (!directory.intact) return absl::DataLossError("a damaged directory");
  for (const LocatedBitmap& located : directory.bitmaps) {
    if (located.entry.in_use()) continue;
    ReadBitmap& bitmap = bitmaps[located.entry.name];
    bitmap.records = (located.entry.flags & kBitmapAuto) != 0;
    ASSIGN_OR_RETURN(const auto table,
                     ReadBitmapTable(metadata, located.entry));
    if (!table.has_value()) return absl::DataLossError("a damaged table");
    Bytes cluster(metadata.geometry().cluster_size());
    for (const uint64_t raw : *table) {
      RETURN_IF_ERROR(ReadBits(metadata, BitmapTableEntry(raw), cluster));
      for (size_t i = 0; i < 8 * cluster.size() && bitmap.bits.size() < most;
           ++i) {
        bitmap.bits.push_back((cluster[i / 8] >> i % 8 & std::byte{1}) !=
                              std::byte{0});
      }
    }
  }
  return bitmaps;
}

// Random requests, and what the bitmaps must say after them.
class BitmapModel {
 public:
  struct Bitmap {
    bool records = false;
    Bits needed;
  };

  BitmapModel(uint64_t size, uint64_t seed) : disk_(size, seed) {}

  absl::Status Write(Image& image) {
    const Bytes before = disk_.bytes();
    RETURN_IF_ERROR(disk_.Step(image));
    for (auto& [name, bitmap] : bitmaps_) {
      if (!bitmap.records) continue;
      MarkDifferences(before, disk_.bytes(), bitmap.needed);
    }
    return absl::OkStatus();
  }
  absl::Status Add(Image& image, const std::string& name, bool records) {
    RETURN_IF_ERROR(AddBitmap(
        image.core(),
        {.name = name, .granularity_bytes = kGranularity, .records = records}));
    bitmaps_[name] = {records, {}};
    return absl::OkStatus();
  }
  absl::Status Remove(Image& image, const std::string& name) {
    RETURN_IF_ERROR(RemoveBitmap(image.core(), name));
    bitmaps_.erase(name);
    return absl::OkStatus();
  }
  absl::Status Clear(Image& image, const std::string& name) {
    RETURN_IF_ERROR(ClearBitmap(image.core(), name));
    bitmaps_[name].needed = {};
    return absl::OkStatus();
  }
  absl::Status SetRecords(Image& image, const std::string& name, bool on) {
    RETURN_IF_ERROR(on ? EnableBitmap(image.core(), name)
                       : DisableBitmap(image.core(), name));
    bitmaps_[name].records = on;
    return absl::OkStatus();
  }
  absl::Status Merge(Image& image, const std::string& source,
                     const std::string& target) {
    RETURN_IF_ERROR(MergeBitmap(image.core(), source, image.core(), target));
    Bits& needed = bitmaps_[target].needed;
    const Bits& more = bitmaps_[source].needed;
    needed.resize(std::max(needed.size(), more.size()));
    for (size_t i = 0; i < more.size(); ++i) needed[i] = needed[i] || more[i];
    return absl::OkStatus();
  }

  DiskModel& disk() { return disk_; }
  const std::map<std::string, Bitmap>& bitmaps() const { return bitmaps_; }

 private:
  DiskModel disk_;
  std::map<std::string, Bitmap> bitmaps_;
};

// Whether `bitmap` is `expected` and misses no difference between the bytes the
// disk had then and has now.
bool Fits(const ReadBitmap& bitmap, const BitmapModel::Bitmap& expected,
          const Bytes& then, const Bytes& now) {
  Bits needed = expected.needed;
  if (bitmap.records) MarkDifferences(then, now, needed);
  return expected.records == bitmap.records && Covers(bitmap.bits, needed);
}

// With lazy refcounts the counts may be late.
void ExpectLeaksAtWorst(const CheckReport& report) {
  if (report.Found(checker::Problem::kDirtyBit)) return;
  ASSERT_EQ(TrueCorruptions(report), 0u) << FindingsOf(report);
}

// All there is to do with bitmaps, with writes in between. Calls `done` after
// each request. Ends with the first error.
template <typename Done>
absl::Status DoAll(Image& image, BitmapModel& model, const Done& done) {
  const auto write = [&](int requests) -> absl::Status {
    for (int i = 0; i < requests; ++i) {
      RETURN_IF_ERROR(model.Write(image));
      done();
    }
    return absl::OkStatus();
  };
  const auto then_write = [&](const absl::Status& status) -> absl::Status {
    RETURN_IF_ERROR(status);
    done();
    return write(3);
  };
  RETURN_IF_ERROR(write(4));
  RETURN_IF_ERROR(then_write(model.Add(image, "all", true)));
  RETURN_IF_ERROR(then_write(model.Add(image, "first", true)));
  RETURN_IF_ERROR(then_write(model.Add(image, "still", false)));
  RETURN_IF_ERROR(then_write(model.Merge(image, "first", "still")));
  RETURN_IF_ERROR(then_write(model.SetRecords(image, "first", false)));
  RETURN_IF_ERROR(then_write(model.Clear(image, "still")));
  RETURN_IF_ERROR(then_write(model.SetRecords(image, "still", true)));
  RETURN_IF_ERROR(then_write(model.Merge(image, "all", "first")));
  return then_write(model.Remove(image, "first"));
}

class BitmapsTest : public SmallImageTest {
 protected:
  // The disk's bytes and its bitmaps.
  void ReadAll(MemoryFile& file, Bytes& read,
               std::map<std::string, ReadBitmap>& bitmaps) {
    const auto image = Open(file, /*writable=*/false);
    ASSERT_EQ(image.status(), absl::OkStatus());
    read.resize((*image)->size_bytes());
    ASSERT_EQ((*image)->Read(0, read), absl::OkStatus());
    auto all = ReadBitmaps(**image);
    ASSERT_EQ(all.status(), absl::OkStatus());
    bitmaps = *std::move(all);
  }
};

TEST_P(BitmapsTest, KnowWhatWasWritten) {
  MemoryFile file(created_);
  BitmapModel model(create_.virtual_size, 4);
  auto image = Open(file);
  ASSERT_EQ(image.status(), absl::OkStatus());
  ASSERT_EQ(DoAll(**image, model, [] {}), absl::OkStatus());
  const auto list = ListBitmaps((*image)->core());
  ASSERT_EQ(list.status(), absl::OkStatus());
  ASSERT_EQ((*image)->Close(), absl::OkStatus());
  ASSERT_EQ(FindingsOf(CheckFile(file)), "");

  image = Open(file);
  ASSERT_EQ(image.status(), absl::OkStatus());
  // What was recorded and not yet stored was in the list already.
  EXPECT_EQ(*ListBitmaps((*image)->core()), *list);
  auto bitmaps = ReadBitmaps(**image);
  ASSERT_EQ(bitmaps.status(), absl::OkStatus());
  ASSERT_EQ(bitmaps->size(), model.bitmaps().size());
  for (const auto& [name, bitmap] : model.bitmaps()) {
    EXPECT_EQ((*bitmaps)[name].records, bitmap.records) << name;
    EXPECT_TRUE(Covers((*bitmaps)[name].bits, bitmap.needed)) << name;
  }
  for (const auto& [name, bitmap] : model.bitmaps()) {
    ASSERT_EQ(RemoveBitmap((*image)->core(), name), absl::OkStatus());
  }
  EXPECT_EQ((*image)->header_area().Find(kExtensionBitmaps), nullptr);
  ASSERT_EQ((*image)->Close(), absl::OkStatus());
  ASSERT_EQ(FindingsOf(CheckFile(file)), "");
}

TEST_P(BitmapsTest, MissNothingInACrash) {
  struct State {
    size_t operations;
    Bytes disk;
    std::map<std::string, BitmapModel::Bitmap> bitmaps;
  };
  SimulatedDisk disk(created_);
  disk.KeepSectorsWhole();
  BitmapModel model(create_.virtual_size, 4);
  std::vector<State> states;
  {
    auto image = Open(disk.image());
    ASSERT_EQ(image.status(), absl::OkStatus());
    const auto note = [&] {
      states.push_back(
          {disk.operations(), model.disk().bytes(), model.bitmaps()});
    };
    note();
    ASSERT_EQ(DoAll(**image, model, note), absl::OkStatus());
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
    note();
  }
  size_t up_to_date = 0;
  AtEveryCrash(disk, 0, 4, [&](MemoryFile& file, size_t operations) {
    ExpectLeaksAtWorst(CheckFile(file));
    Bytes read;
    std::map<std::string, ReadBitmap> bitmaps;
    ASSERT_NO_FATAL_FAILURE(ReadAll(file, read, bitmaps));
    const auto after = std::find_if(
        states.begin(), states.end(),
        [&](const State& state) { return state.operations > operations; });
    const State& before = *std::prev(after);
    for (const auto& [name, bitmap] : bitmaps) {
      // As it was before the request that was interrupted, or after it.
      const auto fits = [&, &name = name, &bitmap = bitmap](const State& s) {
        const auto found = s.bitmaps.find(name);
        return found != s.bitmaps.end() &&
               Fits(bitmap, found->second, s.disk, read);
      };
      ASSERT_TRUE(fits(before) || (after != states.end() && fits(*after)))
          << "bitmap " << name;
      if (bitmap.records) ++up_to_date;
    }
    if (operations == disk.operations()) {
      ASSERT_EQ(bitmaps.size(), states.back().bitmaps.size());
    }
  });
  EXPECT_GT(up_to_date, 50u);
}

TEST_P(BitmapsTest, MissNothingAfterAFault) {
  AtEveryFault(created_, [&](SimulatedDisk& disk, const CallFault& fault) {
    BitmapModel model(create_.virtual_size, 6);
    auto image = Open(disk.image());
    ASSERT_EQ(image.status(), absl::OkStatus());
    ASSERT_EQ(model.Add(**image, "all", true), absl::OkStatus());
    disk.FailCalls(fault);
    absl::Status status = model.Write(**image);
    if (status.ok()) status = model.Remove(**image, "all");
    if (status.ok()) status = DoAll(**image, model, [] {});
    const absl::Status closed = (*image)->Close();
    image->reset();
    SCOPED_TRACE(testing::Message() << status << ", close: " << closed);
    MemoryFile file(disk.image_contents());
    const CheckReport report = CheckFile(file);
    ExpectLeaksAtWorst(report);
    if (!fault.for_good && closed.ok()) {
      ASSERT_EQ(report.counts.corruptions + report.counts.leaks, 0u)
          << FindingsOf(report);
    }
    Bytes read;
    std::map<std::string, ReadBitmap> bitmaps;
    ASSERT_NO_FATAL_FAILURE(ReadAll(file, read, bitmaps));
    // "all" is there from before the first write, or was made anew.
    const auto all = bitmaps.find("all");
    const auto needed = model.bitmaps().find("all");
    if (all == bitmaps.end() || needed == model.bitmaps().end()) return;
    EXPECT_TRUE(Fits(all->second, needed->second, model.disk().bytes(), read));
  });
}

std::vector<EngineVariant> Variants() {
  std::vector<EngineVariant> some = SmallVariants();
  std::erase_if(some, [](const EngineVariant& variant) {
    return variant.create.version < 3;
  });
  return some;
}

INSTANTIATE_TEST_SUITE_P(Variants, BitmapsTest, testing::ValuesIn(Variants()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qcow2
