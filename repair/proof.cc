#include "repair/proof.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/format/byte_order.h"
#include "engine/format/header.h"
#include "engine/format/luks_header.h"
#include "repair/changed_clusters.h"
#include "repair/finding_proof.h"
#include "repair/mapping_proof.h"
#include "repair/metadata_edit.h"
#include "repair/table_soundness.h"

namespace qcow2::repair {
namespace {

using checker::ImageModel;
using Kind = ProofFailure::Kind;

// Bytes of the LUKS header compared at a time.
constexpr uint64_t kPieceBytes = uint64_t{64} * 1024;

void Differs(const std::string& what, ProofLog& log) {
  log.Fail(Kind::kGuestData, absl::StrCat(what, " would change"));
}

// What of the header decides on what the guest reads, beside the tables. An
// image that QEMU refuses to open has nothing in it that could be read.
void ProveHeader(const PlannedRepair& planned, ProofLog& log) {
  const ImageModel& before = planned.graph_before.model;
  const ImageModel& after = planned.graph_after.model;
  if (planned.before.qemu.refused) return;
  if (before.header.size != after.header.size) {
    Differs("the virtual size", log);
  }
  if (before.header.version != after.header.version) {
    Differs("the version", log);
  }
  if (before.header.crypt_method != after.header.crypt_method) {
    Differs("the encryption method", log);
  }
  if (before.header.compression_type != after.header.compression_type) {
    Differs("the compression type", log);
  }
  if (before.backing_file != after.backing_file ||
      before.backing_format != after.backing_format) {
    Differs("the backing file", log);
  }
  // Without the feature bit, a name decides nothing.
  if (before.external_data_file != after.external_data_file ||
      (before.external_data_file &&
       before.data_file_name != after.data_file_name)) {
    Differs("the external data file", log);
  }
}

// Whether a LUKS header may begin at `offset`.
bool IsLuksHeaderAt(const File& image, uint64_t offset) {
  std::array<std::byte, kLuksMagic.size()> magic;
  return ReadZeroFilled(image, offset, magic).ok() && magic == kLuksMagic;
}

// The keys, without which encrypted data is lost.
void ProveLuksHeader(const File& image, const OverlayFile& view,
                     const PlannedRepair& planned, ProofLog& log) {
  const auto& before = planned.graph_before.model.luks_extension;
  const auto& after = planned.graph_after.model.luks_extension;
  if (!before.has_value()) return;
  // A pointer to nothing, in an image that is not encrypted.
  if (planned.graph_before.model.header.crypt_method != kCryptLuks &&
      !IsLuksHeaderAt(image, before->offset.value())) {
    return;
  }
  if (!after.has_value() || after->length < before->length) {
    Differs("the LUKS header", log);
    return;
  }
  const uint64_t file_size = planned.graph_before.model.file_size_bytes;
  const uint64_t start = before->offset.value();
  const uint64_t length =
      std::min(before->length, file_size - std::min(file_size, start));
  std::vector<std::byte> old_bytes;
  std::vector<std::byte> new_bytes;
  for (uint64_t done = 0; done < length && !log.Ended();
       done += old_bytes.size()) {
    old_bytes.resize(std::min(kPieceBytes, length - done));
    new_bytes.resize(old_bytes.size());
    if (!ReadZeroFilled(image, start + done, old_bytes).ok()) continue;
    if (!ReadZeroFilled(view, after->offset.value() + done, new_bytes).ok() ||
        old_bytes != new_bytes) {
      Differs("the LUKS header", log);
      return;
    }
  }
}

bool SameLayout(const Geometry& a, const Geometry& b) {
  return a.cluster_bits() == b.cluster_bits() &&
         a.extended_l2() == b.extended_l2();
}

void ProveGuestData(const File& image, const OverlayFile& view,
                    const PlannedRepair& planned, ProofLog& log) {
  const ImageModel& before = planned.graph_before.model;
  const ImageModel& after = planned.graph_after.model;
  // Without a cluster size nothing could be read.
  if (!before.geometry.has_value()) return;
  if (!after.geometry.has_value() ||
      !SameLayout(*before.geometry, *after.geometry)) {
    Differs("the layout of the image", log);
    return;
  }
  ProveHeader(planned, log);
  ProveLuksHeader(image, view, planned, log);
  const ChangedClusters changed =
      FindChangedClusters(image, view, planned, log);
  ProveMapping(image, view, planned, changed, log);
}

// Whether nothing changes but the feature bit of the external data file that
// the image names, which becomes set, and the bits that are cleared at the end
// of a repair. No table, and no place in one, is another then.
bool OnlySetsDataFileBit(const File& image, const OverlayFile& view,
                         const PlannedRepair& planned) {
  const ImageModel& before = planned.graph_before.model;
  const ImageModel& after = planned.graph_after.model;
  if (before.external_data_file || !after.external_data_file ||
      !before.data_file_name.has_value() ||
      before.data_file_name != after.data_file_name) {
    return false;
  }
  const auto old_size = image.Size();
  const auto new_size = view.Size();
  if (!old_size.ok() || !new_size.ok() || *old_size != *new_size) return false;
  for (const ByteRange& range : view.DirtyRanges()) {
    if (range.offset + range.length > OverlayFile::kGranule) return false;
  }
  std::vector<std::byte> old_bytes(OverlayFile::kGranule);
  std::vector<std::byte> new_bytes(OverlayFile::kGranule);
  if (!ReadZeroFilled(image, 0, old_bytes).ok() ||
      !ReadZeroFilled(view, 0, new_bytes).ok()) {
    return false;
  }
  constexpr uint64_t kMayChange =
      kIncompatibleDataFile | kIncompatibleDirty | kIncompatibleCorrupt;
  const uint64_t old_features = LoadBe64(&old_bytes[kIncompatibleFeaturesAt]);
  const uint64_t new_features = LoadBe64(&new_bytes[kIncompatibleFeaturesAt]);
  if (((old_features ^ new_features) & ~kMayChange) != 0) return false;
  StoreBe64(&new_bytes[kIncompatibleFeaturesAt], old_features);
  return old_bytes == new_bytes;
}

// What the disk reads is not what it read: it is right only if the image is
// damaged without the bit and its tables are sound with it. The data file may
// be damaged or not be there.
void ProveDataFileBit(const PlannedRepair& planned, ProofLog& log) {
  if (planned.before.counts.corruptions == 0) {
    Differs("the external data file", log);
  }
  if (!TablesAreSound(planned.after)) {
    log.Fail(Kind::kNewProblem,
             "the tables would not be sound with an external data file");
  }
}

bool ViewIsUntouched(const File& image, const OverlayFile& view) {
  const auto old_size = image.Size();
  const auto new_size = view.Size();
  return old_size.ok() && new_size.ok() && *old_size == *new_size &&
         view.DirtyRanges().empty();
}

}  // namespace

ProofResult Prove(const File& image, const OverlayFile& view,
                  const PlannedRepair& planned, const ProofOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  ProofLog log(options.max_failures, options.cancel);
  // Of an untouched view there is but one graph, and nothing to prove.
  if (OnlySetsDataFileBit(image, view, planned)) {
    ProveDataFileBit(planned, log);
  } else if (!ViewIsUntouched(image, view)) {
    ProveFindings(planned, log);
    ProveGuestData(image, view, planned, log);
  }
  ProofResult result;
  result.cancelled = log.Cancelled();
  result.failures = log.failures();
  result.failures_omitted = log.omitted();
  result.ok = result.failures.empty() && result.failures_omitted == 0 &&
              !result.cancelled;
  result.statistics = log.statistics;
  const std::chrono::duration<double> elapsed =
      std::chrono::steady_clock::now() - start;
  result.statistics.seconds = elapsed.count();
  return result;
}

}  // namespace qcow2::repair
