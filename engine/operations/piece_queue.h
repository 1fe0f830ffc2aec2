// PieceQueue: cuts a disk into the pieces that have to be copied, and hands
// them out to several threads.
//
// Asks the disk for its extents; reads no data.
#ifndef ENGINE_OPERATIONS_PIECE_QUEUE_H_
#define ENGINE_OPERATIONS_PIECE_QUEUE_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/image/guest_disk.h"
#include "engine/image/whole_extent.h"
#include "engine/mutex.h"
#include "engine/operations/operation_control.h"

namespace qcow2 {

// A stretch of the disk to be copied. Length 0: there are no more.
struct Piece {
  uint64_t offset = 0;
  uint64_t length = 0;
  // Known to be zeros, without reading.
  bool zeros = false;
  // 0 for the first piece handed out, and so on.
  uint64_t number = 0;
  // Bytes of the disk that are done with when this piece is, along with those
  // skipped before it.
  uint64_t covered_bytes = 0;
};

struct PieceQueueOptions {
  // Data pieces begin at multiples of this, and end there or with the disk.
  uint64_t alignment_bytes = 1;
  // Data pieces are no longer than this, a multiple of the alignment.
  uint64_t piece_bytes = 0;
  // Zeros are left out.
  bool skip_zeros = false;
  // What the disk's first layer says nothing of is left out; else it is looked
  // for below, and zeros if it is nowhere.
  bool first_layer_only = false;
};

class PieceQueue {
 public:
  // `disk` and `control` must outlive the queue.
  PieceQueue(GuestDisk& disk, const PieceQueueOptions& options,
             const OperationControl& control)
      : disk_(disk), options_(options), control_(control) {}

  // The next piece. Cancelled, the error of an earlier call, or that of Fail:
  // then there will be no more.
  absl::StatusOr<Piece> Next();
  // Waits until all pieces before this one are done. An error as above.
  absl::Status WaitForTurn(const Piece& piece);
  // To be called once for each piece.
  void Done(const Piece& piece);
  // Ends the handing out and all waiting. The first error stays.
  void Fail(const absl::Status& status);
  absl::Status status() const;

 private:
  absl::StatusOr<Piece> Find() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<GuestExtent> ExtentAt(uint64_t offset)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<GuestExtent> AskForExtent(uint64_t offset) const;
  // Makes data up to where it ends, or the piece is long enough.
  absl::Status Extend(Piece& piece) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  GuestDisk& disk_;
  const PieceQueueOptions options_;
  const OperationControl& control_;
  mutable Mutex mutex_;
  // A piece is done, or there was a failure.
  CondVar changed_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  uint64_t position_ ABSL_GUARDED_BY(mutex_) = 0;
  KnownExtent known_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_number_ ABSL_GUARDED_BY(mutex_) = 0;
  // Pieces that are done. Those before a turn are all of them only where
  // everybody waits for his turn.
  uint64_t done_pieces_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t done_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace qcow2

#endif  // ENGINE_OPERATIONS_PIECE_QUEUE_H_
