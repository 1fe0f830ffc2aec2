// Dirty bitmaps against QEMU's tools: those that qemu-img made follow what the
// engine writes, and QEMU reads the engine's as what they are.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/check.h"
#include "engine/image/bitmaps.h"
#include "engine/image/image.h"
#include "engine/image/resize.h"
#include "engine/image/snapshots.h"
#include "engine/storage/posix_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/differential/qemu_img.h"

namespace qcow2 {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;
using testing::Not;

constexpr uint64_t kSize = (8 << 20) + 512;
constexpr uint64_t kSector = 512;

// What must be dirty, by sector.
class Expected {
 public:
  explicit Expected(uint64_t size = kSize) : sectors_(size / kSector) {}

  void Mark(uint64_t offset, uint64_t length) {
    for (uint64_t i = offset / kSector; i * kSector < offset + length; ++i) {
      sectors_[i] = true;
    }
  }
  // The same as a bitmap of that granularity has it.
  std::vector<bool> At(uint64_t granularity) const {
    std::vector<bool> whole = sectors_;
    const uint64_t step = granularity / kSector;
    for (uint64_t i = 0; i < sectors_.size(); i += step) {
      const uint64_t end = std::min<uint64_t>(sectors_.size(), i + step);
      const bool any =
          std::count(sectors_.begin() + static_cast<ptrdiff_t>(i),
                     sectors_.begin() + static_cast<ptrdiff_t>(end), true) > 0;
      std::fill(whole.begin() + static_cast<ptrdiff_t>(i),
                whole.begin() + static_cast<ptrdiff_t>(end), any);
    }
    return whole;
  }

 private:
  std::vector<bool> sectors_;
};

class BitmapsQemuTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HaveQemuImg()) GTEST_SKIP() << "there is no qemu-img";
    // Not GoogleTest's folder: a socket's path must be short.
    char name[] = "/tmp/bitmaps-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    path_ = folder_ / "image.qcow2";
  }
  void TearDown() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  std::string Run(const std::string& command) {
    std::string output;
    EXPECT_EQ(RunCommand(command + " 2>&1", &output), 0) << command << "\n"
                                                         << output;
    return output;
  }
  void Create(const std::string& options = "",
              const std::string& size = std::to_string(kSize)) {
    Run("qemu-img create -q -f qcow2 " + options + " " + path_ + " " + size);
  }
  void Add(const std::string& arguments) {
    Run("qemu-img bitmap --add " + arguments);
  }
  std::unique_ptr<Image> Open() { return Open(path_); }
  std::unique_ptr<Image> Open(const std::string& path) {
    auto file = PosixFile::Open(path, {.writable = true});
    EXPECT_EQ(file.status(), absl::OkStatus());
    ImageOptions options;
    options.writable = true;
    auto image = Image::Open(*std::move(file), std::move(options));
    EXPECT_EQ(image.status(), absl::OkStatus());
    return *std::move(image);
  }
  // Both checks find nothing.
  void ExpectClean() {
    EXPECT_EQ(QemuCheck(path_).exit_code, 0);
    auto file = PosixFile::Open(path_, {});
    ASSERT_EQ(file.status(), absl::OkStatus());
    const auto report = checker::CheckImage(**file, path_, {});
    for (const auto& finding : report.problems) {
      ADD_FAILURE() << checker::DescribeFinding(finding);
    }
  }
  // What QEMU serves of a bitmap, by sector.
  std::vector<bool> DirtyByQemu(const std::string& name) {
    const std::string socket = folder_ / "socket";
    const std::string output = folder_ / "map.json";
    Run("qemu-nbd --read-only --persistent -f qcow2 -B " + name + " -k " +
        socket + " " + path_ + " & server=$!; for i in $(seq 500); do [ -S " +
        socket +
        " ] && break; sleep 0.01; done; "
        "qemu-img map --output=json --image-opts driver=nbd,"
        "server.type=unix,server.path=" +
        socket + ",x-dirty-bitmap=qemu:dirty-bitmap:" + name + " >" + output +
        "; kill $server; wait $server; rm -f " + socket);
    std::ifstream file(output);
    std::vector<bool> dirty;
    for (const Json& extent : Json::parse(file)) {
      dirty.resize((extent.at("start").get<uint64_t>() +
                    extent.at("length").get<uint64_t>()) /
                       kSector,
                   !extent.at("data").get<bool>());
    }
    return dirty;
  }

  std::filesystem::path folder_;
  std::string path_;
};

// Writes, zeroes and discards here and there.
void Scribble(Image& image, uint64_t seed, Expected& expected) {
  std::mt19937_64 random(seed);
  const uint64_t cluster = image.geometry().cluster_size();
  for (int i = 0; i < 12; ++i) {
    uint64_t offset = random() % kSize;
    uint64_t length = random() % std::min<uint64_t>(kSize - offset, 70000) + 1;
    switch (i % 3) {
      case 0: {
        const std::vector<std::byte> data(length, std::byte{0x5a});
        ASSERT_EQ(image.Write(offset, data), absl::OkStatus());
        break;
      }
      case 1:
        ASSERT_EQ(image.WriteZeroes(offset, length, ZeroMode::kUnmap),
                  absl::OkStatus());
        break;
      default:
        offset -= offset % cluster;
        length = std::min(cluster, kSize - offset);
        ASSERT_EQ(image.Discard(offset, length), absl::OkStatus());
    }
    expected.Mark(offset, length);
  }
}

// A bitmap that records and missed a write is never taken for complete; one
// that does not record is as good as before.
TEST_F(BitmapsQemuTest, AreMarkedWhileTheDiskChanges) {
  Create();
  Add(path_ + " recording");
  Add("--disable " + path_ + " still");
  const auto image = Open();
  EXPECT_THAT(Run("qemu-img info -U " + path_), Not(HasSubstr("in-use")));
  const std::vector<std::byte> data(1000, std::byte{1});
  ASSERT_EQ(image->Write(5000, data), absl::OkStatus());
  // Even now, when nothing else need have reached the file.
  EXPECT_THAT(Run("qemu-img info -U " + path_), HasSubstr("in-use"));
  // A copy is what a crash would leave.
  const std::string copy = folder_ / "copy";
  std::filesystem::copy(path_, copy);
  std::string output;
  EXPECT_NE(RunCommand("qemu-img bitmap --clear " + copy + " recording 2>&1",
                       &output),
            0);
  EXPECT_THAT(output, HasSubstr("inconsistent"));
  Run("qemu-img bitmap --clear " + copy + " still");
  Run("qemu-img bitmap --remove " + copy + " recording");
  EXPECT_EQ(QemuCheck(copy).exit_code, 0);

  ASSERT_EQ(image->Close(), absl::OkStatus());
  EXPECT_THAT(Run("qemu-img info " + path_), Not(HasSubstr("in-use")));
  ExpectClean();
  Expected expected;
  expected.Mark(5000, 1000);
  EXPECT_EQ(DirtyByQemu("recording"), expected.At(65536));
  EXPECT_EQ(DirtyByQemu("still"), Expected().At(65536));
}

TEST_F(BitmapsQemuTest, StayWhereNothingIsWritten) {
  Create();
  Add(path_ + " recording");
  {
    const auto image = Open();
    std::vector<std::byte> data(1000);
    ASSERT_EQ(image->Read(5000, data), absl::OkStatus());
    ASSERT_EQ(image->Close(), absl::OkStatus());
  }
  EXPECT_THAT(Run("qemu-img info " + path_), Not(HasSubstr("in-use")));
  EXPECT_EQ(DirtyByQemu("recording"), Expected().At(65536));
}

struct Combination {
  const char* options;
  uint64_t granularity;
};

class BitmapsOfManyKindsTest : public BitmapsQemuTest,
                               public testing::WithParamInterface<Combination> {
};

// QEMU and the engine write in turn, and either knows what both wrote.
TEST_P(BitmapsOfManyKindsTest, FollowWhatIsWritten) {
  const uint64_t granularity = GetParam().granularity;
  Create(GetParam().options);
  Add("-g " + std::to_string(granularity) + " " + path_ + " theirs");
  Expected expected;
  Expected since_ours;
  for (uint64_t round = 0; round < 3; ++round) {
    {
      const auto image = Open();
      Scribble(*image, 10 * round + 1, expected);
      if (round == 0) {
        ASSERT_EQ(AddBitmap(image->core(),
                            {.name = "ours", .granularity_bytes = granularity}),
                  absl::OkStatus());
      }
      Scribble(*image, 10 * round + 2, expected);
      if (round > 0) Scribble(*image, 10 * round + 1, since_ours);
      Scribble(*image, 10 * round + 2, since_ours);
      ASSERT_EQ(image->Close(), absl::OkStatus());
    }
    ExpectClean();
    ASSERT_EQ(DirtyByQemu("theirs"), expected.At(granularity)) << round;
    ASSERT_EQ(DirtyByQemu("ours"), since_ours.At(granularity)) << round;
    const std::string at = std::to_string(round * 123456);
    Run("qemu-io -c 'write " + at + " 1000' " + path_);
    expected.Mark(round * 123456, 1000);
    since_ours.Mark(round * 123456, 1000);
    ExpectClean();
  }
  const auto image = Open();
  const auto list = ListBitmaps(image->core());
  ASSERT_EQ(list.status(), absl::OkStatus());
  ASSERT_EQ(list->size(), 2u);
  const std::vector<bool> dirty = expected.At(granularity);
  EXPECT_EQ((*list)[0].name, "theirs");
  EXPECT_EQ((*list)[0].granularity_bytes, granularity);
  EXPECT_EQ((*list)[0].dirty_bytes,
            kSector * static_cast<uint64_t>(
                          std::count(dirty.begin(), dirty.end(), true)));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, BitmapsOfManyKindsTest,
    testing::Values(Combination{"", 65536}, Combination{"", 512},
                    Combination{"-o cluster_size=512", 512},
                    Combination{"-o cluster_size=512", 4096},
                    Combination{"-o cluster_size=1024,refcount_bits=1", 1024},
                    Combination{"-o cluster_size=2M", 512},
                    Combination{"-o extended_l2=on,cluster_size=16k", 8192},
                    Combination{"-o lazy_refcounts=on", 2048},
                    Combination{"-o cluster_size=4096", 1 << 20}));

TEST_F(BitmapsQemuTest, AreChangedAsQemuWould) {
  Create();
  const auto image = Open();
  ImageCore& core = image->core();
  ASSERT_EQ(AddBitmap(core, {.name = "a"}), absl::OkStatus());
  ASSERT_EQ(
      AddBitmap(core,
                {.name = "b", .granularity_bytes = 4096, .records = false}),
      absl::OkStatus());
  Expected expected;
  Scribble(*image, 1, expected);
  ASSERT_EQ(MergeBitmap(core, "a", core, "b"), absl::OkStatus());
  ASSERT_EQ(DisableBitmap(core, "a"), absl::OkStatus());
  ASSERT_EQ(EnableBitmap(core, "b"), absl::OkStatus());
  Expected later;
  Scribble(*image, 2, later);
  ASSERT_EQ(image->Close(), absl::OkStatus());
  ExpectClean();
  EXPECT_EQ(DirtyByQemu("a"), expected.At(65536));
  const Json info = Json::parse(Run("qemu-img info --output=json " + path_));
  const Json bitmaps = info.at("format-specific").at("data").at("bitmaps");
  EXPECT_EQ(bitmaps.dump(),
            R"([{"flags":[],"granularity":65536,"name":"a"},)"
            R"({"flags":["auto"],"granularity":4096,"name":"b"}])");
  std::vector<bool> merged = expected.At(65536);
  const std::vector<bool> recorded = later.At(4096);
  for (size_t i = 0; i < merged.size(); ++i) {
    if (recorded[i]) merged[i] = true;
  }
  EXPECT_EQ(DirtyByQemu("b"), merged);

  const auto again = Open();
  ASSERT_EQ(ClearBitmap(again->core(), "a"), absl::OkStatus());
  ASSERT_EQ(RemoveBitmap(again->core(), "b"), absl::OkStatus());
  ASSERT_EQ(again->Close(), absl::OkStatus());
  ExpectClean();
  EXPECT_EQ(DirtyByQemu("a"), Expected().At(65536));
  const auto last = Open();
  ASSERT_EQ(RemoveBitmap(last->core(), "a"), absl::OkStatus());
  EXPECT_EQ(last->header_area().header.autoclear_features, 0u);
  ASSERT_EQ(last->Close(), absl::OkStatus());
  ExpectClean();
  EXPECT_THAT(Run("qemu-img info " + path_), Not(HasSubstr("bitmaps:")));
}

// As qemu-img bitmap --merge -b does, to coarser and finer bits.
TEST_F(BitmapsQemuTest, AreMergedFromAnotherImageAsQemuDoes) {
  Create();
  const std::string other = folder_ / "other.qcow2";
  std::filesystem::copy(path_, other);
  Add("-g 8192 " + other + " source");
  Run("qemu-io -c 'write 100k 3k' -c 'write 3M 1' -c 'write 8M 512' " + other);
  for (const std::string granularity : {"512", "8192", "1M"}) {
    for (const char* name : {" ours", " theirs"}) {
      Add(absl::StrCat("-g ", granularity, " --disable ", path_, name,
                       granularity));
    }
    {
      const auto image = Open();
      const auto source = Open(other);
      ASSERT_EQ(MergeBitmap(source->core(), "source", image->core(),
                            "ours" + granularity),
                absl::OkStatus());
    }
    Run(absl::StrCat("qemu-img bitmap --merge source -b ", other, " -F qcow2 ",
                     path_, " theirs", granularity));
    EXPECT_EQ(DirtyByQemu("ours" + granularity),
              DirtyByQemu("theirs" + granularity));
    ExpectClean();
  }
}

TEST_F(BitmapsQemuTest, FollowTheSizeOfTheDiskAsWithQemu) {
  Create("-o cluster_size=4096");
  for (const std::string granularity : {"512", "65536", "1M"}) {
    Add(absl::StrCat("-g ", granularity, " ", path_, " g", granularity));
  }
  Run("qemu-io -c 'write 0 1' -c 'write 3M 70k' -c 'write 7M 1M' " + path_);
  const std::string theirs = folder_ / "theirs.qcow2";
  std::filesystem::copy(path_, theirs);
  for (const uint64_t size : {uint64_t{60} << 20, (uint64_t{3} << 20) + 33280,
                              (uint64_t{9} << 20) + 512}) {
    {
      const auto image = Open();
      ASSERT_EQ(ResizeImage(*image, size, {.allow_shrink = true}),
                absl::OkStatus());
      ASSERT_EQ(image->Close(), absl::OkStatus());
    }
    Run("qemu-img resize -q --shrink " + theirs + " " + std::to_string(size));
    ExpectClean();
    for (const std::string name : {"g512", "g65536", "g1M"}) {
      const std::vector<bool> dirty = DirtyByQemu(name);
      EXPECT_EQ(dirty.size(), size / kSector);
      const std::string ours = std::exchange(path_, theirs);
      EXPECT_EQ(dirty, DirtyByQemu(name)) << name << " at " << size;
      path_ = ours;
    }
  }
}

TEST_F(BitmapsQemuTest, KeepTheSizeWhereTheyAreInconsistent) {
  Create();
  Add(path_ + " recording");
  const std::string in_use = folder_ / "in_use.qcow2";
  const auto image = Open();
  ASSERT_EQ(image->Write(0, std::vector<std::byte>(512)), absl::OkStatus());
  std::filesystem::copy(path_, in_use);
  ASSERT_EQ(image->Close(), absl::OkStatus());
  const auto inconsistent = Open(in_use);
  EXPECT_TRUE(
      absl::IsFailedPrecondition(ResizeImage(*inconsistent, 2 * kSize, {})));
  EXPECT_EQ(inconsistent->size_bytes(), kSize);
}

// What is stored for the old size and what is recorded after it make one
// bitmap.
TEST_F(BitmapsQemuTest, KeepWhatWasRecordedBeforeTheDiskGrows) {
  Create();
  Add(path_ + " recording");
  Expected expected(2 * kSize);
  {
    const auto image = Open();
    Scribble(*image, 9, expected);
    ASSERT_EQ(ResizeImage(*image, 2 * kSize, {}), absl::OkStatus());
    ASSERT_EQ(image->Write(2 * kSize - 1, std::vector<std::byte>(1)),
              absl::OkStatus());
    ASSERT_EQ(image->Close(), absl::OkStatus());
  }
  ExpectClean();
  expected.Mark(2 * kSize - 1, 1);
  EXPECT_EQ(DirtyByQemu("recording"), expected.At(65536));
}

// The disk is another one then.
TEST_F(BitmapsQemuTest, SayThatAllIsDirtyWhenASnapshotIsApplied) {
  Create();
  Add(path_ + " recording");
  Add("--disable " + path_ + " still");
  {
    const auto image = Open();
    ASSERT_EQ(CreateSnapshot(image->core(), {.name = "s"}).status(),
              absl::OkStatus());
    EXPECT_THAT(Run("qemu-img info -U " + path_), Not(HasSubstr("in-use")));
    ASSERT_EQ(ApplySnapshot(image->core(), "s"), absl::OkStatus());
    ASSERT_EQ(image->Close(), absl::OkStatus());
  }
  ExpectClean();
  Expected all;
  all.Mark(0, kSize);
  EXPECT_EQ(DirtyByQemu("recording"), all.At(65536));
  EXPECT_EQ(DirtyByQemu("still"), Expected().At(65536));
}

}  // namespace
}  // namespace qcow2
