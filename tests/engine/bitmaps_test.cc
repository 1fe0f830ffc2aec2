// Dirty bitmaps while an image is written, with a crash behind every operation
// and a fault in every call: the checker finds leaks at worst, and a bitmap
// that claims to be up to date has missed nothing.
#include "engine/image/bitmaps.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/check.h"
#include "engine/format/header_extension.h"
#include "engine/image/bitmap_store.h"
#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/status_macros.h"
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
using repair::Survival;

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
      for (const std::byte byte : cluster) {
        for (int bit = 0; bit < 8; ++bit) {
          bitmap.bits.push_back((byte >> bit & std::byte{1}) != std::byte{0});
        }
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

class BitmapsTest : public testing::TestWithParam<EngineVariant> {
 protected:
  void SetUp() override {
    create_ = GetParam().create;
    const uint64_t cluster = uint64_t{1} << create_.cluster_bits;
    create_.virtual_size = std::min<uint64_t>(60 * cluster, 256 << 10) + 512;
    MemoryFile file;
    ASSERT_EQ(CreateImage(file, nullptr, create_), absl::OkStatus());
    created_ = Bytes(file.bytes().begin(), file.bytes().end());
  }

  absl::StatusOr<std::unique_ptr<Image>> Open(File& file,
                                              bool writable = true) {
    ImageOptions options;
    options.writable = writable;
    options.l2_cache_bytes = 0;
    options.refcount_cache_bytes = 0;
    options.overlap_check = kOverlapAll;
    MemoryFile none;
    return GetParam().Open(file, none, std::move(options));
  }

  CreateOptions create_;
  Bytes created_;
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
  BitmapModel model(create_.virtual_size, 5);
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
  std::mt19937_64 random(11);
  size_t state = 0;
  size_t up_to_date = 0;
  for (size_t operations = 0; operations <= disk.operations(); ++operations) {
    while (state + 1 < states.size() &&
           states[state + 1].operations <= operations) {
      ++state;
    }
    for (const Survival survival : {Survival::kNothing, Survival::kEverything,
                                    Survival::kRandom, Survival::kRandom}) {
      const auto crashed = disk.AfterCrash(operations, survival, random);
      MemoryFile file(crashed->image_contents());
      const CheckReport report = CheckFile(file);
      const std::string where =
          absl::StrCat("after ", operations, " of ", disk.operations(),
                       " operations, survival ", static_cast<int>(survival));
      if (!report.Found(checker::Problem::kDirtyBit)) {
        ASSERT_EQ(TrueCorruptions(report), 0u) << where << FindingsOf(report);
      }
      auto image = Open(file, /*writable=*/false);
      ASSERT_EQ(image.status(), absl::OkStatus()) << where;
      Bytes read(create_.virtual_size);
      ASSERT_EQ((*image)->Read(0, read), absl::OkStatus());
      auto bitmaps = ReadBitmaps(**image);
      ASSERT_EQ(bitmaps.status(), absl::OkStatus()) << where;
      for (const auto& [name, bitmap] : *bitmaps) {
        // As it was before the request that was interrupted, or after it.
        const auto fits = [&, &name = name, &bitmap = bitmap](const State& s) {
          const auto found = s.bitmaps.find(name);
          if (found == s.bitmaps.end()) return false;
          Bits needed = found->second.needed;
          if (bitmap.records) MarkDifferences(s.disk, read, needed);
          return found->second.records == bitmap.records &&
                 Covers(bitmap.bits, needed);
        };
        ASSERT_TRUE(fits(states[state]) ||
                    fits(states[std::min(state + 1, states.size() - 1)]))
            << where << ", bitmap " << name;
        if (bitmap.records) ++up_to_date;
      }
      if (operations == disk.operations()) {
        ASSERT_EQ(bitmaps->size(), states.back().bitmaps.size());
      }
    }
  }
  EXPECT_GT(up_to_date, 50u);
}

// Every call in turn fails, once or for good.
TEST_P(BitmapsTest, MissNothingAfterAFault) {
  for (const bool for_good : {false, true}) {
    for (const CallFault::Effect effect :
         {CallFault::Effect::kNone, CallFault::Effect::kHalf,
          CallFault::Effect::kAll}) {
      for (uint64_t skip = 0;; skip += 1 + skip / 16) {
        SimulatedDisk disk(created_);
        BitmapModel model(create_.virtual_size, 6);
        auto image = Open(disk.image());
        ASSERT_EQ(image.status(), absl::OkStatus());
        ASSERT_EQ(model.Add(**image, "all", true), absl::OkStatus());
        disk.FailCalls({.skip = skip,
                        .for_good = for_good,
                        .error = skip % 2 == 0 ? EIO : ENOSPC,
                        .effect = effect});
        const uint64_t before = disk.calls();
        absl::Status status = model.Write(**image);
        if (status.ok()) status = model.Remove(**image, "all");
        if (status.ok()) status = DoAll(**image, model, [] {});
        const absl::Status closed = (*image)->Close();
        image->reset();
        if (status.ok() && closed.ok() && disk.calls() - before <= skip) break;
        disk.Heal();
        const std::string where = absl::StrCat(
            "call ", skip, ", effect ", static_cast<int>(effect), ", for good ",
            for_good, ", ", status.ToString(), ", close: ", closed.ToString());
        const CheckReport report = CheckFile(MemoryFile(disk.image_contents()));
        if (!report.Found(checker::Problem::kDirtyBit)) {
          ASSERT_EQ(TrueCorruptions(report), 0u) << FindingsOf(report) << where;
        }
        if (!for_good && closed.ok()) {
          ASSERT_EQ(report.counts.corruptions + report.counts.leaks, 0u)
              << FindingsOf(report) << where;
        }
        MemoryFile file(disk.image_contents());
        const auto again = Open(file, /*writable=*/false);
        ASSERT_EQ(again.status(), absl::OkStatus()) << where;
        const auto bitmaps = ReadBitmaps(**again);
        ASSERT_EQ(bitmaps.status(), absl::OkStatus()) << where;
        // "all" is there from before the first write, or was made anew.
        const auto all = bitmaps->find("all");
        if (all == bitmaps->end()) continue;
        const auto needed = model.bitmaps().find("all");
        if (needed != model.bitmaps().end()) {
          EXPECT_TRUE(Covers(all->second.bits, needed->second.needed)) << where;
        }
      }
    }
  }
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
