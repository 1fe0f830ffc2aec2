// DirtyBits: which stretches of a disk are dirty, in memory: one bit for each
// 2^granularity_bits bytes, kept only where something is set.
//
// Pure bookkeeping, no I/O. The bits are numbered as in the format: bit n is
// bit n % 8, counted from the lowest, of byte n / 8.
#ifndef ENGINE_IMAGE_DIRTY_BITS_H_
#define ENGINE_IMAGE_DIRTY_BITS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace qcow2 {

// Sets the bits [first, first + count) of `bytes`.
void SetBits(std::span<std::byte> bytes, uint64_t first, uint64_t count);
// Clears the bits of `bytes` from `first` on.
void ClearBitsFrom(std::span<std::byte> bytes, uint64_t first);
// How many bits of `bytes` are set.
uint64_t CountBits(std::span<const std::byte> bytes);

class DirtyBits {
 public:
  // No bit is set. `granularity_bits` is at most 63.
  DirtyBits(uint64_t disk_size_bytes, uint32_t granularity_bits);

  uint32_t granularity_bits() const { return granularity_bits_; }
  uint64_t bit_count() const { return bit_count_; }

  // Sets the bits of all that [offset, offset + length) touches; what lies
  // behind the disk's end is left out.
  void Set(uint64_t offset, uint64_t length);
  // Whether the byte at `offset` is dirty.
  bool Get(uint64_t offset) const;
  // Whether a bit may be set in the `length` bytes of bits from byte `first`
  // on. Never false where one is.
  bool Touches(uint64_t first, uint64_t length) const;
  // Sets in `bytes`, which are the bytes of bits from byte `first` on, what is
  // set here.
  void OrInto(uint64_t first, std::span<std::byte> bytes) const;

 private:
  static constexpr uint64_t kPageBytes = 4096;
  static constexpr uint64_t kPageBits = kPageBytes * 8;

  void SetInPage(uint64_t page, uint64_t first, uint64_t count);
  // Bits of that page that stand for something.
  uint64_t BitsOf(uint64_t page) const;

  const uint64_t disk_size_bytes_;
  const uint32_t granularity_bits_;
  const uint64_t bit_count_;
  // Pages by number, where a bit is set; without bytes where all are.
  absl::flat_hash_map<uint64_t, std::vector<std::byte>> pages_;
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_DIRTY_BITS_H_
