// What tests of images of every kind start with: a way to open them in which
// nothing waits in a cache, and a small new image.
//
// For tests only.
#ifndef TESTS_ENGINE_SMALL_IMAGE_TEST_H_
#define TESTS_ENGINE_SMALL_IMAGE_TEST_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/image/create.h"
#include "engine/image/create_options.h"
#include "engine/image/image.h"
#include "engine/image/overlap_guard.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"
#include "tests/engine/variants.h"

namespace qcow2 {

// All that the disk reads as.
inline std::vector<std::byte> Contents(Image& image) {
  std::vector<std::byte> bytes(image.size_bytes());
  EXPECT_EQ(image.Read(0, bytes), absl::OkStatus());
  return bytes;
}

// With every overlap check, and all that is discarded given back to the file
// system.
inline absl::StatusOr<std::unique_ptr<Image>> OpenUncached(
    const EngineVariant& variant, File& file, bool writable = true) {
  ImageOptions options;
  options.writable = writable;
  options.l2_cache_bytes = 0;
  options.refcount_cache_bytes = 0;
  options.pass_discard_other = true;
  options.overlap_check = kOverlapAll;
  MemoryFile none;
  return variant.Open(file, none, std::move(options));
}

class VariantTest : public testing::TestWithParam<EngineVariant> {
 protected:
  static absl::StatusOr<std::unique_ptr<Image>> Open(File& file,
                                                     bool writable = true) {
    return OpenUncached(GetParam(), file, writable);
  }
};

// For SmallVariants().
class SmallImageTest : public VariantTest {
 protected:
  // The disk has at most that many clusters, and is not larger than 256 KiB;
  // and it ends with a sector more, in the middle of a cluster.
  explicit SmallImageTest(uint64_t clusters = 60) : clusters_(clusters) {}

  void SetUp() override {
    create_ = GetParam().create;
    const uint64_t cluster = uint64_t{1} << create_.cluster_bits;
    create_.virtual_size =
        std::min<uint64_t>(clusters_ * cluster, 256 << 10) + 512;
    MemoryFile file;
    ASSERT_EQ(CreateImage(file, nullptr, create_), absl::OkStatus());
    created_.assign(file.bytes().begin(), file.bytes().end());
  }

  CreateOptions create_;
  // The new image.
  std::vector<std::byte> created_;

 private:
  uint64_t clusters_;
};

}  // namespace qcow2

#endif  // TESTS_ENGINE_SMALL_IMAGE_TEST_H_
