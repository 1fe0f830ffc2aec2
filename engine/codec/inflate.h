// Decompressing compressed clusters.
//
// Works on memory only, no I/O. Takes any bytes: what is wrong with them comes
// back as a status.
//
//   Decompressor decompressor;
//   std::vector<std::byte> cluster(geometry.cluster_size());
//   RETURN_IF_ERROR(decompressor.InflateExactly(CompressionType::kDeflate,
//                                               data, cluster));
#ifndef ENGINE_CODEC_INFLATE_H_
#define ENGINE_CODEC_INFLATE_H_

#include <cstddef>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "engine/codec/compression_type.h"

namespace qcow2 {

// Keeps the libraries' working memory from one cluster to the next. One thread
// at a time; may be moved.
class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;

  // Fills `one_cluster_out` with what `input` decompresses to. `input` is what
  // a compressed cluster's descriptor allows to be read; bytes behind the
  // compressed data are no error, since the length is known by sectors only.
  //
  // A deflate stream is read until the cluster is full, whether or not it ends
  // there, and may use a window of 32 KiB. A zstd frame must end exactly there.
  //
  // DataLoss, naming what is wrong, for data that is truncated, corrupt, or
  // yields too little (or, zstd, too much); ResourceExhausted if a library gets
  // no memory; InvalidArgument for an unknown type. The output is then
  // undefined.
  absl::Status InflateExactly(CompressionType type,
                              std::span<const std::byte> input,
                              std::span<std::byte> one_cluster_out);

 private:
  class DeflateStream;
  class ZstdContext;

  std::unique_ptr<DeflateStream> deflate_;
  std::unique_ptr<ZstdContext> zstd_;
};

}  // namespace qcow2

#endif  // ENGINE_CODEC_INFLATE_H_
