#include "engine/operations/compare.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "engine/image/whole_extent.h"
#include "engine/operations/zero_bytes.h"
#include "engine/status_macros.h"
#include "engine/storage/page_buffer.h"

namespace qcow2 {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

class Comparison {
 public:
  Comparison(GuestDisk& a, GuestDisk& b, const CompareOptions& options)
      : a_(a), b_(b), options_(options) {}

  absl::StatusOr<CompareResult> Run();

 private:
  // Where bytes of [begin, end), which both disks have, differ first.
  absl::StatusOr<std::optional<uint64_t>> InContents(uint64_t begin,
                                                     uint64_t end);
  // What both disks have; `result` gets a difference if there is one.
  absl::Status CompareCommon(uint64_t end, CompareResult& result);
  // What only the longer disk has.
  absl::Status CompareRest(GuestDisk& longer, uint64_t begin,
                           CompareResult& result);
  absl::StatusOr<std::optional<uint64_t>> FirstNonZero(GuestDisk& disk,
                                                       uint64_t begin,
                                                       uint64_t end);

  GuestDisk& a_;
  GuestDisk& b_;
  const CompareOptions& options_;
  PageBuffer buffer_a_;
  PageBuffer buffer_b_;
};

bool IsData(const GuestExtent& extent) {
  return extent.kind == GuestExtentKind::kData;
}

absl::StatusOr<std::optional<uint64_t>> Comparison::InContents(uint64_t begin,
                                                               uint64_t end) {
  const std::span<std::byte> bytes_a = buffer_a_.Take(end - begin);
  const std::span<std::byte> bytes_b = buffer_b_.Take(end - begin);
  RETURN_IF_ERROR(a_.Read(begin, bytes_a));
  RETURN_IF_ERROR(b_.Read(begin, bytes_b));
  // Many bytes at a time; only where there is a difference, one by one.
  if (std::memcmp(bytes_a.data(), bytes_b.data(), bytes_a.size()) == 0) {
    return std::nullopt;
  }
  const auto [in_a, in_b] =
      std::mismatch(bytes_a.begin(), bytes_a.end(), bytes_b.begin());
  return begin + static_cast<uint64_t>(in_a - bytes_a.begin());
}

absl::StatusOr<std::optional<uint64_t>> Comparison::FirstNonZero(
    GuestDisk& disk, uint64_t begin, uint64_t end) {
  const std::span<std::byte> bytes = buffer_a_.Take(end - begin);
  RETURN_IF_ERROR(disk.Read(begin, bytes));
  if (AllZeros(bytes)) return std::nullopt;
  const auto found =
      std::find_if(bytes.begin(), bytes.end(),
                   [](std::byte byte) { return byte != std::byte{0}; });
  return begin + static_cast<uint64_t>(found - bytes.begin());
}

absl::Status Comparison::CompareCommon(uint64_t end, CompareResult& result) {
  const uint64_t total = std::max(a_.size_bytes(), b_.size_bytes());
  KnownExtent known_a;
  KnownExtent known_b;
  for (uint64_t at = 0; at < end;) {
    RETURN_IF_ERROR(options_.control.CheckCancelled());
    ASSIGN_OR_RETURN(const GuestExtent in_a, known_a.At(at, [&] {
      return WholeExtentAt(a_, at, end - at);
    }));
    ASSIGN_OR_RETURN(const GuestExtent in_b, known_b.At(at, [&] {
      return WholeExtentAt(b_, at, end - at);
    }));
    uint64_t length = std::min(in_a.length_bytes, in_b.length_bytes);
    if (options_.strict && in_a.kind != in_b.kind) {
      result.difference = DiskDifference::kAllocation;
      result.offset = at;
      return absl::OkStatus();
    }
    if (IsData(in_a) || IsData(in_b)) {
      length = std::min(length, kPieceBytes);
      std::optional<uint64_t> difference;
      if (IsData(in_a) && IsData(in_b)) {
        ASSIGN_OR_RETURN(difference, InContents(at, at + length));
      } else {
        ASSIGN_OR_RETURN(difference,
                         FirstNonZero(IsData(in_a) ? a_ : b_, at, at + length));
      }
      if (difference.has_value()) {
        result.difference = DiskDifference::kContents;
        result.offset = *difference;
        return absl::OkStatus();
      }
    }
    at += length;
    options_.control.Report(at, total);
  }
  return absl::OkStatus();
}

absl::Status Comparison::CompareRest(GuestDisk& longer, uint64_t begin,
                                     CompareResult& result) {
  const uint64_t end = longer.size_bytes();
  KnownExtent known;
  for (uint64_t at = begin; at < end;) {
    RETURN_IF_ERROR(options_.control.CheckCancelled());
    ASSIGN_OR_RETURN(const GuestExtent extent, known.At(at, [&] {
      return WholeExtentAt(longer, at, end - at);
    }));
    uint64_t length = extent.length_bytes;
    if (IsData(extent)) {
      length = std::min(length, kPieceBytes);
      ASSIGN_OR_RETURN(const std::optional<uint64_t> difference,
                       FirstNonZero(longer, at, at + length));
      if (difference.has_value()) {
        result.difference = DiskDifference::kContents;
        result.offset = *difference;
        return absl::OkStatus();
      }
    }
    at += length;
    options_.control.Report(at, end);
  }
  return absl::OkStatus();
}

absl::StatusOr<CompareResult> Comparison::Run() {
  CompareResult result;
  const uint64_t size_a = a_.size_bytes();
  const uint64_t size_b = b_.size_bytes();
  result.same_size = size_a == size_b;
  if (options_.strict && !result.same_size) {
    result.difference = DiskDifference::kSize;
    return result;
  }
  const uint64_t common = std::min(size_a, size_b);
  RETURN_IF_ERROR(CompareCommon(common, result));
  if (result.difference != DiskDifference::kNone || result.same_size) {
    return result;
  }
  RETURN_IF_ERROR(CompareRest(size_a > size_b ? a_ : b_, common, result));
  return result;
}

}  // namespace

absl::StatusOr<CompareResult> CompareDisks(GuestDisk& a, GuestDisk& b,
                                           const CompareOptions& options) {
  return Comparison(a, b, options).Run();
}

}  // namespace qcow2
