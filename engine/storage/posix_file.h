// PosixFile: a regular file or block device reached through the system's calls,
// with QEMU's image locks. The only implementation that touches the disk.
#ifndef ENGINE_STORAGE_POSIX_FILE_H_
#define ENGINE_STORAGE_POSIX_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"

namespace qcow2 {

struct OpenOptions {
  // Whether Pwrite, Truncate, PunchHole and Allocate are wanted. Without it the
  // file is opened O_RDONLY and they are FailedPrecondition.
  bool writable = false;
};

// Which file of the system this is: two paths with the same identity name the
// same file (hard links, symbolic links, "./").
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;

  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

class PosixFile : public File {
 public:
  // Opens the existing file at `path`, following symbolic links. Never waits
  // for another process: a FIFO, socket, directory or character device is
  // refused with InvalidArgument that says which it is, and not even opened.
  // NotFound, PermissionDenied and so on for what open() says.
  static absl::StatusOr<std::unique_ptr<PosixFile>> Open(
      const std::string& path, OpenOptions options = {});

  // Takes over `descriptor`, which was opened as `options` say, and calls it
  // `name`. It is closed in any case. The same kinds of files are refused.
  static absl::StatusOr<std::unique_ptr<PosixFile>> Adopt(
      int descriptor, const std::string& name, OpenOptions options);

  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;
  ~PosixFile() override;

  std::string name() const override { return path_; }

  // The system sees to it.
  bool concurrent() const override { return true; }

  // By fstat, or for a block device by seeking to its end.
  absl::StatusOr<uint64_t> Size() const override;

  // 0 bytes beyond the largest offset the system knows (2^63 - 1).
  absl::StatusOr<size_t> Pread(uint64_t offset,
                               std::span<std::byte> buffer) const override;
  absl::Status Pwrite(uint64_t offset,
                      std::span<const std::byte> data) override;
  absl::Status Flush() override;
  absl::Status Truncate(uint64_t size) override;

  // Where the file system cannot punch holes, zeros are written instead.
  absl::Status PunchHole(ByteRange range) override;

  // By posix_fallocate, which writes to each block where the file system cannot
  // reserve. A block device has all its space, and cannot grow.
  absl::Status Allocate(ByteRange range) override;

  // By SEEK_DATA and SEEK_HOLE; the rest of the file where they do not exist.
  absl::StatusOr<ByteRange> NextData(uint64_t offset) const override;

  void Advise(Access access, ByteRange range) const override;
  absl::Status Lock(LockRequest request) override;
  void Unlock() override;

  // The space the file takes on its file system, in bytes (du's number). It is
  // 0 for a block device.
  absl::StatusOr<uint64_t> AllocatedBytes() const;

  FileIdentity identity() const { return identity_; }
  bool is_block_device() const { return is_block_device_; }
  bool writable() const { return writable_; }

 private:
  PosixFile(int descriptor, std::string path, FileIdentity identity,
            bool is_block_device, bool writable);

  // FailedPrecondition, naming `operation`, unless opened for writing.
  absl::Status CheckWritable(const char* operation) const;

  const int descriptor_;
  const std::string path_;
  const FileIdentity identity_;
  const bool is_block_device_;
  const bool writable_;
};

}  // namespace qcow2

#endif  // ENGINE_STORAGE_POSIX_FILE_H_
