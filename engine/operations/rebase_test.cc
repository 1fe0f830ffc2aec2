// See tests/operations/rebase_crash_test.cc for what a rebase does.
#include "engine/operations/rebase.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/image/raw_disk.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

constexpr uint64_t kDiskBytes = uint64_t{3} << 20;

std::unique_ptr<Image> ImageOn(std::shared_ptr<GuestDisk> backing) {
  CreateOptions create;
  create.virtual_size = kDiskBytes;
  create.backing_file = "base";
  create.backing_format = "raw";
  auto file = std::make_unique<MemoryFile>();
  EXPECT_EQ(CreateImage(*file, nullptr, create), absl::OkStatus());
  ImageOptions options;
  options.writable = true;
  options.backing = std::move(backing);
  return *Image::Open(std::move(file), std::move(options));
}

TEST(RebaseTest, CancelledItLeavesTheBackingFileAsItIs) {
  const auto image = ImageOn(
      *RawDisk::Open(std::make_unique<MemoryFile>(
                         std::vector<std::byte>(kDiskBytes, std::byte{1})),
                     false));
  std::atomic<bool> cancel = false;
  RebaseOptions options;
  options.control.cancel = &cancel;
  options.control.progress = [&](uint64_t, uint64_t) { cancel = true; };
  EXPECT_TRUE(absl::IsCancelled(RebaseImage(*image, nullptr, options)));
  EXPECT_EQ(image->header_area().backing_name, "base");
  std::vector<std::byte> bytes(1);
  ASSERT_EQ(image->Read(kDiskBytes - 1, bytes), absl::OkStatus());
  EXPECT_EQ(bytes[0], std::byte{1});
}

}  // namespace
}  // namespace qcow2
