#include "tests/engine/variants.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/codec/sector_cipher.h"
#include "engine/status_macros.h"
#include "engine/storage/forwarding_file.h"

namespace qcow2 {
namespace {

EngineVariant Variant(std::string name, uint32_t version, uint32_t cluster_bits,
                      uint32_t refcount_bits) {
  EngineVariant variant;
  variant.name = std::move(name);
  variant.create.version = version;
  variant.create.cluster_bits = cluster_bits;
  variant.create.refcount_bits = refcount_bits;
  // Some hundred clusters, the last of them cut, but no more than 3 MiB.
  const uint64_t cluster = uint64_t{1} << cluster_bits;
  variant.create.virtual_size =
      std::min<uint64_t>(300 * cluster, uint64_t{3} << 20) + 512;
  return variant;
}

}  // namespace

std::vector<EngineVariant> EngineVariants() {
  std::vector<EngineVariant> all;
  all.push_back(Variant("v2_512", 2, 9, 16));
  all.push_back(Variant("v2_64k", 2, 16, 16));
  for (const uint32_t bits : {1, 2, 4, 8, 16, 32, 64}) {
    all.push_back(
        Variant(absl::StrCat("refcount_", bits), 3, 9 + bits % 5, bits));
  }
  for (uint32_t bits = kMinClusterBits; bits <= kMaxClusterBits; bits += 3) {
    all.push_back(Variant(absl::StrCat("cluster_", 1 << bits), 3, bits, 16));
  }
  EngineVariant lazy = Variant("lazy_refcounts", 3, 12, 16);
  lazy.create.lazy_refcounts = true;
  all.push_back(lazy);
  EngineVariant zstd = Variant("zstd", 3, 13, 16);
  zstd.create.compression_type = CompressionType::kZstd;
  all.push_back(zstd);
  for (const uint32_t bits : {14, 16, 18}) {
    EngineVariant extended =
        Variant(absl::StrCat("extended_l2_", 1 << bits), 3, bits, 16);
    extended.create.extended_l2 = true;
    all.push_back(extended);
  }
  EngineVariant data_file = Variant("data_file", 3, 12, 16);
  data_file.create.data_file = "data";
  all.push_back(data_file);
  data_file.name = "data_file_raw";
  data_file.create.data_file_raw = true;
  all.push_back(data_file);
  data_file.name = "data_file_extended_l2";
  data_file.create.cluster_bits = 14;
  data_file.create.extended_l2 = true;
  data_file.create.data_file_raw = false;
  all.push_back(data_file);
  EngineVariant aes = Variant("aes", 2, 12, 16);
  aes.create.crypt_method = kCryptAes;
  aes.password = "open sesame";
  all.push_back(aes);
  EngineVariant preallocated = Variant("preallocated", 3, 12, 16);
  preallocated.create.preallocation = Preallocation::kMetadata;
  all.push_back(preallocated);
  preallocated.name = "preallocated_extended_l2";
  preallocated.create.cluster_bits = 14;
  preallocated.create.extended_l2 = true;
  all.push_back(preallocated);
  return all;
}

std::vector<EngineVariant> SmallVariants() {
  std::vector<EngineVariant> small;
  for (const EngineVariant& variant : EngineVariants()) {
    if (!variant.create.data_file.empty()) continue;
    if (variant.create.cluster_bits > 16) continue;
    small.push_back(variant);
  }
  return small;
}

absl::StatusOr<std::unique_ptr<Image>> EngineVariant::Open(
    File& file, File& data_file, ImageOptions options) const {
  if (!create.data_file.empty()) {
    options.data_file = std::make_unique<ForwardingFile>(data_file);
  }
  if (!password.empty()) {
    ASSIGN_OR_RETURN(options.cipher, SectorCipher::CreateLegacyAes(
                                         std::as_bytes(std::span(password))));
  }
  return Image::Open(std::make_unique<ForwardingFile>(file),
                     std::move(options));
}

}  // namespace qcow2
