#include "tests/engine/image_matrix.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace qcow2 {
namespace {

// The order of MatrixFactors().
enum Factor : size_t {
  kVersion,
  kClusterSize,
  kRefcountBits,
  kCompression,
  kExtendedL2,
  kEncryption,
  kDataFile,
  kBacking,
  kSnapshots,
  kBitmap,
  kLazyRefcounts,
  kPreallocation,
  kMaker,
};

constexpr uint32_t kClusterBits[] = {9, 12, 16, 18};
constexpr uint32_t kRefcountWidths[] = {1, 8, 16, 64};
constexpr uint32_t kCryptMethods[] = {kCryptNone, kCryptAes, kCryptLuks};

CreateOptions CreateOptionsOf(const FactorRow& row) {
  CreateOptions create;
  create.version = row[kVersion] == 0 ? 2 : 3;
  create.cluster_bits = kClusterBits[row[kClusterSize]];
  create.refcount_bits = kRefcountWidths[row[kRefcountBits]];
  create.compression_type = row[kCompression] == 0 ? CompressionType::kDeflate
                                                   : CompressionType::kZstd;
  create.extended_l2 = row[kExtendedL2] != 0;
  create.crypt_method = kCryptMethods[row[kEncryption]];
  if (row[kDataFile] != 0) create.data_file = "data";
  create.data_file_raw = row[kDataFile] == 2;
  create.lazy_refcounts = row[kLazyRefcounts] != 0;
  if (row[kPreallocation] != 0) {
    create.preallocation = Preallocation::kMetadata;
  }
  // Some hundred clusters, the last of them cut, but not much more than 1 MiB.
  const uint64_t cluster = uint64_t{1} << create.cluster_bits;
  create.virtual_size =
      std::min<uint64_t>(200 * cluster, uint64_t{5} << 18) + 512;
  return create;
}

// Rules of the format and of both sides: which options go together.
bool CanBe(const FactorRow& row) {
  CreateOptions create = CreateOptionsOf(row);
  if (row[kBacking] != 0) {
    create.backing_file = "base";
    create.backing_format = "raw";
  }
  // The area itself is made later.
  if (create.crypt_method == kCryptLuks) create.luks_area.resize(4096);
  if (!CheckCreateOptions(create).ok()) return false;
  const bool encrypted = create.crypt_method != kCryptNone;
  // Clusters that are preallocated hold zeros, which do not decrypt to zeros.
  if (encrypted && IsPreallocated(create)) return false;
  // A snapshot needs counts of 2, and the data in the same file.
  if (row[kSnapshots] != 0 &&
      (create.refcount_bits == 1 || !create.data_file.empty())) {
    return false;
  }
  return row[kBitmap] == 0 || create.version == 3;
}

}  // namespace

const std::vector<MatrixFactor>& MatrixFactors() {
  static const auto* const factors = new std::vector<MatrixFactor>{
      {"version", {"2", "3"}},
      {"cluster", {"512", "4K", "64K", "256K"}},
      {"refcount", {"1", "8", "16", "64"}},
      {"compression", {"zlib", "zstd"}},
      {"extended_l2", {"off", "on"}},
      {"encryption", {"none", "aes", "luks"}},
      {"data_file", {"none", "own", "raw"}},
      {"backing", {"none", "raw", "qcow2"}},
      {"snapshots", {"none", "some"}},
      {"bitmap", {"none", "one"}},
      {"lazy", {"off", "on"}},
      {"preallocation", {"off", "metadata"}},
      {"maker", {"engine", "qemu"}},
  };
  return *factors;
}

MatrixImage ImageOfRow(const FactorRow& row) {
  MatrixImage image;
  for (size_t i = 0; i < row.size(); ++i) {
    // What is not there needs no mention.
    const MatrixFactor& factor = MatrixFactors()[i];
    const std::string& value = factor.values[row[i]];
    if (value == "none" || value == "off") continue;
    absl::StrAppend(&image.name, image.name.empty() ? "" : "_", factor.name,
                    "_", value);
  }
  image.image.create = CreateOptionsOf(row);
  image.image.maker = row[kMaker] == 0 ? Side::kEngine : Side::kQemu;
  if (row[kBacking] != 0) {
    image.image.backing_format =
        MatrixFactors()[kBacking].values[row[kBacking]];
  }
  image.snapshots = row[kSnapshots] != 0;
  image.bitmap = row[kBitmap] != 0;
  return image;
}

std::vector<FactorRow> PossibleImages() {
  std::vector<size_t> sizes;
  for (const MatrixFactor& factor : MatrixFactors()) {
    sizes.push_back(factor.values.size());
  }
  return AllRows(sizes, CanBe);
}

std::string PairName(const FactorPair& pair) {
  const MatrixFactor& first = MatrixFactors()[pair.first_factor];
  const MatrixFactor& second = MatrixFactors()[pair.second_factor];
  return absl::StrCat(first.name, "=", first.values[pair.first_value], " ",
                      second.name, "=", second.values[pair.second_value]);
}

}  // namespace qcow2
