#include "engine/storage/faulty_file.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// Without sums, as a range may reach to the largest offset there is.
bool Overlap(ByteRange a, ByteRange b) {
  if (a.offset <= b.offset)
    return b.length > 0 && b.offset - a.offset < a.length;
  return a.length > 0 && a.offset - b.offset < b.length;
}

}  // namespace

void FaultyFile::FailOn(const Fault& fault) {
  const std::lock_guard<std::mutex> guard(mutex_);
  faults_.insert_or_assign(fault.operation, fault);
}

void FaultyFile::FailReadsIn(ByteRange range) { unreadable_.push_back(range); }

void FaultyFile::Heal() {
  const std::lock_guard<std::mutex> guard(mutex_);
  faults_.clear();
  unreadable_.clear();
  capacity_ = std::numeric_limits<uint64_t>::max();
}

uint64_t FaultyFile::failures() const {
  const std::lock_guard<std::mutex> guard(mutex_);
  return failures_;
}

std::optional<Fault> FaultyFile::Meet(FileOperation operation) const {
  const std::lock_guard<std::mutex> guard(mutex_);
  const auto found = faults_.find(operation);
  if (found == faults_.end()) return std::nullopt;
  if (found->second.skip > 0) {
    --found->second.skip;
    return std::nullopt;
  }
  const Fault fault = found->second;
  if (!fault.for_good) faults_.erase(found);
  return fault;
}

absl::Status FaultyFile::Fail(int error) const {
  const std::lock_guard<std::mutex> guard(mutex_);
  ++failures_;
  return absl::ErrnoToStatus(
      error, absl::StrCat("made to fail on '", target().name(), "'"));
}

absl::Status FaultyFile::Try(FileOperation operation) const {
  const std::optional<Fault> fault = Meet(operation);
  return fault.has_value() ? Fail(fault->error) : absl::OkStatus();
}

absl::StatusOr<size_t> FaultyFile::Pread(uint64_t offset,
                                         std::span<std::byte> buffer) const {
  RETURN_IF_ERROR(Try(FileOperation::kPread));
  const ByteRange wanted = {offset, buffer.size()};
  if (std::any_of(unreadable_.begin(), unreadable_.end(),
                  [wanted](ByteRange bad) { return Overlap(bad, wanted); })) {
    return Fail(EIO);
  }
  return target().Pread(offset, buffer);
}

absl::Status FaultyFile::Pwrite(uint64_t offset,
                                std::span<const std::byte> data) {
  const std::optional<Fault> fault = Meet(FileOperation::kPwrite);
  if (fault.has_value()) {
    RETURN_IF_ERROR(target().Pwrite(
        offset, data.first(std::min(fault->written_first, data.size()))));
    return Fail(fault->error);
  }
  const uint64_t room = capacity_ - std::min(offset, capacity_);
  if (data.size() > room) {
    RETURN_IF_ERROR(target().Pwrite(offset, data.first(room)));
    return Fail(ENOSPC);
  }
  return target().Pwrite(offset, data);
}

absl::Status FaultyFile::Flush() {
  RETURN_IF_ERROR(Try(FileOperation::kFlush));
  return target().Flush();
}

absl::Status FaultyFile::Truncate(uint64_t size) {
  RETURN_IF_ERROR(Try(FileOperation::kTruncate));
  if (size > capacity_) return Fail(ENOSPC);
  return target().Truncate(size);
}

absl::Status FaultyFile::PunchHole(ByteRange range) {
  RETURN_IF_ERROR(Try(FileOperation::kPunchHole));
  return target().PunchHole(range);
}

absl::Status FaultyFile::Allocate(ByteRange range) {
  RETURN_IF_ERROR(Try(FileOperation::kAllocate));
  if (range.length > 0 &&
      (range.offset > capacity_ || range.length > capacity_ - range.offset)) {
    return Fail(ENOSPC);
  }
  return target().Allocate(range);
}

absl::Status FaultyFile::Lock(LockRequest request) {
  RETURN_IF_ERROR(Try(FileOperation::kLock));
  return target().Lock(request);
}

}  // namespace qcow2
