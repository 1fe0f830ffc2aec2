#include "engine/codec/inflate.h"

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <cstdint>
#include <limits>

#include "absl/strings/str_cat.h"
#include "engine/codec/zlib_pointers.h"

namespace qcow2 {
namespace {

// The largest window of deflate, so as to read every writer's data. Negative:
// raw deflate, without zlib's header.
constexpr int kRawDeflateWindow = -15;

absl::Status TooShort(const char* what, uint64_t got, uint64_t cluster_size) {
  return absl::DataLossError(absl::StrCat(what, " too short: ends after ", got,
                                          " of ", cluster_size, " bytes"));
}

absl::Status Truncated(const char* what, uint64_t input_size) {
  return absl::DataLossError(absl::StrCat(what, " truncated: goes on past the ",
                                          input_size, " bytes there are"));
}

absl::Status ZstdError(size_t result, uint64_t input_size,
                       uint64_t cluster_size) {
  switch (ZSTD_getErrorCode(result)) {
    case ZSTD_error_srcSize_wrong:
      return Truncated("zstd frame", input_size);
    case ZSTD_error_dstSize_tooSmall:
      return absl::DataLossError(absl::StrCat(
          "zstd frame too long: holds more than ", cluster_size, " bytes"));
    case ZSTD_error_memory_allocation:
      return absl::ResourceExhaustedError("no memory for zstd");
    default:
      return absl::DataLossError(
          absl::StrCat("zstd frame corrupt: ", ZSTD_getErrorName(result)));
  }
}

}  // namespace

class Decompressor::DeflateStream {
 public:
  ~DeflateStream() {
    if (initialized_) inflateEnd(&stream_);
  }

  absl::Status Inflate(std::span<const std::byte> input,
                       std::span<std::byte> output) {
    if (absl::Status status = Reset(); !status.ok()) return status;
    stream_.next_in = ZlibInput(input);
    stream_.avail_in = static_cast<uInt>(input.size());
    stream_.next_out = ZlibOutput(output);
    stream_.avail_out = static_cast<uInt>(output.size());
    const int result = inflate(&stream_, Z_FINISH);
    if (result == Z_DATA_ERROR || result == Z_NEED_DICT) {
      return absl::DataLossError(absl::StrCat(
          "deflate stream corrupt after ", input.size() - stream_.avail_in,
          " bytes: ", stream_.msg != nullptr ? stream_.msg : "bad data"));
    }
    if (result == Z_MEM_ERROR) {
      return absl::ResourceExhaustedError("no memory for inflate");
    }
    if (stream_.avail_out == 0) return absl::OkStatus();
    if (result == Z_STREAM_END) {
      return TooShort("deflate stream", output.size() - stream_.avail_out,
                      output.size());
    }
    return Truncated("deflate stream", input.size());
  }

 private:
  absl::Status Reset() {
    const int result = initialized_ ? inflateReset(&stream_)
                                    : inflateInit2(&stream_, kRawDeflateWindow);
    if (result != Z_OK) {
      return absl::ResourceExhaustedError(
          absl::StrCat("inflate cannot start: zlib error ", result));
    }
    initialized_ = true;
    return absl::OkStatus();
  }

  z_stream stream_ = {};
  bool initialized_ = false;
};

class Decompressor::ZstdContext {
 public:
  ~ZstdContext() { ZSTD_freeDCtx(context_); }

  absl::Status Inflate(std::span<const std::byte> input,
                       std::span<std::byte> output) {
    if (context_ == nullptr) context_ = ZSTD_createDCtx();
    if (context_ == nullptr) {
      return absl::ResourceExhaustedError("no memory for zstd");
    }
    // The frame is decompressed in one piece, straight into the output. That
    // needs no window buffer, whose size a hostile frame could choose.
    const size_t frame_size =
        ZSTD_findFrameCompressedSize(input.data(), input.size());
    if (ZSTD_isError(frame_size)) {
      return ZstdError(frame_size, input.size(), output.size());
    }
    const size_t got = ZSTD_decompressDCtx(
        context_, output.data(), output.size(), input.data(), frame_size);
    if (ZSTD_isError(got)) {
      return ZstdError(got, input.size(), output.size());
    }
    if (got < output.size()) {
      return TooShort("zstd frame", got, output.size());
    }
    return absl::OkStatus();
  }

 private:
  ZSTD_DCtx* context_ = nullptr;
};

Decompressor::Decompressor()
    : deflate_(std::make_unique<DeflateStream>()),
      zstd_(std::make_unique<ZstdContext>()) {}
Decompressor::~Decompressor() = default;
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;

absl::Status Decompressor::InflateExactly(
    CompressionType type, std::span<const std::byte> input,
    std::span<std::byte> one_cluster_out) {
  constexpr size_t kMaxBytes = std::numeric_limits<uInt>::max();
  if (input.size() > kMaxBytes || one_cluster_out.size() > kMaxBytes ||
      one_cluster_out.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot decompress ",
                                                   input.size(), " bytes to ",
                                                   one_cluster_out.size()));
  }
  switch (type) {
    case CompressionType::kDeflate:
      return deflate_->Inflate(input, one_cluster_out);
    case CompressionType::kZstd:
      return zstd_->Inflate(input, one_cluster_out);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown compression type ", static_cast<uint32_t>(type)));
}

}  // namespace qcow2
