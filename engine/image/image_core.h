// ImageCore: the parts of an open image, for the rooms of the engine that work
// on them (reading, writing, snapshots, bitmaps, resizing). Everybody else uses
// Image.
//
// Locking, from the outside in:
//   1. `ranges`: a request holds the clusters it touches, shared or exclusive.
//      Whoever changes more than mappings holds everything: ExclusiveUse.
//   2. `mutex`: metadata. Held for tables, never while guest data is read or
//      written.
#ifndef ENGINE_IMAGE_IMAGE_CORE_H_
#define ENGINE_IMAGE_IMAGE_CORE_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "engine/codec/sector_cipher.h"
#include "engine/image/bitmap_tracker.h"
#include "engine/image/cluster_reader.h"
#include "engine/image/guest_disk.h"
#include "engine/image/mapping.h"
#include "engine/image/metadata.h"
#include "engine/image/range_lock.h"
#include "engine/mutex.h"
#include "engine/storage/file.h"

namespace qcow2 {

struct ImageCore {
  static constexpr uint64_t kEverything = ~uint64_t{0};

  std::unique_ptr<File> file;
  std::unique_ptr<File> data_file;       // null without one
  std::shared_ptr<GuestDisk> backing;    // null without one
  std::unique_ptr<SectorCipher> cipher;  // null if not encrypted
  // Sectors are numbered by their place in the file (LUKS), or else by their
  // place on the disk.
  bool cipher_by_host_offset = false;
  // Guest data is not to be read: see ImageTuning.
  bool metadata_only = false;
  std::unique_ptr<ClusterReader> reader;
  bool writable = false;
  // Guest bytes, as the header has it.
  std::atomic<uint64_t> size_bytes = 0;
  RangeLock ranges;
  Mutex mutex;
  // But for geometry() and NoteDataWritten(), to be used under `mutex`.
  std::unique_ptr<Metadata> metadata;
  // Told of every range of the guest before it changes, under `mutex`: see
  // NoteChange. Null where no bitmap can be up to date.
  std::unique_ptr<BitmapTracker> bitmaps;

  // Caches are cleaned of unused tables this often; zero: never.
  std::chrono::seconds cache_clean_interval{0};
  std::chrono::steady_clock::time_point last_clean ABSL_GUARDED_BY(mutex);

  // To be called under `mutex` before these bytes of the guest change. An error
  // means that they must not.
  absl::Status NoteChange(uint64_t offset, uint64_t length) const {
    return bitmaps == nullptr ? absl::OkStatus()
                              : bitmaps->Note(offset, length);
  }
  // The file guest data is in.
  File& data() const { return data_file != nullptr ? *data_file : *file; }
};

// Keeps everybody else from the image as long as it lives: holds all ranges and
// the metadata.
class ABSL_SCOPED_LOCKABLE ExclusiveUse {
 public:
  explicit ExclusiveUse(ImageCore& core)
      ABSL_EXCLUSIVE_LOCK_FUNCTION(core.mutex)
      : holder_(core.ranges, 0, ImageCore::kEverything,
                RangeLock::Mode::kExclusive),
        mutex_(core.mutex) {
    mutex_.lock();
  }
  ~ExclusiveUse() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }
  ExclusiveUse(const ExclusiveUse&) = delete;
  ExclusiveUse& operator=(const ExclusiveUse&) = delete;

 private:
  const RangeLock::Holder holder_;
  Mutex& mutex_;
};

// Fills `buffer` with the guest's bytes from `offset` on as the table `l1` has
// them (nothing for the active one). The range may lie past the disk's end: VM
// state does. REQUIRES: the caller holds the range.
absl::Status ReadGuest(ImageCore& core, const std::vector<uint64_t>* l1,
                       uint64_t offset, std::span<std::byte> buffer);

// Replaces the guest's bytes from `offset` on. The range may lie past the
// disk's end, as far as the L1 table reaches. Takes the range itself.
absl::Status WriteGuest(ImageCore& core, uint64_t offset,
                        std::span<const std::byte> data);

// Makes the range read as zeros. Takes the range itself.
absl::Status ZeroGuest(ImageCore& core, uint64_t offset, uint64_t length,
                       ZeroMode mode);

// The same, and the image says so itself also where nothing is below that could
// show. For a backing disk to come.
absl::Status MarkZeroGuest(ImageCore& core, uint64_t offset, uint64_t length);

// Gives back the whole clusters of the range. Takes the range itself.
absl::Status DiscardGuest(ImageCore& core, uint64_t offset, uint64_t length);

// Makes the whole clusters of the range unallocated: what is below shows. The
// range may lie past the disk's end. Takes the range itself.
absl::Status ForgetGuest(ImageCore& core, uint64_t offset, uint64_t length);

// Stores `compressed`, which decompresses to the cluster at the aligned guest
// offset `offset`. Takes the range itself.
absl::Status WriteCompressedGuest(ImageCore& core, uint64_t offset,
                                  std::span<const std::byte> compressed);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_IMAGE_CORE_H_
