// The dirty bitmaps of an image as they are stored: reading the directory,
// tables and bits, and putting a changed directory in the old one's place.
//
// BitmapChange writes bits, tables and directories to new clusters, and the
// header that names them. Nothing that the image has is overwritten.
#ifndef ENGINE_IMAGE_BITMAP_STORE_H_
#define ENGINE_IMAGE_BITMAP_STORE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/format/bitmap_directory.h"
#include "engine/format/bitmap_table_entry.h"
#include "engine/format/types.h"
#include "engine/image/dirty_bits.h"
#include "engine/image/metadata.h"

namespace qcow2 {

// The most a bitmap's bits may take. QEMU has the same limit, because it keeps
// them in memory.
inline constexpr uint64_t kMaxBitmapBytes = uint64_t{1} << 29;

// Whether the image has bitmaps, and nobody who does not know them has written
// it since: without the autoclear bit, what the extension names means nothing.
bool HasConsistentBitmaps(const Metadata& metadata);

struct BitmapDirectory {
  // False if what is stored cannot be a directory.
  bool intact = true;
  HostOffset offset;
  std::vector<LocatedBitmap> bitmaps;

  // The bitmap of that name, or null.
  const LocatedBitmap* Find(std::string_view name) const;
};

// The image's bitmaps; none where it has no consistent ones. Errors of reading.
absl::StatusOr<BitmapDirectory> LoadBitmapDirectory(Metadata& metadata);
// The clusters of the directory that the header names; none if there is none,
// or it is named wrongly.
ClusterRun StoredDirectoryRun(const Metadata& metadata);

// Whether a bitmap can be used with a disk of that size, as far as its entry
// tells. It may be in use all the same.
bool IsUsable(const BitmapDirectoryEntry& entry, uint64_t disk_size_bytes,
              const Geometry& geometry);

// The entries of a bitmap's table; nothing if one of them, or the table's place
// or size, cannot be right.
absl::StatusOr<std::optional<std::vector<uint64_t>>> ReadBitmapTable(
    Metadata& metadata, const BitmapDirectoryEntry& entry);
// Fills `bits`, a cluster, with what a table entry stands for.
absl::Status ReadBits(Metadata& metadata, BitmapTableEntry entry,
                      std::span<std::byte> bits);

// One change of the image's bitmaps: what they are to be is put together, and
// Commit makes it so at one stroke.
class BitmapChange {
 public:
  // `before` is what the image has.
  BitmapChange(Metadata& metadata, const BitmapDirectory& before);
  // Without a successful Commit, gives back the clusters that were taken.
  ~BitmapChange();
  BitmapChange(const BitmapChange&) = delete;
  BitmapChange& operator=(const BitmapChange&) = delete;

  // What the directory is to hold.
  std::vector<BitmapDirectoryEntry>& entries() { return entries_; }
  // The entry of that name, or null.
  BitmapDirectoryEntry* Find(std::string_view name);

  // A table of zeros for a disk of `disk_size_bytes`; the old table, if there
  // is one, is given up with its bits.
  absl::Status Clear(BitmapDirectoryEntry& entry, uint64_t disk_size_bytes);
  // A table of a disk of `disk_size_bytes` all of which is dirty; the old one
  // is given up as above.
  absl::Status SetAll(BitmapDirectoryEntry& entry, uint64_t disk_size_bytes);
  // Sets what is set in `dirty`. False, and nothing is changed, if the
  // bitmap's table is damaged.
  absl::StatusOr<bool> Merge(BitmapDirectoryEntry& entry,
                             const DirtyBits& dirty);
  // Makes a usable bitmap of a disk of `before` bytes one of `after` bytes;
  // the new bits are clear. False as with Merge.
  absl::StatusOr<bool> Resize(BitmapDirectoryEntry& entry, uint64_t before,
                              uint64_t after);
  // Gives up the table and the bits of an entry that is to leave the
  // directory. Those of a damaged table are left as they are.
  absl::Status GiveUp(const BitmapDirectoryEntry& entry);

  // Writes the directory and switches the header to it, and to a disk of
  // `disk_size_bytes`; then gives back what the old one held. Without entries
  // the extension goes, too.
  absl::Status Commit(uint64_t disk_size_bytes);
  // The two parts of Commit, for who switches the header himself: writes the
  // directory and returns the header area that names it, and once that is the
  // image's, gives back what the old one held. Before Committed the caller may
  // change more of the header.
  absl::StatusOr<HeaderArea> WriteDirectory(uint64_t disk_size_bytes);
  void Committed();

 private:
  absl::StatusOr<HostOffset> WriteClusters(std::span<const std::byte> bytes);
  // The table entry for a cluster of bits, which gets a host cluster if it
  // needs one.
  absl::StatusOr<BitmapTableEntry> WriteBits(std::span<const std::byte> bits);
  absl::Status ReplaceTable(BitmapDirectoryEntry& entry,
                            std::span<const uint64_t> table);
  void FreeTable(const BitmapDirectoryEntry& entry);
  void FreeBits(BitmapTableEntry entry);
  absl::StatusOr<HeaderArea> AreaWith(HostOffset offset, uint64_t size_bytes,
                                      uint64_t disk_size_bytes) const;

  Metadata& metadata_;
  const Geometry& geometry_;
  const ClusterRun old_directory_;
  ClusterRun new_directory_ = {HostCluster(0), 0};
  std::vector<BitmapDirectoryEntry> entries_;
  std::vector<ClusterRun> taken_;
  std::vector<ClusterRun> given_up_;
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_BITMAP_STORE_H_
