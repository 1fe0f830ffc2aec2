// Snapshots and bitmaps in such numbers that what each claims adds up.
#include <string>
#include <utility>
#include <vector>

#include "engine/format/bitmap_directory.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/entry_flags.h"
#include "engine/format/header_extension.h"
#include "engine/format/snapshot_table.h"
#include "engine/status_macros.h"
#include "tests/hostile/hostile_images.h"
#include "tests/hostile/sparse_image.h"

namespace qcow2::hostile {
namespace {

using Path = const std::string&;

constexpr uint64_t kL1EntriesMax = kMaxL1Bytes / 8;
// Where tables that all directories share begin.
constexpr uint64_t kTablesOffset = uint64_t{1} << 30;

void AppendPadded(std::vector<std::byte>& to,
                  const std::vector<std::byte>& bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
  to.resize((to.size() + 7) / 8 * 8);
}

struct Snapshots {
  uint32_t cluster_bits = 9;
  uint64_t count = kMaxSnapshots;
  uint64_t l1_entries = kL1EntriesMax;
  uint64_t stride_clusters = 0;  // from one L1 table to the next
  // What the words of all L1 tables say; zeros are holes.
  uint64_t words = 0;
  bool same_id = false;
};

absl::Status WriteSnapshots(Path path, const Snapshots& snapshots) {
  ASSIGN_OR_RETURN(SparseImage image,
                   SparseImage::Create(path, snapshots.cluster_bits));
  image.SetRefcountTable(1, 1, [](uint64_t) { return 0; });
  std::vector<std::byte> table;
  for (uint64_t i = 0; i < snapshots.count; ++i) {
    SnapshotEntry entry;
    entry.l1_table_offset = HostOffset(
        kTablesOffset + image.OffsetOf(i * snapshots.stride_clusters));
    entry.l1_size = static_cast<uint32_t>(snapshots.l1_entries);
    entry.extra_data.resize(16);
    entry.id = snapshots.same_id ? "1" : std::to_string(i);
    AppendPadded(table, entry.Encode());
  }
  image.Write(image.OffsetOf(4096), table);
  image.header.snapshots_offset = HostOffset(image.OffsetOf(4096));
  image.header.nb_snapshots = static_cast<uint32_t>(snapshots.count);
  image.WriteWords(kTablesOffset, snapshots.words, [&](uint64_t i) {
    return image.OffsetOf(16 + i % 64) | kCopiedFlag;
  });
  return image.Finish(
      kTablesOffset + kMaxL1Bytes +
      image.OffsetOf(snapshots.count * (snapshots.stride_clusters + 1)));
}

struct Bitmaps {
  uint32_t cluster_bits = 9;
  uint64_t count = kMaxBitmaps;
  uint64_t table_entries = 1 << 20;
  uint64_t stride_clusters = 0;
  uint64_t words = 0;
  bool same_name = false;
  bool stale = false;
};

absl::Status WriteBitmaps(Path path, const Bitmaps& bitmaps) {
  ASSIGN_OR_RETURN(SparseImage image,
                   SparseImage::Create(path, bitmaps.cluster_bits));
  image.SetRefcountTable(1, 1, [](uint64_t) { return 0; });
  std::vector<std::byte> directory;
  for (uint64_t i = 0; i < bitmaps.count; ++i) {
    BitmapDirectoryEntry entry;
    entry.table_offset =
        HostOffset(kTablesOffset + image.OffsetOf(i * bitmaps.stride_clusters));
    entry.table_size = static_cast<uint32_t>(bitmaps.table_entries);
    entry.granularity_bits = 9;
    entry.name = bitmaps.same_name ? "b" : "b" + std::to_string(i);
    AppendPadded(directory, entry.Encode());
  }
  image.Write(image.OffsetOf(4096), directory);
  BitmapExtension extension;
  extension.nb_bitmaps = static_cast<uint32_t>(bitmaps.count);
  extension.directory_size = directory.size();
  extension.directory_offset = HostOffset(image.OffsetOf(4096));
  image.AddExtension(kExtensionBitmaps, extension.Encode());
  image.header.autoclear_features = bitmaps.stale ? 0 : kAutoclearBitmaps;
  image.WriteWords(kTablesOffset, bitmaps.words, [&](uint64_t i) {
    return image.OffsetOf(16 + i * 2 % 1024);
  });
  return image.Finish(
      kTablesOffset + bitmaps.table_entries * 8 +
      image.OffsetOf(bitmaps.count * (bitmaps.stride_clusters + 1)));
}

// Every cluster of the guest's is counted too low and has eight snapshots, and
// every second one the active disk, for owners; the names of the snapshots are
// six times as long in a page.
absl::Status NamesThatGrow(Path path) {
  constexpr uint64_t kSnapshots = 8;
  // Of each disk; an L1 table is one cluster, and the file has one a cell.
  constexpr uint64_t kTables = 62;
  constexpr uint64_t kL1 = 32;
  constexpr uint64_t kNames = 48;
  constexpr uint64_t kL2 = 64;
  constexpr uint64_t kData = kL2 + (kSnapshots + 1) * kTables;
  ASSIGN_OR_RETURN(SparseImage image, SparseImage::Create(path, 9));
  image.SetRefcountTable(1, 1, [&](uint64_t i) {
    return i < kL1 - 2 ? image.OffsetOf(2 + i) : 0;
  });
  const auto l2_table = [&](uint64_t disk, uint64_t i) {
    return image.OffsetOf(kL2 + disk * kTables + i) | kCopiedFlag;
  };
  image.SetL1(kL1, kTables, [&](uint64_t i) { return l2_table(0, i); });
  std::vector<std::byte> table;
  for (uint64_t disk = 0; disk <= kSnapshots; ++disk) {
    image.WriteWords(image.OffsetOf(kL1 + disk), kTables,
                     [&](uint64_t i) { return l2_table(disk, i); });
    image.WriteWords(
        image.OffsetOf(kL2 + disk * kTables), kTables * 64, [&](uint64_t i) {
          return disk > 0 || i % 2 == 0 ? image.OffsetOf(kData + i) : 0;
        });
    if (disk == 0) continue;
    SnapshotEntry entry;
    entry.l1_table_offset = HostOffset(image.OffsetOf(kL1 + disk));
    entry.l1_size = kTables;
    entry.extra_data.resize(16);
    entry.id = std::to_string(disk);
    entry.name.assign(200, '"');
    AppendPadded(table, entry.Encode());
  }
  image.Write(image.OffsetOf(kNames), table);
  image.header.snapshots_offset = HostOffset(image.OffsetOf(kNames));
  image.header.nb_snapshots = kSnapshots;
  return image.Finish(image.OffsetOf(kData + kTables * 64));
}

HostileImage WithSnapshots(const char* name, Snapshots snapshots) {
  return {name, [=](Path p) { return WriteSnapshots(p, snapshots); }};
}

HostileImage WithBitmaps(const char* name, Bitmaps bitmaps) {
  return {name, [=](Path p) { return WriteBitmaps(p, bitmaps); }};
}

}  // namespace

std::vector<HostileImage> CrowdedDirectories() {
  return {
      WithSnapshots("SnapshotsOneHugeL1", {}),
      WithSnapshots("SnapshotsOneHugeL1Filled", {.words = kL1EntriesMax}),
      WithSnapshots("SnapshotsHugeL1Overlapping", {.stride_clusters = 1}),
      WithSnapshots("SnapshotsHugeL1OverlappingFilled",
                    {.stride_clusters = 1, .words = kL1EntriesMax}),
      WithSnapshots("SnapshotsHugeL1Apart64K",
                    {.cluster_bits = 16, .stride_clusters = 512}),
      WithSnapshots("SnapshotsOneEntryEach",
                    {.l1_entries = 1, .stride_clusters = 1, .words = 4096}),
      WithSnapshots("SnapshotsOneId", {.l1_entries = 1, .same_id = true}),
      WithSnapshots("SnapshotsTooMany", {.count = 100000, .l1_entries = 64}),
      {"SnapshotNamesThatGrow", NamesThatGrow},
      WithBitmaps("BitmapsOneTable", {}),
      WithBitmaps("BitmapsOneTableFilled", {.words = 1 << 20}),
      WithBitmaps("BitmapsOverlapping", {.stride_clusters = 1}),
      WithBitmaps("BitmapsOverlappingFilled",
                  {.stride_clusters = 1, .words = 1 << 20}),
      WithBitmaps("BitmapsApart64K",
                  {.cluster_bits = 16, .stride_clusters = 128}),
      WithBitmaps("BitmapsStale",
                  {.stride_clusters = 1, .words = 1 << 20, .stale = true}),
      WithBitmaps("BitmapsOneName", {.table_entries = 1, .same_name = true}),
      WithBitmaps("BitmapsTooMany", {.count = 100000, .table_entries = 1}),
  };
}

}  // namespace qcow2::hostile
