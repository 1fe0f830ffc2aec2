#include "tests/engine/disk_model.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/codec/deflate.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

constexpr uint64_t kMaxRequestBytes = uint64_t{1} << 20;

absl::Status Differs(uint64_t offset, std::byte read, std::byte expected) {
  return absl::DataLossError(absl::StrCat("byte ", offset, " reads ",
                                          static_cast<int>(read), ", not ",
                                          static_cast<int>(expected)));
}

absl::Status CompareBytes(std::span<const std::byte> read,
                          std::span<const std::byte> expected,
                          uint64_t offset) {
  // Equal nearly always, and then found so in no time.
  if (std::memcmp(read.data(), expected.data(), read.size()) == 0) {
    return absl::OkStatus();
  }
  const auto [a, b] = std::mismatch(read.begin(), read.end(), expected.begin());
  return Differs(offset + static_cast<uint64_t>(a - read.begin()), *a, *b);
}

}  // namespace

void DiskModel::Attempt(uint64_t offset, std::span<const std::byte> data) {
  attempted_ = bytes_;
  std::copy(data.begin(), data.end(),
            attempted_.begin() + static_cast<ptrdiff_t>(offset));
}

absl::Status DiskModel::Compare(Image& image) const {
  std::vector<std::byte> read(bytes_.size());
  RETURN_IF_ERROR(image.Read(0, read));
  return CompareBytes(read, bytes_, 0);
}

absl::Status DiskModel::Write(Image& image, uint64_t offset, uint64_t length) {
  std::vector<std::byte> data(length);
  // Runs of equal bytes, now and then of zeros.
  const auto fill = static_cast<std::byte>(Below(4) == 0 ? 0 : random_());
  std::fill(data.begin(), data.end(), fill);
  data[Below(length)] = static_cast<std::byte>(random_());
  last_ = absl::StrCat("write ", offset, "+", length);
  Attempt(offset, data);
  RETURN_IF_ERROR(image.Write(offset, data));
  bytes_ = attempted_;
  return absl::OkStatus();
}

absl::Status DiskModel::WriteCompressed(Image& image, uint64_t cluster) {
  const uint64_t size = image.geometry().cluster_size();
  const uint64_t offset = cluster * size;
  if (offset + size > bytes_.size()) return absl::OkStatus();
  std::vector<std::byte> data(size, static_cast<std::byte>(random_()));
  const uint64_t noise = Below(std::min<uint64_t>(size / 2, 8192));
  for (uint64_t i = 0; i < noise; ++i) {
    data[i] = static_cast<std::byte>(random_());
  }
  const HeaderArea area = image.header_area();
  ASSIGN_OR_RETURN(
      const std::vector<std::byte> compressed,
      CompressCluster(area.header.compression_type == kCompressionZstd
                          ? CompressionType::kZstd
                          : CompressionType::kDeflate,
                      data));
  if (compressed.size() >= size) return absl::OkStatus();
  last_ = absl::StrCat("compressed write ", offset);
  Attempt(offset, data);
  RETURN_IF_ERROR(image.WriteCompressed(offset, compressed));
  bytes_ = attempted_;
  return absl::OkStatus();
}

absl::Status DiskModel::Zero(Image& image, uint64_t offset, uint64_t length) {
  const ZeroMode mode = Below(2) == 0 ? ZeroMode::kKeep : ZeroMode::kUnmap;
  last_ = absl::StrCat("zero ", offset, "+", length,
                       mode == ZeroMode::kKeep ? " (keep)" : " (unmap)");
  Attempt(offset, std::vector<std::byte>(length));
  RETURN_IF_ERROR(image.WriteZeroes(offset, length, mode));
  bytes_ = attempted_;
  return absl::OkStatus();
}

absl::Status DiskModel::Discard(Image& image, uint64_t offset,
                                uint64_t length) {
  last_ = absl::StrCat("discard ", offset, "+", length);
  Attempt(offset, std::vector<std::byte>(length));
  RETURN_IF_ERROR(image.Discard(offset, length));
  // What was given back reads as zeros, what was not as before.
  std::vector<std::byte> read(length);
  RETURN_IF_ERROR(image.Read(offset, read));
  for (uint64_t i = 0; i < length; ++i) {
    std::byte& expected = bytes_[offset + i];
    if (read[i] == std::byte{0}) expected = std::byte{0};
    if (read[i] != expected) return Differs(offset + i, read[i], expected);
  }
  attempted_ = bytes_;
  return absl::OkStatus();
}

absl::Status DiskModel::ReadBack(Image& image, uint64_t offset,
                                 uint64_t length) {
  last_ = absl::StrCat("read ", offset, "+", length);
  std::vector<std::byte> read(length);
  RETURN_IF_ERROR(image.Read(offset, read));
  return CompareBytes(read, std::span(bytes_).subspan(offset, length), offset);
}

absl::Status DiskModel::Step(Image& image) {
  const uint64_t cluster = image.geometry().cluster_size();
  const bool plain =
      image.core().data_file == nullptr && image.core().cipher == nullptr;
  uint64_t offset = Below(bytes_.size());
  uint64_t length = 1 + Below(Below(3) == 0 ? 6 * cluster : cluster);
  if (Below(3) == 0) offset -= offset % cluster;
  if (Below(4) == 0) length = (length + cluster - 1) / cluster * cluster;
  length = std::min({length, bytes_.size() - offset, kMaxRequestBytes});
  const uint64_t kind = Below(20);
  if (kind < 9) return Write(image, offset, length);
  if (kind < 12) return Zero(image, offset, length);
  if (kind < 14) return Discard(image, offset, length);
  if (kind < 16 && plain) return WriteCompressed(image, offset / cluster);
  if (kind < 19) return ReadBack(image, offset, length);
  last_ = "flush";
  return image.Flush();
}

}  // namespace qcow2
