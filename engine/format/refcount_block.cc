#include "engine/format/refcount_block.h"

#include <cassert>

#include "engine/format/byte_order.h"

namespace qcow2 {
namespace {

// Where a count of less than a byte lies.
struct SubBytePlace {
  uint64_t byte;
  uint32_t shift;
  uint32_t mask;
};

SubBytePlace PlaceOf(uint32_t refcount_order, uint64_t index) {
  const uint32_t width = 1u << refcount_order;
  const uint32_t per_byte_bits = 3 - refcount_order;
  const uint64_t in_byte = index & ((1u << per_byte_bits) - 1);
  return {index >> per_byte_bits, static_cast<uint32_t>(in_byte) * width,
          (1u << width) - 1};
}

}  // namespace

uint64_t GetRefcount(std::span<const std::byte> block, uint32_t refcount_order,
                     uint64_t index) {
  assert(index < RefcountsIn(block.size(), refcount_order));
  switch (refcount_order) {
    case 3:
      return std::to_integer<uint64_t>(block[index]);
    case 4:
      return LoadBe16(&block[index * 2]);
    case 5:
      return LoadBe32(&block[index * 4]);
    case 6:
      return LoadBe64(&block[index * 8]);
    default: {
      const SubBytePlace place = PlaceOf(refcount_order, index);
      const uint32_t byte = std::to_integer<uint32_t>(block[place.byte]);
      return byte >> place.shift & place.mask;
    }
  }
}

void SetRefcount(std::span<std::byte> block, uint32_t refcount_order,
                 uint64_t index, uint64_t value) {
  assert(index < RefcountsIn(block.size(), refcount_order));
  switch (refcount_order) {
    case 3:
      block[index] = static_cast<std::byte>(value);
      return;
    case 4:
      StoreBe16(&block[index * 2], static_cast<uint16_t>(value));
      return;
    case 5:
      StoreBe32(&block[index * 4], static_cast<uint32_t>(value));
      return;
    case 6:
      StoreBe64(&block[index * 8], value);
      return;
    default: {
      const SubBytePlace place = PlaceOf(refcount_order, index);
      const uint32_t byte = std::to_integer<uint32_t>(block[place.byte]);
      const uint32_t others = byte & ~(place.mask << place.shift);
      const uint32_t count = static_cast<uint32_t>(value) & place.mask;
      block[place.byte] = static_cast<std::byte>(others | count << place.shift);
    }
  }
}

}  // namespace qcow2
