// A hash that is the same on every machine and in every version of the program.
//
// Pure, no I/O.
#ifndef CLI_STABLE_HASH_H_
#define CLI_STABLE_HASH_H_

#include <cstdint>
#include <string_view>

namespace qcow2::cli {

// FNV-1a of 64 bits, and its bits mixed once more (the finalizer of
// MurmurHash3), so that the remainder of a division is as good as any bits.
constexpr uint64_t StableHash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccd;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53;
  return hash ^ (hash >> 33);
}

}  // namespace qcow2::cli

#endif  // CLI_STABLE_HASH_H_
