// Any bytes are a snapshot table whose entries lie behind each other and encode
// back to the same bytes.
#include <algorithm>
#include <vector>

#include "engine/format/geometry.h"
#include "engine/format/snapshot_table.h"
#include "fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = qcow2::fuzz::InputBytes(data, size);
  const qcow2::Geometry geometry = *qcow2::Geometry::Create(16, 4, false);
  uint64_t offset = 0;
  for (const auto& located : qcow2::DecodeSnapshotTable(input, ~uint64_t{0})) {
    FUZZ_CHECK(located.offset == offset && offset < size);
    const std::vector<std::byte> encoded = located.entry.Encode();
    FUZZ_CHECK(encoded.size() <= size - offset);
    FUZZ_CHECK(std::equal(encoded.begin(), encoded.end(),
                          input.begin() + static_cast<ptrdiff_t>(offset)));
    FUZZ_CHECK(located.entry.complete() ==
               (located.entry.size_bytes() == encoded.size()));
    const uint32_t issues = qcow2::SnapshotIssues(located.entry, geometry, 3);
    FUZZ_CHECK(located.entry.complete() ==
               ((issues & qcow2::kSnapshotCutShort) == 0));
    located.entry.vm_state_size();
    located.entry.disk_size();
    offset += located.entry.padded_size_bytes();
  }
  // The table ends with the input, or with an entry that is cut short.
  FUZZ_CHECK(offset >= size);
  return 0;
}
