// What an upgrade to version 3 does with snapshots that say less than version 3
// asks.
#include "engine/image/amend.h"

#include <memory>
#include <utility>
#include <vector>

#include "engine/image/create.h"
#include "engine/image/new_table.h"
#include "engine/image/snapshots.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"
#include "tests/engine/soundness.h"

namespace qcow2 {
namespace {

std::unique_ptr<Image> Open(MemoryFile& file) {
  ImageOptions options;
  options.writable = true;
  auto image =
      Image::Open(std::make_unique<ForwardingFile>(file), std::move(options));
  EXPECT_EQ(image.status(), absl::OkStatus());
  return *std::move(image);
}

// As old programs wrote it.
absl::Status DropExtraData(Image& image) {
  Metadata& metadata = *image.core().metadata;
  const ExclusiveUse everything(image.core());
  std::vector<SnapshotEntry> snapshots = metadata.snapshots();
  for (SnapshotEntry& entry : snapshots) entry.extra_data.clear();
  auto table = WriteNewSnapshotTable(metadata, snapshots);
  if (!table.ok()) return table.status();
  return SwitchToSnapshotTable(metadata, *table, std::move(snapshots));
}

TEST(AmendTest, UpgradeCompletesTheSnapshotTable) {
  MemoryFile file;
  CreateOptions create;
  create.version = 2;
  create.cluster_bits = 12;
  create.virtual_size = 1 << 20;
  ASSERT_EQ(CreateImage(file, nullptr, create), absl::OkStatus());
  {
    const auto image = Open(file);
    const std::vector<std::byte> data(5000, std::byte{7});
    ASSERT_EQ(image->Write(1000, data), absl::OkStatus());
    NewSnapshot snapshot;
    snapshot.name = "old";
    ASSERT_EQ(CreateSnapshot(image->core(), snapshot).status(),
              absl::OkStatus());
    ASSERT_EQ(DropExtraData(*image), absl::OkStatus());
    ASSERT_EQ(image->Close(), absl::OkStatus());
  }
  ASSERT_EQ(CheckFile(file).counts.corruptions, 0u);
  {
    const auto image = Open(file);
    ASSERT_EQ(UpgradeImage(*image), absl::OkStatus());
    ASSERT_EQ(image->Close(), absl::OkStatus());
  }
  EXPECT_EQ(FindingsOf(CheckFile(file)), "");
  const auto image = Open(file);
  const std::vector<SnapshotEntry> snapshots = ListSnapshots(image->core());
  ASSERT_EQ(snapshots.size(), 1u);
  EXPECT_EQ(snapshots[0].extra_data.size(), kSnapshotExtraSizeV3);
  EXPECT_EQ(snapshots[0].disk_size(), create.virtual_size);
}

}  // namespace
}  // namespace qcow2
