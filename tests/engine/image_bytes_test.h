// A test's image of forty small clusters in memory, whose structures it damages
// by their bytes.
//
// For tests only; in memory.
#ifndef TESTS_ENGINE_IMAGE_BYTES_TEST_H_
#define TESTS_ENGINE_IMAGE_BYTES_TEST_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/format/byte_order.h"
#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"

namespace qcow2 {

class ImageBytesTest : public testing::Test {
 protected:
  using Bytes = std::vector<std::byte>;
  static constexpr uint64_t kClusterBytes = 512;

  void SetUp() override {
    CreateOptions create;
    create.cluster_bits = 9;
    create.virtual_size = 40 * kClusterBytes;
    ASSERT_EQ(CreateImage(file_, nullptr, create), absl::OkStatus());
  }

  std::unique_ptr<Image> Open(bool writable) {
    ImageOptions options;
    options.writable = writable;
    auto image = Image::Open(std::make_unique<ForwardingFile>(file_),
                             std::move(options));
    EXPECT_EQ(image.status(), absl::OkStatus());
    return *std::move(image);
  }

  // The 8-byte entry at `offset` of the file.
  uint64_t Load(uint64_t offset) const {
    return LoadBe64(file_.bytes().data() + offset);
  }
  void Store(uint64_t offset, uint64_t value) {
    Bytes bytes(8);
    StoreBe64(bytes.data(), value);
    ASSERT_EQ(file_.Pwrite(offset, bytes), absl::OkStatus());
  }
  void Zero(uint64_t offset, size_t bytes) {
    ASSERT_EQ(file_.Pwrite(offset, Bytes(bytes)), absl::OkStatus());
  }
  Bytes ClusterAt(uint64_t offset) const {
    const auto begin = file_.bytes().begin() + static_cast<ptrdiff_t>(offset);
    return {begin, begin + kClusterBytes};
  }

  // Host offsets in bytes, as the header has them.
  uint64_t L1Offset() const { return Load(40); }
  uint64_t RefcountTableOffset() const { return Load(48); }

  MemoryFile file_;
};

}  // namespace qcow2

#endif  // TESTS_ENGINE_IMAGE_BYTES_TEST_H_
