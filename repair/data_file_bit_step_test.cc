#include "repair/data_file_bit_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/format/byte_order.h"
#include "engine/format/header.h"
#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "repair/testing.h"

namespace qcow2::repair {
namespace {

using checker::Problem;
using ::testing::ElementsAre;

constexpr uint64_t kFeaturesAt = 72;
constexpr uint64_t kDiskBytes = uint64_t{64} << 10;

// An image that has guest data in an external data file.
class DataFileBitStepTest : public testing::Test {
 protected:
  void SetUp() override {
    CreateOptions create;
    create.cluster_bits = 9;
    create.virtual_size = kDiskBytes;
    create.data_file = "disk.data";
    ASSERT_EQ(CreateImage(file_, &data_file_, create), absl::OkStatus());
    ImageOptions options;
    options.writable = true;
    options.data_file = std::make_unique<ForwardingFile>(data_file_);
    auto image = Image::Open(std::make_unique<ForwardingFile>(file_),
                             std::move(options));
    ASSERT_EQ(image.status(), absl::OkStatus());
    const std::vector<std::byte> data(uint64_t{8} * 512, std::byte{0x31});
    ASSERT_EQ((*image)->Write(0, data), absl::OkStatus());
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
  }

  uint64_t Features() const {
    return LoadBe64(file_.bytes().data() + kFeaturesAt);
  }
  void SetFeatures(uint64_t features) {
    std::vector<std::byte> bytes(8);
    StoreBe64(bytes.data(), features);
    ASSERT_EQ(file_.Pwrite(kFeaturesAt, bytes), absl::OkStatus());
  }
  // The checks find the data file, or find none.
  RepairOptions WithDataFile(bool there) {
    RepairOptions options;
    options.check.open_other_file =
        [this, there](
            const std::string&,
            const std::string&) -> absl::StatusOr<std::unique_ptr<File>> {
      if (!there) return absl::NotFoundError("it is gone");
      return std::unique_ptr<File>(
          std::make_unique<ForwardingFile>(data_file_));
    };
    return options;
  }

  MemoryFile file_;
  MemoryFile data_file_;
};

TEST_F(DataFileBitStepTest, TheBitThatWasLostIsSetAndNothingElseChanges) {
  const std::vector<std::byte> sound(file_.bytes().begin(),
                                     file_.bytes().end());
  for (const uint64_t others :
       {uint64_t{0}, kIncompatibleDirty, kIncompatibleCorrupt}) {
    SetFeatures(others);
    const Planned planned = PlanFor(file_, WithDataFile(true));
    EXPECT_GT(planned.repair.before.counts.corruptions, 0u);
    ExpectClean(planned.repair.after);
    EXPECT_NE(EditOf(planned, Problem::kDataFileNameUnexpected), nullptr);
    EXPECT_THAT(GuestChangesOf(planned), ElementsAre("recovered 0+65536"));
    EXPECT_TRUE(BytesAt(*planned.view, 0, sound.size()) == sound);
    ExpectNothingMore(*planned.view, WithDataFile(true));
  }
}

TEST_F(DataFileBitStepTest, IsSetWhereTheDataFileIsNotThere) {
  SetFeatures(0);
  const Planned planned = PlanFor(file_, WithDataFile(false));
  EXPECT_TRUE(planned.repair.after.Found(Problem::kDataFileMissing));
  EXPECT_EQ(planned.repair.after.counts.corruptions, 1u);
  EXPECT_EQ(Be64At(*planned.view, kFeaturesAt), kIncompatibleDataFile);
}

TEST_F(DataFileBitStepTest, IsNotSetWhereMoreIsWrong) {
  SetFeatures(0);
  // The L2 table is not counted.
  const uint64_t l1 = LoadBe64(file_.bytes().data() + 40);
  const uint64_t table = LoadBe64(file_.bytes().data() + l1) << 1 >> 1;
  const uint64_t refcount_table = LoadBe64(file_.bytes().data() + 48);
  const uint64_t block = LoadBe64(file_.bytes().data() + refcount_table);
  ASSERT_EQ(file_.Pwrite(block + table / 512 * 2, std::vector<std::byte>(2)),
            absl::OkStatus());
  const Planned planned = PlanFor(file_, WithDataFile(true));
  EXPECT_EQ(Be64At(*planned.view, kFeaturesAt) & kIncompatibleDataFile, 0u);
  EXPECT_TRUE(planned.repair.after.Found(Problem::kDataFileNameUnexpected));
}

}  // namespace
}  // namespace qcow2::repair
