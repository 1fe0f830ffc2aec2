// Any bytes are a bitmap directory whose entries lie behind each other and
// encode back to the same bytes.
#include <algorithm>
#include <vector>

#include "engine/format/bitmap_directory.h"
#include "engine/format/geometry.h"
#include "fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = qcow2::fuzz::InputBytes(data, size);
  const qcow2::Geometry geometry = *qcow2::Geometry::Create(9, 4, false);
  uint64_t offset = 0;
  for (const auto& located :
       qcow2::DecodeBitmapDirectory(input, ~uint64_t{0})) {
    FUZZ_CHECK(located.offset == offset && offset < size);
    const std::vector<std::byte> encoded = located.entry.Encode();
    FUZZ_CHECK(encoded.size() <= size - offset);
    FUZZ_CHECK(std::equal(encoded.begin(), encoded.end(),
                          input.begin() + static_cast<ptrdiff_t>(offset)));
    const uint32_t issues = qcow2::BitmapIssues(located.entry, geometry);
    FUZZ_CHECK(located.entry.complete() ==
               ((issues & qcow2::kBitmapCutShort) == 0));
    qcow2::BitmapTableEntriesFor(located.entry.table_offset.value(),
                                 located.entry.granularity_bits, geometry);
    offset += located.entry.padded_size_bytes();
  }
  // The directory ends with the input, or with an entry that is cut short.
  FUZZ_CHECK(offset >= size);
  return 0;
}
