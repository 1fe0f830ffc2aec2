// Compressing clusters.
//
// Works on memory only, no I/O.
#ifndef ENGINE_CODEC_DEFLATE_H_
#define ENGINE_CODEC_DEFLATE_H_

#include <cstddef>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/codec/compression_type.h"

namespace qcow2 {

// `cluster` compressed: raw deflate with the window of 4 KiB that all readers
// of the format must have, or one zstd frame. May be longer than `cluster`, for
// data that does not compress. ResourceExhausted if a library gets no memory;
// InvalidArgument for an unknown type or more than 2 GiB.
absl::StatusOr<std::vector<std::byte>> CompressCluster(
    CompressionType type, std::span<const std::byte> cluster);

}  // namespace qcow2

#endif  // ENGINE_CODEC_DEFLATE_H_
