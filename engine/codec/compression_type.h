// How an image's compressed clusters are compressed.
#ifndef ENGINE_CODEC_COMPRESSION_TYPE_H_
#define ENGINE_CODEC_COMPRESSION_TYPE_H_

#include <cstdint>

namespace qcow2 {

// The numbers of the header's compression_type field.
enum class CompressionType : uint8_t {
  // Raw deflate: no zlib header, no checksum.
  kDeflate = 0,
  // One Zstandard frame.
  kZstd = 1,
};

}  // namespace qcow2

#endif  // ENGINE_CODEC_COMPRESSION_TYPE_H_
