// GuestDisk: what can be read, and perhaps written, like a disk. A qcow2 image,
// one of its snapshots and a raw file all are; a backing chain is made of them,
// and copying, comparing and partitioning work on nothing else.
//
// An interface and plain values only; the implementations are beside it.
#ifndef ENGINE_IMAGE_GUEST_DISK_H_
#define ENGINE_IMAGE_GUEST_DISK_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qcow2 {

// What a stretch of a disk is made of.
enum class GuestExtentKind {
  kData,         // bytes that are stored at this layer
  kZeros,        // reads as zeros, and the layer says so itself
  kUnallocated,  // this layer says nothing: the backing disk's bytes, or zeros
};

// A stretch of a disk of one kind.
struct GuestExtent {
  GuestExtentKind kind = GuestExtentKind::kUnallocated;
  uint64_t length_bytes = 0;
};

// What Discard and WriteZeroes may do with the clusters behind a range.
enum class ZeroMode {
  kKeep,   // they stay allocated, so that later writes need no new space
  kUnmap,  // they may be given back
};

// A disk of bytes. All functions may be called from several threads at once; a
// read that overlaps a write in flight returns old or new bytes. Offsets and
// lengths are bytes of the guest; no alignment is asked for.
//
// Errors: OutOfRange for a range that ends past the disk, FailedPrecondition
// for a write to a disk that cannot be written, DataLoss (naming structure,
// offset and value) where the image's metadata is damaged, else what the file
// said.
class GuestDisk {
 public:
  virtual ~GuestDisk() = default;

  // What to call the disk in messages.
  virtual std::string name() const = 0;
  // The length of the disk.
  virtual uint64_t size_bytes() const = 0;
  virtual bool writable() const = 0;
  // The disk below, whose bytes show where this one says nothing; null if there
  // is none. It lives as long as this disk.
  virtual GuestDisk* backing() const { return nullptr; }

  // Fills `buffer` with the disk's bytes from `offset` on.
  virtual absl::Status Read(uint64_t offset, std::span<std::byte> buffer) = 0;

  // What lies at `offset`: a kind and for how many bytes it goes on, at most
  // `max_length` and the rest of the disk. Never 0 bytes where max_length is
  // not 0. Two neighbouring extents may be of the same kind.
  virtual absl::StatusOr<GuestExtent> ExtentAt(uint64_t offset,
                                               uint64_t max_length) = 0;

  // Replaces the bytes from `offset` on. They may be lost until a Flush that
  // began after this returned has returned OK.
  virtual absl::Status Write(uint64_t offset,
                             std::span<const std::byte> data) = 0;
  // Makes the range read as zeros.
  virtual absl::Status WriteZeroes(uint64_t offset, uint64_t length,
                                   ZeroMode mode) = 0;
  // Says that the bytes of the range are no longer needed. Where they cannot be
  // given back they stay as they are.
  virtual absl::Status Discard(uint64_t offset, uint64_t length) = 0;
  // Returns when everything written before survives a crash.
  virtual absl::Status Flush() = 0;
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_GUEST_DISK_H_
