// Any bytes are a refcount block of every width: its counts, written to another
// block one by one in any order, give the same bytes. The first byte chooses
// the width.
#include <algorithm>
#include <vector>

#include "engine/format/refcount_block.h"
#include "fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint32_t order = data[0] % 7;
  auto block = qcow2::fuzz::InputBytes(data + 1, size - 1);
  block = block.first(block.size() / 8 * 8);
  const uint64_t counts = qcow2::RefcountsIn(block.size(), order);
  FUZZ_CHECK((counts << order) == block.size() * 8);
  std::vector<std::byte> copy(block.size(), std::byte{data[0]});
  for (uint64_t i = counts; i-- > 0;) {
    const uint64_t count = qcow2::GetRefcount(block, order, i);
    FUZZ_CHECK(count <= ~uint64_t{0} >> (64 - (1 << order)));
    qcow2::SetRefcount(copy, order, i, count);
  }
  FUZZ_CHECK(std::equal(block.begin(), block.end(), copy.begin()));
  return 0;
}
