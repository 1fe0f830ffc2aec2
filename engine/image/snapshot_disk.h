// SnapshotDisk: the contents of a snapshot, read without applying it.
//
// Reads only. The image stays in use: its disk may be written meanwhile.
#ifndef ENGINE_IMAGE_SNAPSHOT_DISK_H_
#define ENGINE_IMAGE_SNAPSHOT_DISK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/format/snapshot_table.h"
#include "engine/image/guest_disk.h"
#include "engine/image/image.h"
#include "engine/image/image_core.h"
#include "engine/image/mapping.h"

namespace qcow2 {

class SnapshotDisk : public GuestDisk {
 public:
  // The snapshot with that id, or else the first with that name. `core` must
  // outlive the disk. NotFound; DataLoss if its L1 table is not there.
  static absl::StatusOr<std::unique_ptr<SnapshotDisk>> Open(
      ImageCore& core, std::string_view id_or_name);
  // The same of an image that the disk then owns.
  static absl::StatusOr<std::unique_ptr<SnapshotDisk>> Open(
      std::unique_ptr<Image> image, std::string_view id_or_name);

  const SnapshotEntry& entry() const { return entry_; }

  std::string name() const override;
  // The disk's size when the snapshot was taken.
  uint64_t size_bytes() const override { return size_bytes_; }
  bool writable() const override { return false; }
  GuestDisk* backing() const override { return core_.backing.get(); }
  // FailedPrecondition once the snapshot was deleted.
  absl::Status Read(uint64_t offset, std::span<std::byte> buffer) override;
  absl::StatusOr<GuestExtent> ExtentAt(uint64_t offset,
                                       uint64_t max_length) override;
  // FailedPrecondition: nobody writes to a snapshot.
  absl::Status Write(uint64_t offset, std::span<const std::byte> data) override;
  absl::Status WriteZeroes(uint64_t offset, uint64_t length,
                           ZeroMode mode) override;
  absl::Status Discard(uint64_t offset, uint64_t length) override;
  absl::Status Flush() override { return absl::OkStatus(); }

  // The extent at `offset` with its place in the file.
  absl::StatusOr<MappedExtent> Map(uint64_t offset, uint64_t max_length);
  // Of the image.
  const ImageCore& core() const { return core_; }

  // Fills `buffer` with the VM state from byte `position` of it on. OutOfRange
  // past the end of what the snapshot has.
  absl::Status ReadVmState(uint64_t position, std::span<std::byte> buffer);

 private:
  SnapshotDisk(ImageCore& core, SnapshotEntry entry, std::vector<uint64_t> l1,
               uint64_t size_bytes)
      : core_(core),
        entry_(std::move(entry)),
        l1_(std::move(l1)),
        size_bytes_(size_bytes) {}

  // FailedPrecondition if the image does not have the snapshot any more.
  absl::Status CheckStillThere() ABSL_EXCLUSIVE_LOCKS_REQUIRED(core_.mutex);
  absl::Status CheckRange(uint64_t offset, uint64_t length, uint64_t size,
                          const char* what) const;
  absl::Status RefuseWrite() const;
  // Reads guest bytes, which may lie past the disk's end.
  absl::Status ReadAt(uint64_t offset, std::span<std::byte> buffer);

  std::unique_ptr<Image> image_;  // null if it is not owned
  ImageCore& core_;
  const SnapshotEntry entry_;
  const std::vector<uint64_t> l1_;
  const uint64_t size_bytes_;
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_SNAPSHOT_DISK_H_
