// The one door to bytes: everything that reads or writes an image goes through
// File, so that a check can be given a file that cannot be written, a repair
// one that keeps its writes in memory, and a test one that fails on purpose.
//
// An interface and plain values only; the implementations are beside it.
#ifndef ENGINE_STORAGE_FILE_H_
#define ENGINE_STORAGE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qcow2 {

// A stretch of a file, in bytes.
struct ByteRange {
  uint64_t offset = 0;
  uint64_t length = 0;

  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

// What QEMU's image locking calls permissions: bit i of the masks below.
// Other processes learn of them through locks on single bytes of the file.
enum LockPermission : uint32_t {
  kLockConsistentRead = 1u << 0,
  kLockWrite = 1u << 1,
  kLockWriteUnchanged = 1u << 2,
  kLockResize = 1u << 3,
};

// `held`: the permissions this process makes use of. `shared`: those it lets
// others make use of meanwhile. Masks of LockPermission.
struct LockRequest {
  uint32_t held = 0;
  uint32_t shared = 0;
};

// Who only reads: beside others that read, or write what reads the same.
inline constexpr LockRequest kReaderLocks = {
    .held = kLockConsistentRead,
    .shared = kLockConsistentRead | kLockWriteUnchanged,
};
// Who writes: beside others that only read, if they let it.
inline constexpr LockRequest kWriterLocks = {
    .held = kLockConsistentRead | kLockWrite | kLockResize,
    .shared = kLockConsistentRead,
};

// What a reader is about to do with a stretch of the file.
enum class Access {
  kNormal,       // Nothing in particular: undoes the others.
  kRandom,       // Small reads here and there: read-ahead would be wasted.
  kSequential,   // From the front to the back.
  kWillNeed,     // Soon, by one read: start bringing it in now.
  kWillFollow,   // As kWillNeed, right behind what will be read before it: a
                 // system that reads ahead of itself does better unasked.
  kRowWillNeed,  // Soon, by a row of reads that are announced one by one as
                 // well, on a slow disk: a system that reads ahead of itself
                 // does better asked for all in one.
  kDontNeed,     // Not again: its cache may go to others.
};

// A random-access file of bytes. The const functions (Pread, Size, NextData,
// Advise) may be called from several threads at once; everything else by one
// thread at a time, with no reader meanwhile, unless the file is concurrent().
// Offsets and lengths are bytes.
//
// Errors are absl::ErrnoToStatus of the failing call, with the operation, the
// offset, the length and the file's name in the message. An operation the file
// cannot do (writing a read-only file) is FailedPrecondition.
class File {
 public:
  virtual ~File() = default;

  // What to call the file in messages: a path, or "memory".
  virtual std::string name() const = 0;

  // Whether Pwrite, PunchHole and Flush may be called from several threads at
  // once, along with each other and with the const functions. Those of disjoint
  // ranges do not disturb each other, also where both grow the file; a Pread
  // that meets a Pwrite of the same bytes returns old or new ones, of each byte
  // one or the other. Truncate, Allocate, Lock and Unlock stay one thread's
  // alone with no other call meanwhile. Whoever has several threads must keep
  // them apart himself (a mutex around each call) where this is false. The
  // answer never changes during the file's life.
  virtual bool concurrent() const { return false; }

  // The length of the file in bytes.
  virtual absl::StatusOr<uint64_t> Size() const = 0;

  // Reads up to `buffer.size()` bytes at `offset`. Returns the bytes read,
  // fewer than asked for only at the end of the file (0 past it). Interrupted
  // and short reads are carried on inside.
  virtual absl::StatusOr<size_t> Pread(uint64_t offset,
                                       std::span<std::byte> buffer) const = 0;

  // Writes all of `data` at `offset`, growing the file if need be. On an error
  // some prefix of `data` may have been written.
  virtual absl::Status Pwrite(uint64_t offset,
                              std::span<const std::byte> data) = 0;

  // Returns when everything written before is on stable storage.
  virtual absl::Status Flush() = 0;

  // Sets the file's length; new bytes read as zeros.
  virtual absl::Status Truncate(uint64_t size) = 0;

  // Makes `range` read as zeros and gives its space back where the file can.
  // Never changes the length.
  virtual absl::Status PunchHole(ByteRange range) = 0;

  // Reserves space for all of `range`, so that writing there later does not run
  // out of it; grows the file to the end of the range if that is past its end.
  // Bytes that were there stay, new ones read as zeros. ResourceExhausted where
  // there is not enough. On an error part of it may have been done. A file that
  // does not know of space to reserve only grows.
  virtual absl::Status Allocate(ByteRange range);

  // The first stretch at or after `offset` that may hold anything but zeros.
  // Length 0 (and offset = size) when there is none. A file that cannot tell
  // answers with the rest of the file.
  virtual absl::StatusOr<ByteRange> NextData(uint64_t offset) const = 0;

  // Tells the system what will be read, so that it can read ahead (or not do
  // so). A hint: what Pread returns never depends on it. Length 0 stands for
  // everything from the offset on. Does nothing where nothing can be done.
  virtual void Advise(Access /*access*/, ByteRange /*range*/) const {}

  // Takes the locks for `request` the way QEMU does (OFD read locks on byte
  // 100+i for each permission held and 200+i for each not shared, then a probe
  // for a conflict). Replaces what was held before. Unavailable, with nothing
  // locked, when another process holds a conflicting claim; OK without effect
  // where the file has no such locks.
  virtual absl::Status Lock(LockRequest request) = 0;

  // Gives back every lock taken with Lock. Closing the file does so as well.
  virtual void Unlock() = 0;
};

// Fills `buffer` from `offset`; bytes past the end of the file become zeros.
absl::Status ReadZeroFilled(const File& file, uint64_t offset,
                            std::span<std::byte> buffer);

// Writes zeros over `range`, which costs as much as writing anything there: for
// files that know no better way. On an error some of it may have been written.
absl::Status WriteZeros(File& file, ByteRange range);

}  // namespace qcow2

#endif  // ENGINE_STORAGE_FILE_H_
