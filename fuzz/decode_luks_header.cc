// Any bytes are a LUKS header that encodes back to the same bytes, and the
// verdicts cope with any header. The first 8 bytes are the area's length.
#include <algorithm>

#include "engine/format/byte_order.h"
#include "engine/format/luks_header.h"
#include "fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = qcow2::fuzz::InputBytes(data, size);
  const uint64_t area_length = qcow2::LoadBe64Padded(input, 0);
  const auto bytes = input.subspan(std::min<size_t>(size, 8));
  const qcow2::LuksHeader header = qcow2::LuksHeader::Decode(bytes);
  const auto encoded = header.Encode();
  const size_t present = std::min(bytes.size(), encoded.size());
  FUZZ_CHECK(
      std::equal(bytes.begin(), bytes.begin() + present, encoded.begin()));
  FUZZ_CHECK(qcow2::LuksHeader::Decode(encoded) == header);
  qcow2::LuksHeaderIssues(header);
  for (uint64_t i = 0; i < qcow2::kLuksKeySlots; ++i) {
    qcow2::LuksSlotIssues(header, i, area_length);
  }
  return 0;
}
