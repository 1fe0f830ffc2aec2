// Any bytes are a header that encodes back to the same bytes, and the verdict
// copes with any header.
#include <algorithm>
#include <vector>

#include "engine/format/header.h"
#include "fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = qcow2::fuzz::InputBytes(data, size);
  const qcow2::Header header = qcow2::Header::Decode(input);
  const std::vector<std::byte> encoded = header.Encode();
  FUZZ_CHECK(encoded.size() == header.encoded_size());
  const size_t present = std::min(encoded.size(), input.size());
  FUZZ_CHECK(
      std::equal(input.begin(), input.begin() + present, encoded.begin()));
  FUZZ_CHECK(qcow2::Header::Decode(encoded).Encode() == encoded);

  const uint64_t issues = qcow2::HeaderIssues(header);
  FUZZ_CHECK(((issues & qcow2::kHeaderCutShort) != 0) ==
             (header.bytes_missing != 0));
  // A draft header is never a healthy one.
  if (qcow2::LooksLikeDraftV3(header)) {
    FUZZ_CHECK((issues & qcow2::kHeaderBadLength) != 0);
  }
  return 0;
}
