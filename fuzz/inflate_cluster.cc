// Any bytes inflate to exactly one cluster or to an error that says why; and
// what is compressed here inflates to what it was. The first byte chooses type
// and cluster size.
#include <algorithm>
#include <vector>

#include "engine/codec/deflate.h"
#include "engine/codec/inflate.h"
#include "fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto type = static_cast<qcow2::CompressionType>(data[0] & 1);
  std::vector<std::byte> cluster(size_t{512} << (data[0] >> 1) % 8);
  const auto input = qcow2::fuzz::InputBytes(data + 1, size - 1);
  qcow2::Decompressor decompressor;
  const absl::Status status = decompressor.InflateExactly(type, input, cluster);
  FUZZ_CHECK(status.ok() || (status.code() == absl::StatusCode::kDataLoss &&
                             !status.message().empty()));

  std::fill(cluster.begin(), cluster.end(), std::byte{0});
  std::copy_n(input.begin(), std::min(input.size(), cluster.size()),
              cluster.begin());
  const auto compressed = qcow2::CompressCluster(type, cluster);
  FUZZ_CHECK(compressed.ok());
  std::vector<std::byte> again(cluster.size());
  FUZZ_CHECK(decompressor.InflateExactly(type, *compressed, again).ok());
  FUZZ_CHECK(again == cluster);
  return 0;
}
