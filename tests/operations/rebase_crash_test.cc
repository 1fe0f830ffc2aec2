// Crashes and faults at every point of a safe rebase: the image is sound, with
// leaks at worst, and reads as before through the backing file that its header
// names then, be it the old one or the new one.
#include <algorithm>
#include <cerrno>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/image/create.h"
#include "engine/image/header_area.h"
#include "engine/image/image.h"
#include "engine/image/snapshots.h"
#include "engine/operations/rebase.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"
#include "repair/journal/simulated_disk.h"
#include "tests/engine/soundness.h"
#include "tests/operations/scene.h"

namespace qcow2 {
namespace {

using repair::CallFault;
using repair::SimulatedDisk;
using Bytes = std::vector<std::byte>;

constexpr uint64_t kClusters = 90;
// Crashes behind each operation.
constexpr int kTrials = 5;

// A backing disk: how long it is, in clusters of the image, and what it holds.
struct BackingCase {
  uint64_t clusters = 0;  // 0: there is none
  uint64_t seed = 0;
};

struct RebaseCase {
  std::string name;
  BackingCase before;
  BackingCase after;
  uint32_t version = 3;
  uint32_t cluster_bits = 9;
  bool extended_l2 = false;
  bool lazy_refcounts = false;
  bool snapshot = false;

  friend std::ostream& operator<<(std::ostream& out, const RebaseCase& c) {
    return out << c.name;
  }
};

absl::StatusOr<std::unique_ptr<Image>> Open(File& file,
                                            std::shared_ptr<GuestDisk> backing,
                                            bool writable) {
  ImageOptions options;
  options.writable = writable;
  options.l2_cache_bytes = 0;
  options.refcount_cache_bytes = 0;
  options.backing = std::move(backing);
  return Image::Open(std::make_unique<ForwardingFile>(file),
                     std::move(options));
}

class RebaseCrashTest : public testing::TestWithParam<RebaseCase> {
 protected:
  using Disk = std::unique_ptr<SimulatedDisk>;

  void SetUp() override {
    cluster_ = uint64_t{1} << GetParam().cluster_bits;
    before_ = MakeBacking(GetParam().before);
    after_ = MakeBacking(GetParam().after);
    MakeImage();
  }

  // An image with some bytes in every fifth cluster; empty if there is none.
  Bytes MakeBacking(const BackingCase& backing) const {
    if (backing.clusters == 0) return {};
    CreateOptions create;
    create.cluster_bits = 9;
    create.virtual_size = backing.clusters * cluster_;
    MemoryFile file;
    EXPECT_EQ(CreateImage(file, nullptr, create), absl::OkStatus());
    const auto disk = *Open(file, nullptr, /*writable=*/true);
    for (uint64_t i = backing.seed % 5; i + 3 < backing.clusters; i += 5) {
      const Bytes data(2 * cluster_ + 100,
                       static_cast<std::byte>(backing.seed + i));
      EXPECT_EQ(disk->Write(i * cluster_ + 200, data), absl::OkStatus());
    }
    EXPECT_EQ(disk->Close(), absl::OkStatus());
    return {file.bytes().begin(), file.bytes().end()};
  }

  void MakeImage() {
    const RebaseCase& c = GetParam();
    CreateOptions create;
    create.version = c.version;
    create.cluster_bits = c.cluster_bits;
    create.extended_l2 = c.extended_l2;
    create.lazy_refcounts = c.lazy_refcounts;
    create.virtual_size = kClusters * cluster_ - 512 + cluster_ / 2;
    create.virtual_size -= create.virtual_size % 512;
    if (c.before.clusters > 0) {
      create.backing_file = kOld;
      create.backing_format = "qcow2";
    }
    MemoryFile file;
    ASSERT_EQ(CreateImage(file, nullptr, create), absl::OkStatus());
    const auto image = *Open(file, OpenBacking(before_), /*writable=*/true);
    for (uint64_t i = 1; i + 3 < kClusters; i += 11) {
      ASSERT_EQ(image->Write(i * cluster_ + 77, Bytes(600, std::byte{0x99})),
                absl::OkStatus());
      ASSERT_EQ(
          image->WriteZeroes((i + 1) * cluster_, cluster_, ZeroMode::kKeep),
          absl::OkStatus());
    }
    if (c.snapshot) {
      ASSERT_EQ(CreateSnapshot(image->core(), {.name = "s"}).status(),
                absl::OkStatus());
    }
    expected_.resize(image->size_bytes());
    ASSERT_EQ(image->Read(0, expected_), absl::OkStatus());
    ASSERT_EQ(image->Close(), absl::OkStatus());
    created_.assign(file.bytes().begin(), file.bytes().end());
  }

  // Null for no bytes.
  static std::shared_ptr<GuestDisk> OpenBacking(const Bytes& bytes) {
    if (bytes.empty()) return nullptr;
    ImageOptions options;
    auto image =
        Image::Open(std::make_unique<MemoryFile>(bytes), std::move(options));
    EXPECT_EQ(image.status(), absl::OkStatus());
    return *std::move(image);
  }

  RebaseOptions Options() const {
    RebaseOptions options;
    if (!after_.empty()) {
      options.backing_file = kNew;
      options.backing_format = "qcow2";
    }
    return options;
  }

  // The disk that the image's header names.
  std::shared_ptr<GuestDisk> BackingNamedBy(const File& file) const {
    const auto area = ReadHeaderArea(file);
    EXPECT_EQ(area.status(), absl::OkStatus());
    if (!area.ok() || area->backing_name.empty()) return nullptr;
    EXPECT_TRUE(area->backing_name == kOld || area->backing_name == kNew)
        << area->backing_name;
    return OpenBacking(area->backing_name == kOld ? before_ : after_);
  }

  void ExpectSameBytes(MemoryFile& file) const {
    const auto image = Open(file, BackingNamedBy(file), /*writable=*/false);
    ASSERT_EQ(image.status(), absl::OkStatus());
    Bytes read((*image)->size_bytes());
    ASSERT_EQ((*image)->Read(0, read), absl::OkStatus());
    ASSERT_EQ(read.size(), expected_.size());
    const auto wrong =
        std::mismatch(read.begin(), read.end(), expected_.begin());
    ASSERT_TRUE(wrong.first == read.end())
        << "byte " << wrong.first - read.begin();
  }

  void ExpectSound(MemoryFile& file) const {
    const checker::CheckReport report = CheckFile(file);
    if (!report.Found(checker::Problem::kDirtyBit)) {
      ASSERT_EQ(TrueCorruptions(report), 0u) << FindingsOf(report);
    } else {
      // With lazy refcounts the counts are late, and a repair makes them good.
      const auto repaired = CheckRepaired(file, repair::Mode::kAll);
      ASSERT_EQ(repaired.status(), absl::OkStatus());
      ASSERT_EQ(TrueCorruptions(*repaired), 0u) << FindingsOf(*repaired);
    }
    ExpectSameBytes(file);
  }

  static constexpr char kOld[] = "old";
  static constexpr char kNew[] = "new";

  uint64_t cluster_ = 0;
  Bytes before_;
  Bytes after_;
  Bytes created_;
  Bytes expected_;
};

TEST_P(RebaseCrashTest, ReadsAsBefore) {
  SimulatedDisk disk(created_);
  disk.KeepSectorsWhole();
  {
    const auto image =
        Open(disk.image(), OpenBacking(before_), /*writable=*/true);
    ASSERT_EQ(image.status(), absl::OkStatus());
    const auto backing = OpenBacking(after_);
    ASSERT_EQ(RebaseImage(**image, backing.get(), Options()), absl::OkStatus());
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
  }
  MemoryFile finished(disk.image_contents());
  ASSERT_EQ(FindingsOf(CheckFile(finished)), "");
  ASSERT_EQ(ReadHeaderArea(finished)->backing_name, Options().backing_file);
  ASSERT_GE(disk.operations(), 6u);
  bool old_seen = false;
  bool new_seen = false;
  AtEveryCrash(disk, 0, kTrials, [&](MemoryFile& file, size_t) {
    ExpectSound(file);
    const auto area = ReadHeaderArea(file);
    (area.ok() && area->backing_name == Options().backing_file ? new_seen
                                                               : old_seen) =
        true;
  });
  EXPECT_TRUE(old_seen && new_seen);
}

// A rebase with the three disks it uses, of which one fails.
class FaultyRebase {
 public:
  FaultyRebase(const Bytes& image, const Bytes& before, const Bytes& after)
      : disks_{SimulatedDisk(image), SimulatedDisk(before),
               SimulatedDisk(after)} {}

  static constexpr size_t kDisks = 3;

  // `fault` is of the disk with the number `failing`.
  void Run(size_t failing, const CallFault& fault,
           const RebaseOptions& options) {
    std::shared_ptr<GuestDisk> before = OpenSource(disks_[1]);
    const std::shared_ptr<GuestDisk> after = OpenSource(disks_[2]);
    const auto image = Open(disks_[0].image(), std::move(before), true);
    ASSERT_EQ(image.status(), absl::OkStatus());
    const uint64_t calls = disks_[failing].calls();
    disks_[failing].FailCalls(fault);
    rebased_ = RebaseImage(**image, after.get(), options);
    closed_ = (*image)->Close();
    hit_ = disks_[failing].calls() - calls > fault.skip;
  }

  // Whether the call that was to fail was ever made.
  bool hit() const { return hit_; }
  const absl::Status& rebased() const { return rebased_; }
  const absl::Status& closed() const { return closed_; }
  MemoryFile image() const { return MemoryFile(disks_[0].image_contents()); }

 private:
  static std::shared_ptr<GuestDisk> OpenSource(SimulatedDisk& disk) {
    if (disk.image_contents().empty()) return nullptr;
    auto image = Open(disk.image(), nullptr, /*writable=*/false);
    EXPECT_EQ(image.status(), absl::OkStatus());
    return *std::move(image);
  }

  SimulatedDisk disks_[kDisks];
  absl::Status rebased_;
  absl::Status closed_;
  bool hit_ = false;
};

TEST_P(RebaseCrashTest, ComesBackFromEveryFault) {
  using Effect = CallFault::Effect;
  uint64_t faults = 0;
  for (size_t failing = 0; failing < FaultyRebase::kDisks; ++failing) {
    for (const Effect effect : {Effect::kNone, Effect::kHalf, Effect::kAll}) {
      for (uint64_t skip = 0;; ++skip) {
        const CallFault fault{.skip = skip,
                              .for_good = skip % 3 != 0,
                              .error = skip % 2 == 0 ? EIO : ENOSPC,
                              .effect = effect};
        FaultyRebase rebase(created_, before_, after_);
        rebase.Run(failing, fault, Options());
        SCOPED_TRACE(absl::StrCat("disk ", failing, ", call ", skip,
                                  ", effect ", static_cast<int>(effect), ": ",
                                  rebase.rebased().ToString(),
                                  ", close: ", rebase.closed().ToString()));
        MemoryFile file = rebase.image();
        ExpectSound(file);
        if (rebase.rebased().ok()) {
          EXPECT_EQ(ReadHeaderArea(file)->backing_name, Options().backing_file);
        }
        if (rebase.hit()) {
          ++faults;
          EXPECT_FALSE(rebase.rebased().ok() && rebase.closed().ok());
        }
        if (HasFailure() || !rebase.hit()) break;
      }
      if (HasFailure()) return;
    }
  }
  EXPECT_GE(faults, 15u);
}

std::vector<RebaseCase> Cases() {
  const BackingCase none;
  const BackingCase some{.clusters = kClusters, .seed = 1};
  const BackingCase other{.clusters = kClusters, .seed = 4};
  const BackingCase shorter{.clusters = 37, .seed = 2};
  const BackingCase longer{.clusters = 2 * kClusters, .seed = 3};
  return {
      {.name = "ToAnother", .before = some, .after = other},
      {.name = "ToNone", .before = some, .after = none},
      {.name = "FromNone", .before = none, .after = some},
      {.name = "ToShorter", .before = longer, .after = shorter},
      {.name = "ToLonger", .before = shorter, .after = longer},
      {.name = "Version2", .before = shorter, .after = other, .version = 2},
      {.name = "LargeClusters",
       .before = {.clusters = 20, .seed = 5},
       .after = {.clusters = 90, .seed = 6},
       .cluster_bits = 13},
      {.name = "Subclusters",
       .before = {.clusters = 20, .seed = 5},
       .after = {.clusters = 40, .seed = 6},
       .cluster_bits = 14,
       .extended_l2 = true},
      {.name = "LazyRefcounts",
       .before = some,
       .after = other,
       .lazy_refcounts = true},
      {.name = "WithSnapshot",
       .before = some,
       .after = other,
       .snapshot = true},
  };
}

INSTANTIATE_TEST_SUITE_P(Rebases, RebaseCrashTest, testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qcow2
