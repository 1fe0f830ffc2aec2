#include "engine/image/dirty_bits.h"

#include <algorithm>
#include <bit>

namespace qcow2 {
namespace {

uint64_t BitCount(uint64_t disk_size_bytes, uint32_t granularity_bits) {
  if (disk_size_bytes == 0) return 0;
  return ((disk_size_bytes - 1) >> granularity_bits) + 1;
}

// The bits [first, last] of a byte.
std::byte MaskOf(uint64_t first, uint64_t last) {
  const uint32_t from = 0xffu << first;
  const uint32_t to = 0xffu >> (7 - last);
  return static_cast<std::byte>(from & to);
}

}  // namespace

void SetBits(std::span<std::byte> bytes, uint64_t first, uint64_t count) {
  if (count == 0) return;
  const uint64_t last = first + count - 1;
  const uint64_t first_byte = first / 8;
  const uint64_t last_byte = last / 8;
  if (first_byte == last_byte) {
    bytes[first_byte] |= MaskOf(first % 8, last % 8);
    return;
  }
  bytes[first_byte] |= MaskOf(first % 8, 7);
  std::fill(bytes.begin() + static_cast<ptrdiff_t>(first_byte) + 1,
            bytes.begin() + static_cast<ptrdiff_t>(last_byte), std::byte{0xff});
  bytes[last_byte] |= MaskOf(0, last % 8);
}

void ClearBitsFrom(std::span<std::byte> bytes, uint64_t first) {
  if (first / 8 >= bytes.size()) return;
  bytes[first / 8] &= ~MaskOf(first % 8, 7);
  std::fill(bytes.begin() + static_cast<ptrdiff_t>(first / 8) + 1, bytes.end(),
            std::byte{0});
}

uint64_t CountBits(std::span<const std::byte> bytes) {
  uint64_t count = 0;
  for (const std::byte byte : bytes) {
    count +=
        static_cast<uint64_t>(std::popcount(std::to_integer<uint8_t>(byte)));
  }
  return count;
}

DirtyBits::DirtyBits(uint64_t disk_size_bytes, uint32_t granularity_bits)
    : disk_size_bytes_(disk_size_bytes),
      granularity_bits_(granularity_bits),
      bit_count_(BitCount(disk_size_bytes, granularity_bits)) {}

uint64_t DirtyBits::BitsOf(uint64_t page) const {
  return std::min(kPageBits, bit_count_ - page * kPageBits);
}

void DirtyBits::SetInPage(uint64_t page, uint64_t first, uint64_t count) {
  const auto [found, is_new] = pages_.try_emplace(page);
  std::vector<std::byte>& bytes = found->second;
  if (bytes.empty() && !is_new) return;
  if (count == BitsOf(page)) {
    bytes = {};
    return;
  }
  if (is_new) bytes.resize(kPageBytes);
  SetBits(bytes, first, count);
}

void DirtyBits::Set(uint64_t offset, uint64_t length) {
  if (length == 0 || offset >= disk_size_bytes_) return;
  length = std::min(length, disk_size_bytes_ - offset);
  uint64_t bit = offset >> granularity_bits_;
  const uint64_t end = ((offset + length - 1) >> granularity_bits_) + 1;
  while (bit < end) {
    const uint64_t page = bit / kPageBits;
    const uint64_t piece_end = std::min(end, (page + 1) * kPageBits);
    SetInPage(page, bit % kPageBits, piece_end - bit);
    bit = piece_end;
  }
}

bool DirtyBits::Get(uint64_t offset) const {
  const uint64_t bit = offset >> granularity_bits_;
  const auto found = pages_.find(bit / kPageBits);
  if (found == pages_.end() || bit >= bit_count_) return false;
  if (found->second.empty()) return true;
  const std::byte byte = found->second[bit % kPageBits / 8];
  return (byte & MaskOf(bit % 8, bit % 8)) != std::byte{0};
}

bool DirtyBits::Touches(uint64_t first, uint64_t length) const {
  if (pages_.empty() || length == 0) return false;
  const uint64_t last = (first + length - 1) / kPageBytes;
  for (uint64_t page = first / kPageBytes; page <= last; ++page) {
    if (pages_.contains(page)) return true;
  }
  return false;
}

void DirtyBits::OrInto(uint64_t first, std::span<std::byte> bytes) const {
  const uint64_t end = first + bytes.size();
  for (uint64_t at = first; at < end;) {
    const uint64_t page = at / kPageBytes;
    const uint64_t piece_end = std::min(end, (page + 1) * kPageBytes);
    const auto piece = bytes.subspan(at - first, piece_end - at);
    const auto found = pages_.find(page);
    if (found != pages_.end() && found->second.empty()) {
      const uint64_t bits = std::min(piece_end * 8, bit_count_);
      if (bits > at * 8) SetBits(piece, 0, bits - at * 8);
    } else if (found != pages_.end()) {
      const std::byte* from = found->second.data() + at % kPageBytes;
      for (size_t i = 0; i < piece.size(); ++i) piece[i] |= from[i];
    }
    at = piece_end;
  }
}

}  // namespace qcow2
