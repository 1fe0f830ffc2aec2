// Whether a file is a qcow2 image, by what its first bytes say, and which other
// files it names.
//
// Pure, no I/O.
#ifndef CLI_FLEET_HEADER_LOOK_H_
#define CLI_FLEET_HEADER_LOOK_H_

#include <cstddef>
#include <span>
#include <string>

namespace qcow2::cli {

// Bytes at the start of a file that LookAtHeader() wants to see.
inline constexpr size_t kHeaderLookBytes = size_t{64} << 10;

enum class Look {
  kOther,     // does not begin with the magic
  kDoubtful,  // begins with it, but what follows is no header
  kImage,     // a qcow2 image, sound or damaged
};

struct HeaderLook {
  Look look = Look::kOther;
  // As stored in the image; empty where there is none.
  std::string backing_file;
  std::string backing_format;
  std::string data_file;
};

// Looks at the first bytes of a file, kHeaderLookBytes or all it has. A damaged
// header still is one as long as most of its fields can be right; a raw disk
// whose guest wrote the magic at its front is none.
HeaderLook LookAtHeader(std::span<const std::byte> first_bytes);

}  // namespace qcow2::cli

#endif  // CLI_FLEET_HEADER_LOOK_H_
