// Compressing clusters.
//
// Works on memory only, no I/O.
//
//   Compressor compressor;
//   ASSIGN_OR_RETURN(const auto compressed,
//                    compressor.Shrink(CompressionType::kDeflate, cluster));
//   if (!compressed.has_value()) ...  // is to be written as it is
#ifndef ENGINE_CODEC_DEFLATE_H_
#define ENGINE_CODEC_DEFLATE_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/codec/compression_type.h"

namespace qcow2 {

// Compresses clusters to raw deflate with the window of 4 KiB that all readers
// of the format must have, or to one zstd frame. Keeps the libraries' working
// memory from one cluster to the next. One thread at a time; may be moved.
class Compressor {
 public:
  Compressor();
  ~Compressor();
  Compressor(Compressor&&) noexcept;
  Compressor& operator=(Compressor&&) noexcept;

  // `cluster` compressed, valid until the next call; nothing if that does not
  // make it shorter, by a byte at least. ResourceExhausted if a library gets no
  // memory; InvalidArgument for an unknown type, no bytes or more than 2 GiB.
  absl::StatusOr<std::optional<std::span<const std::byte>>> Shrink(
      CompressionType type, std::span<const std::byte> cluster);

  // The same whether or not it is shorter.
  absl::StatusOr<std::span<const std::byte>> Compress(
      CompressionType type, std::span<const std::byte> cluster);

 private:
  class DeflateStream;
  class ZstdContext;

  std::unique_ptr<DeflateStream> deflate_;
  std::unique_ptr<ZstdContext> zstd_;
  std::vector<std::byte> output_;
};

// `cluster` compressed by a Compressor of its own, whether or not it is
// shorter.
absl::StatusOr<std::vector<std::byte>> CompressCluster(
    CompressionType type, std::span<const std::byte> cluster);

}  // namespace qcow2

#endif  // ENGINE_CODEC_DEFLATE_H_
