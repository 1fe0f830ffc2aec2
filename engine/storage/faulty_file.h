// FaultyFile: another File that fails when told to, so that a test can walk
// through every operation that may go wrong.
#ifndef ENGINE_STORAGE_FAULTY_FILE_H_
#define ENGINE_STORAGE_FAULTY_FILE_H_

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"
#include "engine/storage/file_operation.h"
#include "engine/storage/forwarding_file.h"

namespace qcow2 {

// Which operations fail and how.
struct Fault {
  FileOperation operation;
  // The operations of the kind to let pass first, counted from FailOn.
  uint64_t skip = 0;
  // Whether those after the first failing one fail as well.
  bool for_good = false;
  int error = EIO;
  // A Pwrite that fails has written this many bytes of its data by then.
  size_t written_first = 0;
};

// Without a fault told, everything is handed on to the file underneath.
class FaultyFile : public ForwardingFile {
 public:
  using ForwardingFile::ForwardingFile;

  // Sets the fault of its kind of operation, in place of an earlier one. An
  // Unlock cannot fail, a fault for it never comes true.
  void FailOn(const Fault& fault);

  // Any Pread that touches `range` fails with EIO, as of a bad sector.
  void FailReadsIn(ByteRange range);

  // Growing past `size`, or reserving space there, fails with ENOSPC, a Pwrite
  // after having written what fits, as on a full disk.
  void SetCapacity(uint64_t size) { capacity_ = size; }

  // Takes all faults back.
  void Heal();

  // How many operations failed because of a fault.
  uint64_t failures() const;

  absl::StatusOr<size_t> Pread(uint64_t offset,
                               std::span<std::byte> buffer) const override;
  absl::Status Pwrite(uint64_t offset,
                      std::span<const std::byte> data) override;
  absl::Status Flush() override;
  absl::Status Truncate(uint64_t size) override;
  absl::Status PunchHole(ByteRange range) override;
  absl::Status Allocate(ByteRange range) override;
  absl::Status Lock(LockRequest request) override;

 private:
  // The fault that the next operation of this kind, now counted, meets.
  std::optional<Fault> Meet(FileOperation operation) const;

  // OK, or the error of the fault that an operation of this kind meets.
  absl::Status Try(FileOperation operation) const;
  absl::Status Fail(int error) const;

  mutable std::mutex mutex_;
  // `skip` counts down.
  mutable std::map<FileOperation, Fault> faults_;
  mutable uint64_t failures_ = 0;
  std::vector<ByteRange> unreadable_;
  uint64_t capacity_ = std::numeric_limits<uint64_t>::max();
};

}  // namespace qcow2

#endif  // ENGINE_STORAGE_FAULTY_FILE_H_
