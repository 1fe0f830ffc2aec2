// Long random sequences of requests against a flat buffer, on images of every
// variant, reopened now and then. After each stretch the checker must find
// nothing at all.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"
#include "tests/engine/disk_model.h"
#include "tests/engine/soundness.h"
#include "tests/engine/variants.h"

namespace qcow2 {
namespace {

class ModelTest : public testing::TestWithParam<EngineVariant> {
 protected:
  absl::StatusOr<std::unique_ptr<Image>> Open() {
    ImageOptions options;
    options.writable = true;
    // Small caches, so that tables leave and come back.
    options.l2_cache_bytes = 0;
    options.refcount_cache_bytes = 0;
    options.pass_discard_other = true;
    return GetParam().Open(file_, data_file_, std::move(options));
  }

  MemoryFile file_;
  MemoryFile data_file_;
};

TEST_P(ModelTest, ReadsWhatWasWritten) {
  const CreateOptions create = GetParam().create;
  ASSERT_EQ(CreateImage(file_, create.data_file.empty() ? nullptr : &data_file_,
                        create),
            absl::OkStatus());
  for (uint64_t seed = 0; seed < 3; ++seed) {
    DiskModel model(create.virtual_size, seed);
    auto image = Open();
    ASSERT_EQ(image.status(), absl::OkStatus());
    if (seed > 0) {
      ASSERT_EQ((*image)->Read(0, model.bytes()), absl::OkStatus());
    }
    for (int stretch = 0; stretch < 4; ++stretch) {
      for (int step = 0; step < 40; ++step) {
        ASSERT_EQ(model.Step(**image), absl::OkStatus())
            << "seed " << seed << ", stretch " << stretch << ", step " << step
            << ": " << model.last();
      }
      ASSERT_EQ(model.Compare(**image), absl::OkStatus());
      ASSERT_EQ((*image)->Close(), absl::OkStatus());
      ASSERT_EQ(FindingsOf(CheckFile(file_)), "")
          << "seed " << seed << ", " << stretch;
      image = Open();
      ASSERT_EQ(image.status(), absl::OkStatus());
      ASSERT_EQ(model.Compare(**image), absl::OkStatus());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, ModelTest,
                         testing::ValuesIn(EngineVariants()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qcow2
