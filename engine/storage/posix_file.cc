#include "engine/storage/posix_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/storage/byte_lock.h"
#include "engine/storage/system_call.h"

namespace qcow2 {
namespace {

constexpr uint64_t kOffsetMax = std::numeric_limits<off_t>::max();

absl::Status SystemError(int error, const char* operation,
                         const std::string& path, ByteRange range) {
  return absl::ErrnoToStatus(
      error, absl::StrCat(operation, " ", range.length, " bytes at offset ",
                          range.offset, " of '", path, "'"));
}

// What the file is instead of something an image can be kept in, or nothing.
std::string_view UnusableKind(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO (named pipe)";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode)) return "a character device";
  if (!S_ISREG(mode) && !S_ISBLK(mode)) return "a special file";
  return {};
}

absl::Status CheckKind(const struct stat& status, const std::string& path) {
  const std::string_view kind = UnusableKind(status.st_mode);
  if (kind.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "'", path, "' is ", absl::string_view(kind.data(), kind.size()),
      ", not a regular file or block device"));
}

// Null: nothing to say.
std::optional<int> AdviceFor(Access access) {
  switch (access) {
    case Access::kNormal:
      return POSIX_FADV_NORMAL;
    case Access::kRandom:
      return POSIX_FADV_RANDOM;
    case Access::kSequential:
      return POSIX_FADV_SEQUENTIAL;
    case Access::kWillNeed:
    case Access::kRowWillNeed:
      return POSIX_FADV_WILLNEED;
    case Access::kWillFollow:
      return std::nullopt;
    case Access::kDontNeed:
      return POSIX_FADV_DONTNEED;
  }
  return POSIX_FADV_NORMAL;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PosixFile>> PosixFile::Open(
    const std::string& path, OpenOptions options) {
  // Looked at before it is opened, because opening alone can do something to a
  // device (a tape rewinds), and after, because the path may name another file
  // by then. O_NONBLOCK keeps that other file from making us wait.
  struct stat status;
  if (stat(path.c_str(), &status) != 0) {
    return SystemError(errno, "cannot open", path);
  }
  RETURN_IF_ERROR(CheckKind(status, path));
  const int flags = (options.writable ? O_RDWR : O_RDONLY) | O_CLOEXEC |
                    O_NOCTTY | O_NONBLOCK;
  const int descriptor =
      Uninterrupted([&] { return open(path.c_str(), flags); });
  if (descriptor == -1) return SystemError(errno, "cannot open", path);
  return Adopt(descriptor, path, options);
}

absl::StatusOr<std::unique_ptr<PosixFile>> PosixFile::Adopt(
    int descriptor, const std::string& name, OpenOptions options) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) {
    const int error = errno;
    close(descriptor);
    return SystemError(error, "cannot look at", name);
  }
  if (absl::Status kind = CheckKind(status, name); !kind.ok()) {
    close(descriptor);
    return kind;
  }
  return std::unique_ptr<PosixFile>(new PosixFile(
      descriptor, name, {.device = status.st_dev, .inode = status.st_ino},
      S_ISBLK(status.st_mode), options.writable));
}

PosixFile::PosixFile(int descriptor, std::string path, FileIdentity identity,
                     bool is_block_device, bool writable)
    : descriptor_(descriptor),
      path_(std::move(path)),
      identity_(identity),
      is_block_device_(is_block_device),
      writable_(writable) {}

PosixFile::~PosixFile() { close(descriptor_); }

absl::StatusOr<uint64_t> PosixFile::Size() const {
  if (is_block_device_) {
    const off_t end = lseek(descriptor_, 0, SEEK_END);
    if (end == -1) return SystemError(errno, "cannot find the size of", path_);
    return static_cast<uint64_t>(end);
  }
  struct stat status;
  if (fstat(descriptor_, &status) != 0) {
    return SystemError(errno, "cannot find the size of", path_);
  }
  return static_cast<uint64_t>(status.st_size);
}

absl::StatusOr<size_t> PosixFile::Pread(uint64_t offset,
                                        std::span<std::byte> buffer) const {
  if (offset > kOffsetMax) return 0;
  const size_t wanted = std::min<uint64_t>(buffer.size(), kOffsetMax - offset);
  size_t done = 0;
  while (done < wanted) {
    const ssize_t count = Uninterrupted([&] {
      return pread(descriptor_, buffer.data() + done, wanted - done,
                   static_cast<off_t>(offset + done));
    });
    if (count == -1) {
      return SystemError(errno, "cannot read", path_,
                         {offset + done, wanted - done});
    }
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  return done;
}

absl::Status PosixFile::CheckWritable(const char* operation) const {
  if (writable_) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "cannot ", operation, " '", path_, "': it is open for reading only"));
}

absl::Status PosixFile::Pwrite(uint64_t offset,
                               std::span<const std::byte> data) {
  RETURN_IF_ERROR(CheckWritable("write"));
  if (offset > kOffsetMax || data.size() > kOffsetMax - offset) {
    return SystemError(EFBIG, "cannot write", path_, {offset, data.size()});
  }
  size_t done = 0;
  while (done < data.size()) {
    const ssize_t count = Uninterrupted([&] {
      return pwrite(descriptor_, data.data() + done, data.size() - done,
                    static_cast<off_t>(offset + done));
    });
    if (count <= 0) {
      // Taking no byte without an error would make this loop go on for ever.
      return SystemError(count == 0 ? EIO : errno, "cannot write", path_,
                         {offset + done, data.size() - done});
    }
    done += static_cast<size_t>(count);
  }
  return absl::OkStatus();
}

absl::Status PosixFile::Flush() {
  if (Uninterrupted([&] { return fdatasync(descriptor_); }) != 0) {
    return SystemError(errno, "cannot flush", path_);
  }
  return absl::OkStatus();
}

absl::Status PosixFile::Truncate(uint64_t size) {
  RETURN_IF_ERROR(CheckWritable("resize"));
  const int error = size > kOffsetMax ? EFBIG
                    : Uninterrupted([&] {
                        return ftruncate(descriptor_, static_cast<off_t>(size));
                      }) == 0
                        ? 0
                        : errno;
  if (error == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(
      error, absl::StrCat("cannot set the length of '", path_, "' to ", size));
}

absl::Status PosixFile::PunchHole(ByteRange range) {
  RETURN_IF_ERROR(CheckWritable("punch a hole into"));
  ASSIGN_OR_RETURN(const uint64_t size, Size());
  if (range.length == 0 || range.offset >= size) return absl::OkStatus();
  range.length = std::min(range.length, size - range.offset);
  const int result = Uninterrupted([&] {
    return fallocate(descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     static_cast<off_t>(range.offset),
                     static_cast<off_t>(range.length));
  });
  if (result == 0) return absl::OkStatus();
  if (errno == EOPNOTSUPP || errno == ENOSYS) return WriteZeros(*this, range);
  return SystemError(errno, "cannot punch a hole of", path_, range);
}

absl::Status PosixFile::Allocate(ByteRange range) {
  RETURN_IF_ERROR(CheckWritable("reserve space for"));
  if (range.length == 0) return absl::OkStatus();
  int error = 0;
  if (range.offset > kOffsetMax || range.length > kOffsetMax - range.offset) {
    error = EFBIG;
  } else if (is_block_device_) {
    ASSIGN_OR_RETURN(const uint64_t size, Size());
    error = range.offset + range.length > size ? ENOSPC : 0;
  } else {
    // Returns its error and leaves errno alone.
    do {
      error = posix_fallocate(descriptor_, static_cast<off_t>(range.offset),
                              static_cast<off_t>(range.length));
    } while (error == EINTR);
  }
  if (error == 0) return absl::OkStatus();
  return SystemError(error, "cannot reserve", path_, range);
}

absl::StatusOr<ByteRange> PosixFile::NextData(uint64_t offset) const {
  ASSIGN_OR_RETURN(const uint64_t size, Size());
  if (offset >= size) return ByteRange{size, 0};
  const off_t data = lseek(descriptor_, static_cast<off_t>(offset), SEEK_DATA);
  if (data == -1) {
    if (errno == ENXIO) return ByteRange{size, 0};
    if (errno == EINVAL || errno == EOPNOTSUPP) {
      return ByteRange{offset, size - offset};
    }
    return SystemError(errno, "cannot look for data in", path_,
                       {offset, size - offset});
  }
  const auto begin = static_cast<uint64_t>(data);
  // The end of the file is a hole, so that failing here means a file that
  // changes meanwhile: calling too much data is always right.
  const off_t hole = lseek(descriptor_, data, SEEK_HOLE);
  const uint64_t end = hole == -1 ? size : static_cast<uint64_t>(hole);
  return ByteRange{begin, std::max(begin, end) - begin};
}

void PosixFile::Advise(Access access, ByteRange range) const {
  const std::optional<int> advice = AdviceFor(access);
  if (!advice.has_value() || range.offset > kOffsetMax) return;
  const uint64_t length = std::min(range.length, kOffsetMax - range.offset);
  // Not being listened to is no error: only time is lost.
  static_cast<void>(posix_fadvise(descriptor_, static_cast<off_t>(range.offset),
                                  static_cast<off_t>(length), *advice));
}

absl::Status PosixFile::Lock(LockRequest request) {
  return AcquireByteLocks(descriptor_, path_, request);
}

void PosixFile::Unlock() { ReleaseByteLocks(descriptor_); }

absl::StatusOr<uint64_t> PosixFile::AllocatedBytes() const {
  struct stat status;
  if (fstat(descriptor_, &status) != 0) {
    return SystemError(errno, "cannot find the allocated size of", path_);
  }
  // st_blocks counts units of 512 bytes whatever the file system's block size.
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

}  // namespace qcow2
