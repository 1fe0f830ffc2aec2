#include "engine/image/raw_disk.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/image/serialized_file.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

constexpr uint64_t kZerosMax = uint64_t{1} << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<RawDisk>> RawDisk::Open(
    std::unique_ptr<File> file, bool writable) {
  if (!file->concurrent()) {
    file = std::make_unique<SerializedFile>(std::move(file));
  }
  ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  return std::unique_ptr<RawDisk>(new RawDisk(std::move(file), size, writable));
}

RawDisk::RawDisk(std::unique_ptr<File> file, uint64_t size, bool writable)
    : file_(std::move(file)), size_(size), writable_(writable) {}

absl::Status RawDisk::CheckRange(const char* operation, uint64_t offset,
                                 uint64_t length) const {
  const uint64_t size = size_bytes();
  if (offset <= size && length <= size - offset) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat(
      "cannot ", operation, " ", length, " bytes at offset ", offset, " of '",
      name(), "': the disk has ", size, " bytes"));
}

absl::Status RawDisk::CheckWrite(const char* operation, uint64_t offset,
                                 uint64_t length) const {
  if (!writable_) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cannot ", operation, " ", length, " bytes at offset ", offset, " of '",
        name(), "': it is open for reading only"));
  }
  return CheckRange(operation, offset, length);
}

absl::Status RawDisk::Read(uint64_t offset, std::span<std::byte> buffer) {
  RETURN_IF_ERROR(CheckRange("read", offset, buffer.size()));
  ASSIGN_OR_RETURN(const size_t count, file_->Pread(offset, buffer));
  if (count == buffer.size()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("'", name(), "' ends at offset ", offset + count,
                   ", it had ", size_bytes(), " bytes when it was opened"));
}

absl::StatusOr<GuestExtent> RawDisk::ExtentAt(uint64_t offset,
                                              uint64_t max_length) {
  RETURN_IF_ERROR(CheckRange("look at", offset, 0));
  const uint64_t length = std::min(max_length, size_bytes() - offset);
  if (length == 0) return GuestExtent{GuestExtentKind::kZeros, 0};
  ASSIGN_OR_RETURN(const ByteRange data, NextData(offset));
  // Where there is no more data the file may end before the disk does.
  if (data.length == 0 || data.offset - offset >= length) {
    return GuestExtent{GuestExtentKind::kZeros, length};
  }
  if (data.offset > offset) {
    return GuestExtent{GuestExtentKind::kZeros, data.offset - offset};
  }
  return GuestExtent{GuestExtentKind::kData, std::min(length, data.length)};
}

absl::StatusOr<ByteRange> RawDisk::NextData(uint64_t offset) {
  {
    MutexLock held(&mutex_);
    if (offset >= data_.offset && offset - data_.offset < data_.length) {
      return ByteRange{offset, data_.length - (offset - data_.offset)};
    }
  }
  ASSIGN_OR_RETURN(const ByteRange data, file_->NextData(offset));
  MutexLock held(&mutex_);
  data_ = data;
  return data;
}

absl::Status RawDisk::Write(uint64_t offset, std::span<const std::byte> data) {
  RETURN_IF_ERROR(CheckWrite("write", offset, data.size()));
  return file_->Pwrite(offset, data);
}

absl::Status RawDisk::WriteZeroes(uint64_t offset, uint64_t length,
                                  ZeroMode mode) {
  RETURN_IF_ERROR(CheckWrite("zero", offset, length));
  if (mode == ZeroMode::kUnmap) return Punch(offset, length);
  const std::vector<std::byte> zeros(std::min(length, kZerosMax));
  while (length > 0) {
    const uint64_t step = std::min<uint64_t>(length, zeros.size());
    RETURN_IF_ERROR(file_->Pwrite(offset, std::span(zeros).first(step)));
    offset += step;
    length -= step;
  }
  return absl::OkStatus();
}

absl::Status RawDisk::Discard(uint64_t offset, uint64_t length) {
  RETURN_IF_ERROR(CheckWrite("discard", offset, length));
  return Punch(offset, length);
}

absl::Status RawDisk::Punch(uint64_t offset, uint64_t length) {
  if (length == 0) return absl::OkStatus();
  absl::Status status = file_->PunchHole({offset, length});
  MutexLock held(&mutex_);
  data_ = {};
  return status;
}

absl::Status RawDisk::Flush() {
  // Nothing can have been written.
  if (!writable_) return absl::OkStatus();
  return file_->Flush();
}

absl::Status RawDisk::Resize(uint64_t size) {
  if (!writable_) return CheckWrite("resize", 0, 0);
  RETURN_IF_ERROR(file_->Truncate(size));
  size_ = size;
  MutexLock held(&mutex_);
  data_ = {};
  return absl::OkStatus();
}

}  // namespace qcow2
