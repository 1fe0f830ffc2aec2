// QEMU and the engine share images of every kind: whoever made the image, both
// write to it in turn, take and apply snapshots, and each reads what the other
// wrote. The images bring each two things together that an image can have.
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/image_matrix.h"
#include "tests/engine/pairwise.h"
#include "tests/engine/shared_image.h"

namespace qcow2 {
namespace {

using Bytes = std::vector<std::byte>;

// A snapshot and what it has.
struct Taken {
  std::string name;
  Bytes bytes;
};

class MatrixTest : public testing::TestWithParam<MatrixImage> {
 protected:
  // Both take a snapshot of the disk, if this image is to have some.
  void TakeSnapshots(const std::string& name, const Bytes& bytes) {
    if (!GetParam().snapshots) return;
    for (const auto& [side, who] :
         {std::pair(Side::kQemu, "qemu"), {Side::kEngine, "engine"}}) {
      taken_.push_back({name + who, bytes});
      ASSERT_EQ(image_.TakeSnapshot(side, name + who), absl::OkStatus());
    }
  }
  void ExpectSound(const Bytes& disk) {
    ASSERT_EQ(image_.BothFindClean(), absl::OkStatus());
    ASSERT_EQ(image_.BothRead(disk), absl::OkStatus());
    for (const Taken& snapshot : taken_) {
      ASSERT_EQ(image_.BothRead(snapshot.bytes, snapshot.name),
                absl::OkStatus());
    }
  }
  // The engine goes back to a snapshot of QEMU's, and QEMU to one of the
  // engine's (which it refuses where there are bitmaps); both are deleted.
  void GoBack(DiskModel& model) {
    for (const Side side : {Side::kEngine, Side::kQemu}) {
      const Taken last = taken_.front();
      taken_.erase(taken_.begin());
      const Side user = GetParam().bitmap ? Side::kEngine : side;
      ASSERT_EQ(image_.ApplySnapshot(user, last.name), absl::OkStatus());
      model.bytes() = last.bytes;
      ASSERT_EQ(image_.DeleteSnapshot(side, last.name), absl::OkStatus());
    }
  }

  SharedImage image_{testing::TempDir() + "/matrix", GetParam().image};
  std::vector<Taken> taken_;
};

TEST_P(MatrixTest, BothWriteInTurn) {
  auto model = image_.Make(1);
  ASSERT_EQ(model.status(), absl::OkStatus());
  if (GetParam().bitmap) {
    ASSERT_EQ(image_.QemuAddsBitmap("bitmap"), absl::OkStatus());
  }
  if (image_.QemuCanCompress()) {
    ASSERT_EQ(image_.QemuCompresses(*model), absl::OkStatus());
  }
  ASSERT_EQ(image_.QemuWrites(*model), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(ExpectSound(model->bytes()));
  ASSERT_NO_FATAL_FAILURE(TakeSnapshots("early_", model->bytes()));
  ASSERT_EQ(image_.EngineWrites(*model, 40), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(ExpectSound(model->bytes()));
  ASSERT_EQ(image_.QemuWrites(*model), absl::OkStatus());
  ASSERT_EQ(image_.EngineWrites(*model, 40), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(ExpectSound(model->bytes()));
  if (!GetParam().snapshots) return;
  ASSERT_NO_FATAL_FAILURE(GoBack(*model));
  ASSERT_NO_FATAL_FAILURE(ExpectSound(model->bytes()));
  ASSERT_EQ(image_.QemuWrites(*model), absl::OkStatus());
  ASSERT_EQ(image_.EngineWrites(*model, 10), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(ExpectSound(model->bytes()));
}

std::vector<MatrixImage> Images() {
  std::vector<MatrixImage> images;
  for (const FactorRow& row : PairwiseRows(PossibleImages())) {
    images.push_back(ImageOfRow(row));
  }
  return images;
}

INSTANTIATE_TEST_SUITE_P(Images, MatrixTest, testing::ValuesIn(Images()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qcow2
