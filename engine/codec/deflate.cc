#include "engine/codec/deflate.h"

#include <zlib.h>
#include <zstd.h>

#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/codec/zlib_pointers.h"

namespace qcow2 {
namespace {

// 2^12 bytes of window; negative: raw deflate, without zlib's header.
constexpr int kRawDeflateWindow = -12;
// zlib's own default for the memory of its matcher.
constexpr int kMemoryLevel = 8;

absl::StatusOr<std::vector<std::byte>> Deflate(
    std::span<const std::byte> cluster) {
  z_stream stream = {};
  if (const int result =
          deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED,
                       kRawDeflateWindow, kMemoryLevel, Z_DEFAULT_STRATEGY);
      result != Z_OK) {
    return absl::ResourceExhaustedError(
        absl::StrCat("deflate cannot start: zlib error ", result));
  }
  std::vector<std::byte> out(deflateBound(&stream, cluster.size()));
  stream.next_in = ZlibInput(cluster);
  stream.avail_in = static_cast<uInt>(cluster.size());
  stream.next_out = ZlibOutput(out);
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) {
    return absl::InternalError(
        absl::StrCat("deflate did not finish: zlib result ", result));
  }
  return out;
}

absl::StatusOr<std::vector<std::byte>> ZstdFrame(
    std::span<const std::byte> cluster) {
  std::vector<std::byte> out(ZSTD_compressBound(cluster.size()));
  const size_t size = ZSTD_compress(out.data(), out.size(), cluster.data(),
                                    cluster.size(), ZSTD_CLEVEL_DEFAULT);
  if (ZSTD_isError(size)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("zstd cannot compress: ", ZSTD_getErrorName(size)));
  }
  out.resize(size);
  return out;
}

}  // namespace

absl::StatusOr<std::vector<std::byte>> CompressCluster(
    CompressionType type, std::span<const std::byte> cluster) {
  // Leaves room for what deflate adds to data that does not compress.
  if (cluster.size() > std::numeric_limits<uint32_t>::max() / 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot compress ", cluster.size(), " bytes at once"));
  }
  switch (type) {
    case CompressionType::kDeflate:
      return Deflate(cluster);
    case CompressionType::kZstd:
      return ZstdFrame(cluster);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown compression type ", static_cast<uint32_t>(type)));
}

}  // namespace qcow2
