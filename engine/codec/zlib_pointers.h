// Pointers to bytes as zlib wants them. zlib's interface predates both
// std::byte and const; this is the one place that bridges them.
#ifndef ENGINE_CODEC_ZLIB_POINTERS_H_
#define ENGINE_CODEC_ZLIB_POINTERS_H_

#include <zlib.h>

#include <cstddef>
#include <span>

namespace qcow2 {

// zlib only reads from next_in, although its type does not say so.
inline z_const Bytef* ZlibInput(std::span<const std::byte> bytes) {
  return const_cast<z_const Bytef*>(
      static_cast<const Bytef*>(static_cast<const void*>(bytes.data())));
}

inline Bytef* ZlibOutput(std::span<std::byte> bytes) {
  return static_cast<Bytef*>(static_cast<void*>(bytes.data()));
}

}  // namespace qcow2

#endif  // ENGINE_CODEC_ZLIB_POINTERS_H_
