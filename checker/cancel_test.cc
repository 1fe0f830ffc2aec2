// A user who gives up in the middle of a pass: it reads no further.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checker/check.h"
#include "checker/deep_pass.h"
#include "checker/passes.h"
#include "checker/test_image.h"
#include "engine/codec/deflate.h"
#include "engine/format/header.h"
#include "engine/format/header_extension.h"
#include "engine/format/l2_entry.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

// Sets a flag when the byte at an offset is read, and counts the reads behind.
class CancellingFile : public ForwardingFile {
 public:
  CancellingFile(File& target, uint64_t offset)
      : ForwardingFile(target), offset_(offset) {}

  absl::StatusOr<size_t> Pread(uint64_t offset,
                               std::span<std::byte> buffer) const override {
    if (cancel_) ++late_reads_;
    if (offset <= offset_ && offset_ - offset < buffer.size()) cancel_ = true;
    return target().Pread(offset, buffer);
  }

  CheckOptions options() const {
    CheckOptions options;
    options.jobs = 1;
    options.cancel = &cancel_;
    return options;
  }
  bool cancelled() const { return cancel_; }
  uint64_t late_reads() const { return late_reads_; }

 private:
  const uint64_t offset_;
  mutable std::atomic<bool> cancel_ = false;
  mutable uint64_t late_reads_ = 0;
};

TEST(CancelTest, SnapshotTable) {
  TestImage image(2);
  image.header.nb_snapshots = kMaxSnapshots;
  image.header.snapshots_offset = HostOffset(image.OffsetOf(8));
  const CancellingFile file(image.file(), image.OffsetOf(8));
  const PassRun run(
      file,
      [](CheckState& state) {
        if (RunHeaderPass(state)) RunSnapshotPass(state);
      },
      file.options());
  EXPECT_TRUE(file.cancelled());
  EXPECT_EQ(run.state().sink.CountOf(Problem::kSnapshotDuplicateId), 0);
}

TEST(CancelTest, BackingChain) {
  TestImage image;
  image.AddExtension(kExtensionBackingFormat, BytesOf("qcow2"));
  image.header.backing_file_offset = HostOffset(1024);
  image.header.backing_file_size = 1;
  image.WriteText(1024, "a");
  std::atomic<bool> cancel = false;
  int opened = 0;
  CheckOptions options;
  options.cancel = &cancel;
  options.open_other_file =
      [&](const std::string& name,
          const std::string&) -> absl::StatusOr<std::unique_ptr<File>> {
    cancel = true;
    const auto bytes = image.file().bytes();
    return std::make_unique<MemoryFile>(
        std::vector<std::byte>(bytes.begin(), bytes.end()),
        name + std::to_string(++opened));
  };
  const PassRun run(
      image.file(),
      [](CheckState& state) {
        if (RunHeaderPass(state)) RunOtherFilesPass(state);
      },
      options);
  EXPECT_EQ(opened, 1);
}

TEST(CancelTest, L2Tables) {
  TestImage image;
  image.header.l1_size = 6;
  for (uint64_t i = 0; i < 6; ++i) {
    image.SetL1(i, image.OffsetOf(TestImage::kL2 + 2 * i));
  }
  const CancellingFile file(image.file(), image.OffsetOf(TestImage::kL2 + 2));
  const CheckReport report = CheckImage(file, "image", file.options());
  EXPECT_TRUE(report.cancelled);
  EXPECT_TRUE(file.cancelled());
  EXPECT_EQ(file.late_reads(), 0);
}

TEST(CancelTest, LeakedClusters) {
  TestImage image;
  for (uint64_t i = TestImage::kFree; i < 16; ++i) image.SetCount(i, 1);
  const CancellingFile file(image.file(), image.OffsetOf(TestImage::kFree));
  EXPECT_TRUE(CheckImage(file, "image", file.options()).cancelled);
  EXPECT_TRUE(file.cancelled());
  EXPECT_EQ(file.late_reads(), 0);
}

TEST(CancelTest, CompressedClusters) {
  TestImage image;
  const std::vector<std::byte> data = *CompressCluster(
      CompressionType::kDeflate, std::vector<std::byte>(4096, std::byte{7}));
  const Geometry geometry = *Geometry::Create(12, 4, false);
  for (uint64_t i = 0; i < 4; ++i) {
    const HostOffset offset(image.OffsetOf(14 - 2 * i));
    image.SetL2(i, L2Entry::FromCompressed({offset, 0, 1}, geometry).raw());
    image.Write(offset.value(), data);
  }
  const CancellingFile file(image.file(), image.OffsetOf(14));
  const PassRun run(
      file,
      [](CheckState& state) {
        ASSERT_TRUE(RunHeaderPass(state));
        RunDeepPass(state, CollectL2Tables(state));
      },
      file.options());
  EXPECT_TRUE(file.cancelled());
  EXPECT_EQ(file.late_reads(), 0);
}

}  // namespace
}  // namespace qcow2::checker
