// QEMU and this engine write to one image in turn, for every variant. What
// either wrote the other reads, and both checks find nothing.
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/engine/shared_image.h"
#include "tests/engine/variants.h"

namespace qcow2 {
namespace {

struct Case {
  EngineVariant variant;
  Side maker = Side::kEngine;
  bool backed = false;

  std::string name() const {
    return absl::StrCat(variant.name, backed ? "_backed" : "",
                        maker == Side::kQemu ? "_by_qemu" : "_by_engine");
  }
  friend std::ostream& operator<<(std::ostream& out, const Case& c) {
    return out << c.name();
  }
};

class BothWaysTest : public testing::TestWithParam<Case> {
 protected:
  void ExpectSound(const DiskModel& model) {
    ASSERT_EQ(image_.BothRead(model.bytes()), absl::OkStatus());
    ASSERT_EQ(image_.BothFindClean(), absl::OkStatus());
  }

  SharedImage image_{testing::TempDir() + "/" + GetParam().name(),
                     {GetParam().variant.create, GetParam().maker,
                      GetParam().backed ? "raw" : ""}};
};

TEST_P(BothWaysTest, ReadAndWriteOneImage) {
  auto model = image_.Make(1);
  ASSERT_EQ(model.status(), absl::OkStatus());
  if (image_.QemuCanCompress()) {
    ASSERT_EQ(image_.QemuCompresses(*model), absl::OkStatus());
  }
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(image_.QemuWrites(*model), absl::OkStatus());
    ExpectSound(*model);
    if (HasFatalFailure()) FAIL() << "round " << round << ", after QEMU";
    ASSERT_EQ(image_.EngineWrites(*model, 40), absl::OkStatus());
    ExpectSound(*model);
    if (HasFatalFailure()) FAIL() << "round " << round << ", after the engine";
  }
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  bool backed = false;
  for (const EngineVariant& variant : EngineVariants()) {
    for (const Side maker : {Side::kQemu, Side::kEngine}) {
      // A raw data file must hold everything itself; nor does preallocation go
      // together with a backing file.
      backed = !backed && !variant.create.data_file_raw &&
               variant.create.preallocation == Preallocation::kOff;
      cases.push_back({variant, maker, backed});
    }
    backed = !backed;
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Variants, BothWaysTest, testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.name(); });

}  // namespace
}  // namespace qcow2
