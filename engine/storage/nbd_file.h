// NbdFile: an export of an NBD server as a File. It has the length it has, and
// no locks: who else uses it cannot be seen.
//
// All it knows of the world is a connection (nbd_connection.h).
#ifndef ENGINE_STORAGE_NBD_FILE_H_
#define ENGINE_STORAGE_NBD_FILE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"
#include "engine/storage/nbd_connection.h"

namespace qcow2 {

struct NbdOpenOptions {
  // Whether Pwrite, PunchHole and Flush are wanted.
  bool writable = false;
  NbdOptions connection = {};
  // How many answers about holes that go on behind them are waited for in all.
  // What is not told by then is taken for data.
  uint64_t hole_answers = 65536;
};

class NbdFile : public File {
 public:
  // Connects to the export at `address`, for which IsNbdAddress. Messages call
  // it ShownAddress(address). FailedPrecondition where it is to be writable and
  // is not, or cannot be flushed, so that nothing would be safe that was
  // written; else the errors of NbdConnection::Open.
  static absl::StatusOr<std::unique_ptr<NbdFile>> Open(
      const std::string& address, const NbdOpenOptions& options = {});

  std::string name() const override { return name_; }
  absl::StatusOr<uint64_t> Size() const override {
    return connection_->exported().size;
  }

  // Ranges that the server does not take as they are, for its block size, are
  // read with what is around them.
  absl::StatusOr<size_t> Pread(uint64_t offset,
                               std::span<std::byte> buffer) const override;

  // ResourceExhausted past the end. Where the server wants whole blocks, what
  // else is in those at either end is read and written back.
  absl::Status Pwrite(uint64_t offset,
                      std::span<const std::byte> data) override;
  absl::Status Flush() override;

  // FailedPrecondition for any length but the one there is.
  absl::Status Truncate(uint64_t size) override;

  // By the command for zeros, which may give space back; where the server has
  // none they are written.
  absl::Status PunchHole(ByteRange range) override;

  // By the server's answers about base:allocation. Where it takes too many to
  // tell, or the wait is cancelled, the rest is called data.
  absl::StatusOr<ByteRange> NextData(uint64_t offset) const override;

  // kWillNeed and kWillFollow ask the server for the bytes at once, if they are
  // not many; the Pread of them waits for the answer. The others do nothing.
  void Advise(Access access, ByteRange range) const override;

  absl::Status Lock(LockRequest /*request*/) override {
    return absl::OkStatus();
  }
  void Unlock() override {}

 private:
  // Bytes that were asked for and not yet called for.
  struct Ahead {
    ByteRange range;
    NbdConnection::Ticket ticket;
  };
  // What the server said last of a part of the export.
  struct Allocation {
    uint64_t begin = 0;
    uint64_t end = 0;
    std::vector<NbdExtent> extents;  // from `begin` to `end`
  };

  NbdFile(std::unique_ptr<NbdConnection> connection, std::string name,
          const NbdOpenOptions& options);

  uint64_t block_bytes() const { return connection_->exported().block_bytes; }
  // `range` and what else is in the blocks at either end.
  ByteRange WholeBlocks(ByteRange range) const;

  // The parts of Pread, for ranges within the export: for whole blocks, for any
  // range, and for what was asked for before. Returns whether it was.
  absl::Status ReadBlocks(uint64_t offset, std::span<std::byte> buffer) const;
  absl::Status ReadRange(uint64_t offset, std::span<std::byte> buffer) const;
  bool TakeAhead(uint64_t offset, std::span<std::byte> buffer) const;
  void ForgetWhatIsKnown();

  absl::Status CheckWrite(const char* operation, ByteRange range) const;
  absl::Status WriteBlocks(uint64_t offset, std::span<const std::byte> data);

  // Has `allocation_` begin at or before `offset` and end behind it.
  absl::Status AskForAllocation(uint64_t offset) const;

  const std::unique_ptr<NbdConnection> connection_;
  const std::string name_;
  const bool writable_;
  const std::atomic<bool>* const cancel_;

  mutable std::mutex ahead_mutex_;
  mutable std::list<Ahead> ahead_;  // the oldest first
  mutable uint64_t ahead_bytes_ = 0;
  mutable std::mutex allocation_mutex_;
  mutable Allocation allocation_;
  mutable uint64_t hole_answers_left_;
};

}  // namespace qcow2

#endif  // ENGINE_STORAGE_NBD_FILE_H_
