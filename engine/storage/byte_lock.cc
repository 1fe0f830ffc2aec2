#include "engine/storage/byte_lock.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

constexpr off_t kHeldBase = 100;
constexpr off_t kUnsharedBase = 200;

struct Permission {
  uint32_t mask;
  off_t number;
  const char* doing;
};

constexpr std::array<Permission, 4> kPermissions = {{
    {kLockConsistentRead, 0, "reading"},
    {kLockWrite, 1, "writing"},
    {kLockWriteUnchanged, 2, "rewriting unchanged data"},
    {kLockResize, 3, "resizing"},
}};

struct flock OneByte(decltype(flock::l_type) type, off_t offset) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = offset;
  lock.l_len = 1;
  return lock;
}

// EINVAL comes from systems without OFD locks, the others from file systems
// without locks of any kind.
bool LocksAreMissing(int error) {
  return error == EINVAL || error == ENOLCK || error == ENOSYS ||
         error == EOPNOTSUPP;
}

// What was found about one byte.
enum class Probe { kFree, kTaken, kNoLocks };

// Read-locks the byte for `wanted`, else unlocks it.
absl::StatusOr<Probe> SetByte(int descriptor, const std::string& path,
                              off_t offset, bool wanted) {
  struct flock lock = OneByte(wanted ? F_RDLCK : F_UNLCK, offset);
  if (fcntl(descriptor, F_OFD_SETLK, &lock) == 0) return Probe::kFree;
  if (errno == EAGAIN || errno == EACCES) return Probe::kTaken;
  if (LocksAreMissing(errno)) return Probe::kNoLocks;
  return absl::ErrnoToStatus(
      errno, absl::StrCat("cannot lock byte ", offset, " of '", path, "'"));
}

// Whether somebody else has any lock on the byte.
absl::StatusOr<Probe> ProbeByte(int descriptor, const std::string& path,
                                off_t offset) {
  struct flock lock = OneByte(F_WRLCK, offset);
  if (fcntl(descriptor, F_OFD_GETLK, &lock) == 0) {
    return lock.l_type == F_UNLCK ? Probe::kFree : Probe::kTaken;
  }
  if (LocksAreMissing(errno)) return Probe::kNoLocks;
  return absl::ErrnoToStatus(
      errno, absl::StrCat("cannot look at the lock on byte ", offset, " of '",
                          path, "'"));
}

absl::Status Conflict(const std::string& path, const char* what,
                      const Permission& permission) {
  return absl::UnavailableError(absl::StrCat("'", path, "' is in use: ", what,
                                             " ", permission.doing, " it"));
}

absl::Status StateClaims(int descriptor, const std::string& path,
                         LockRequest request) {
  for (const Permission& permission : kPermissions) {
    ASSIGN_OR_RETURN(const Probe held,
                     SetByte(descriptor, path, kHeldBase + permission.number,
                             (request.held & permission.mask) != 0));
    ASSIGN_OR_RETURN(
        const Probe unshared,
        SetByte(descriptor, path, kUnsharedBase + permission.number,
                (request.shared & permission.mask) == 0));
    // QEMU only ever takes read locks; a write lock is some other program's.
    if (held == Probe::kTaken || unshared == Probe::kTaken) {
      return Conflict(path, "another process has locked out", permission);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckClaims(int descriptor, const std::string& path,
                         LockRequest request) {
  for (const Permission& permission : kPermissions) {
    if ((request.held & permission.mask) != 0) {
      ASSIGN_OR_RETURN(
          const Probe unshared,
          ProbeByte(descriptor, path, kUnsharedBase + permission.number));
      if (unshared == Probe::kTaken) {
        return Conflict(path, "another process does not allow", permission);
      }
    }
    if ((request.shared & permission.mask) == 0) {
      ASSIGN_OR_RETURN(
          const Probe held,
          ProbeByte(descriptor, path, kHeldBase + permission.number));
      if (held == Probe::kTaken) {
        return Conflict(path, "another process has it open for", permission);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AcquireByteLocks(int descriptor, const std::string& path,
                              LockRequest request) {
  // Claims first, then the look at others': of two processes that do so at the
  // same time at least one sees the other, so that never both go on.
  absl::Status status = StateClaims(descriptor, path, request);
  if (status.ok()) status = CheckClaims(descriptor, path, request);
  if (!status.ok()) ReleaseByteLocks(descriptor);
  return status;
}

void ReleaseByteLocks(int descriptor) {
  for (const Permission& permission : kPermissions) {
    for (const off_t base : {kHeldBase, kUnsharedBase}) {
      struct flock lock = OneByte(F_UNLCK, base + permission.number);
      // Nothing can be done about a failure, and closing unlocks as well.
      static_cast<void>(fcntl(descriptor, F_OFD_SETLK, &lock));
    }
  }
}

}  // namespace qcow2
