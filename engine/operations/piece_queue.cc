#include "engine/operations/piece_queue.h"

#include <algorithm>

#include "engine/status_macros.h"

namespace qcow2 {

absl::StatusOr<GuestExtent> PieceQueue::ExtentAt(uint64_t offset) {
  return known_.At(offset, [&] { return AskForExtent(offset); });
}

absl::StatusOr<GuestExtent> PieceQueue::AskForExtent(uint64_t offset) const {
  const uint64_t most = disk_.size_bytes() - offset;
  if (options_.first_layer_only) return disk_.ExtentAt(offset, most);
  ASSIGN_OR_RETURN(GuestExtent extent, WholeExtentAt(disk_, offset, most));
  if (extent.kind == GuestExtentKind::kUnallocated) {
    extent.kind = GuestExtentKind::kZeros;
  }
  return extent;
}

absl::Status PieceQueue::Extend(Piece& piece) {
  const uint64_t size = disk_.size_bytes();
  const uint64_t begin = piece.offset - piece.offset % options_.alignment_bytes;
  const uint64_t most = std::min(size - begin, options_.piece_bytes);
  uint64_t end = piece.offset + piece.length;
  while (end < begin + most) {
    ASSIGN_OR_RETURN(const GuestExtent next, ExtentAt(end));
    if (next.kind != GuestExtentKind::kData) break;
    end += next.length_bytes;
  }
  const uint64_t tail = end % options_.alignment_bytes;
  if (tail != 0) end += options_.alignment_bytes - tail;
  piece.offset = begin;
  piece.length = std::min(end - begin, most);
  return absl::OkStatus();
}

absl::StatusOr<Piece> PieceQueue::Find() {
  const uint64_t size = disk_.size_bytes();
  const uint64_t before = position_;
  Piece piece;
  while (position_ < size) {
    RETURN_IF_ERROR(control_.CheckCancelled());
    ASSIGN_OR_RETURN(const GuestExtent extent, ExtentAt(position_));
    const bool zeros = extent.kind == GuestExtentKind::kZeros;
    if (extent.kind == GuestExtentKind::kUnallocated ||
        (zeros && options_.skip_zeros)) {
      position_ += extent.length_bytes;
      continue;
    }
    piece = {.offset = position_, .length = extent.length_bytes};
    piece.zeros = zeros;
    // A stretch of the alignment's length is copied whole if any of it is data;
    // what comes before the data in it was passed by as zeros.
    if (!zeros) RETURN_IF_ERROR(Extend(piece));
    position_ = piece.offset + piece.length;
    break;
  }
  piece.covered_bytes = position_ - before;
  piece.number = next_number_;
  if (piece.length > 0) ++next_number_;
  return piece;
}

absl::StatusOr<Piece> PieceQueue::Next() {
  MutexLock held(&mutex_);
  RETURN_IF_ERROR(failure_);
  absl::StatusOr<Piece> piece = Find();
  if (!piece.ok()) {
    failure_ = piece.status();
    changed_.SignalAll();
  } else if (piece->length == 0) {
    done_bytes_ += piece->covered_bytes;
    control_.Report(done_bytes_, disk_.size_bytes());
  }
  return piece;
}

absl::Status PieceQueue::WaitForTurn(const Piece& piece) {
  MutexLock held(&mutex_);
  while (failure_.ok() && done_pieces_ != piece.number) changed_.Wait(&mutex_);
  return failure_;
}

void PieceQueue::Done(const Piece& piece) {
  MutexLock held(&mutex_);
  ++done_pieces_;
  changed_.SignalAll();
  done_bytes_ += piece.covered_bytes;
  control_.Report(done_bytes_, disk_.size_bytes());
}

void PieceQueue::Fail(const absl::Status& status) {
  MutexLock held(&mutex_);
  if (failure_.ok()) failure_ = status;
  changed_.SignalAll();
}

absl::Status PieceQueue::status() const {
  MutexLock held(&mutex_);
  return failure_;
}

}  // namespace qcow2
