// ReadOnlyFile: another File without its writes. A check is given this one, so
// that it cannot write even by mistake.
#ifndef ENGINE_STORAGE_READ_ONLY_FILE_H_
#define ENGINE_STORAGE_READ_ONLY_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "engine/storage/file.h"
#include "engine/storage/forwarding_file.h"

namespace qcow2 {

// Reads, hints and locks reach the file underneath (a lock changes no byte of
// it); Pwrite, Flush, Truncate, PunchHole and Allocate are FailedPrecondition
// and don't.
class ReadOnlyFile : public ForwardingFile {
 public:
  using ForwardingFile::ForwardingFile;

  absl::Status Pwrite(uint64_t offset,
                      std::span<const std::byte> data) override;
  absl::Status Flush() override;
  absl::Status Truncate(uint64_t size) override;
  absl::Status PunchHole(ByteRange range) override;
  absl::Status Allocate(ByteRange range) override;
};

}  // namespace qcow2

#endif  // ENGINE_STORAGE_READ_ONLY_FILE_H_
