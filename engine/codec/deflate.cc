#include "engine/codec/deflate.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/codec/zlib_pointers.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// 2^12 bytes of window; negative: raw deflate, without zlib's header.
constexpr int kRawDeflateWindow = -12;
// zlib's own default for the memory of its matcher.
constexpr int kMemoryLevel = 8;
// Leaves room for what either library adds to data that does not compress.
constexpr size_t kMaxClusterBytes = std::numeric_limits<uint32_t>::max() / 2;

// More than either library ever needs for `size` bytes.
size_t WorstCase(size_t size) {
  return std::max<size_t>(compressBound(size), ZSTD_compressBound(size));
}

}  // namespace

// Both give the length of what they wrote to `output`, which has room for the
// worst case. (With just enough for what is useful, deflate would not tell
// whether it is done when that is full, and zstd asks for more than it fills.)
class Compressor::DeflateStream {
 public:
  ~DeflateStream() {
    if (initialized_) deflateEnd(&stream_);
  }

  absl::StatusOr<size_t> Deflate(std::span<const std::byte> cluster,
                                 std::span<std::byte> output) {
    RETURN_IF_ERROR(Reset());
    stream_.next_in = ZlibInput(cluster);
    stream_.avail_in = static_cast<uInt>(cluster.size());
    stream_.next_out = ZlibOutput(output);
    stream_.avail_out = static_cast<uInt>(output.size());
    const int result = deflate(&stream_, Z_FINISH);
    if (result != Z_STREAM_END) {
      return absl::InternalError(
          absl::StrCat("deflate did not finish: zlib result ", result));
    }
    return output.size() - stream_.avail_out;
  }

 private:
  absl::Status Reset() {
    const int result =
        initialized_
            ? deflateReset(&stream_)
            : deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED,
                           kRawDeflateWindow, kMemoryLevel, Z_DEFAULT_STRATEGY);
    if (result != Z_OK) {
      return absl::ResourceExhaustedError(
          absl::StrCat("deflate cannot start: zlib error ", result));
    }
    initialized_ = true;
    return absl::OkStatus();
  }

  z_stream stream_ = {};
  bool initialized_ = false;
};

class Compressor::ZstdContext {
 public:
  ~ZstdContext() { ZSTD_freeCCtx(context_); }

  absl::StatusOr<size_t> Compress(std::span<const std::byte> cluster,
                                  std::span<std::byte> output) {
    if (context_ == nullptr) context_ = ZSTD_createCCtx();
    if (context_ == nullptr) {
      return absl::ResourceExhaustedError("no memory for zstd");
    }
    const size_t size =
        ZSTD_compressCCtx(context_, output.data(), output.size(),
                          cluster.data(), cluster.size(), ZSTD_CLEVEL_DEFAULT);
    if (ZSTD_isError(size)) {
      return absl::ResourceExhaustedError(
          absl::StrCat("zstd cannot compress: ", ZSTD_getErrorName(size)));
    }
    return size;
  }

 private:
  ZSTD_CCtx* context_ = nullptr;
};

Compressor::Compressor()
    : deflate_(std::make_unique<DeflateStream>()),
      zstd_(std::make_unique<ZstdContext>()) {}
Compressor::~Compressor() = default;
Compressor::Compressor(Compressor&&) noexcept = default;
Compressor& Compressor::operator=(Compressor&&) noexcept = default;

absl::StatusOr<std::optional<std::span<const std::byte>>> Compressor::Shrink(
    CompressionType type, std::span<const std::byte> cluster) {
  ASSIGN_OR_RETURN(const auto compressed, Compress(type, cluster));
  std::optional<std::span<const std::byte>> shorter;
  if (compressed.size() < cluster.size()) shorter = compressed;
  return shorter;
}

absl::StatusOr<std::span<const std::byte>> Compressor::Compress(
    CompressionType type, std::span<const std::byte> cluster) {
  if (cluster.empty() || cluster.size() > kMaxClusterBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot compress ", cluster.size(), " bytes at once"));
  }
  output_.resize(WorstCase(cluster.size()));
  switch (type) {
    case CompressionType::kDeflate: {
      ASSIGN_OR_RETURN(const size_t size, deflate_->Deflate(cluster, output_));
      return std::span(output_).first(size);
    }
    case CompressionType::kZstd: {
      ASSIGN_OR_RETURN(const size_t size, zstd_->Compress(cluster, output_));
      return std::span(output_).first(size);
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown compression type ", static_cast<uint32_t>(type)));
}

absl::StatusOr<std::vector<std::byte>> CompressCluster(
    CompressionType type, std::span<const std::byte> cluster) {
  Compressor compressor;
  ASSIGN_OR_RETURN(const auto compressed, compressor.Compress(type, cluster));
  return std::vector<std::byte>(compressed.begin(), compressed.end());
}

}  // namespace qcow2
