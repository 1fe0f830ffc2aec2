// What changes by the header alone.
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/format/header.h"
#include "engine/format/header_extension.h"
#include "engine/image/amend.h"
#include "engine/image/create_header.h"
#include "engine/image/new_table.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

HeaderArea Upgraded(const HeaderArea& area) {
  HeaderArea next = area;
  next.header.version = 3;
  next.header.header_length = kHeaderLengthKnown;
  next.header.refcount_order = kRefcountOrderV2;
  if (next.Find(kExtensionFeatureNames) == nullptr) {
    HeaderArea named = next;
    named.extensions.push_back({kExtensionFeatureNames, KnownFeatureNames()});
    // Small clusters keep their room for other things.
    if (next.header.cluster_bits >= kMinFeatureNameClusterBits &&
        named.Encode().ok()) {
      next = std::move(named);
    }
  }
  return next;
}

// What version 3 asks of the snapshots, in a new table; nothing where they have
// it.
absl::Status CompleteSnapshotTable(Metadata& metadata) {
  std::vector<SnapshotEntry> snapshots = metadata.snapshots();
  if (!CompleteSnapshots(snapshots, metadata.header().size)) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const ClusterRun table,
                   WriteNewSnapshotTable(metadata, snapshots));
  return SwitchToSnapshotTable(metadata, table, std::move(snapshots));
}

absl::Status CheckName(const std::string& what, const std::string& name) {
  if (name.find('\0') == std::string::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the ", what, " has a zero byte in it"));
}

absl::Status CheckBackingFile(const HeaderArea& area, const std::string& name,
                              const std::string& format) {
  RETURN_IF_ERROR(CheckName("backing file's name", name));
  RETURN_IF_ERROR(CheckName("backing format", format));
  if (name.size() > kMaxBackingNameBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the backing file's name is ", name.size(),
        " bytes long, more than the ", kMaxBackingNameBytes, " it may have"));
  }
  if (name.empty() && !format.empty()) {
    return absl::InvalidArgumentError("a backing format needs a backing file");
  }
  if (!name.empty() &&
      (area.header.autoclear_features & kAutoclearRawData) != 0) {
    return absl::FailedPreconditionError(
        "an image with a raw data file has no backing file: the data file "
        "alone would not be the disk");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status UpgradeImage(Image& image) {
  ImageCore& core = image.core();
  const ExclusiveUse everything(core);
  if (core.metadata->header().version >= 3) return absl::OkStatus();
  RETURN_IF_ERROR(core.metadata->BeginChange());
  RETURN_IF_ERROR(CompleteSnapshotTable(*core.metadata));
  return core.metadata->SwitchHeader(Upgraded(core.metadata->area()));
}

absl::Status SetLazyRefcounts(Image& image, bool lazy) {
  ImageCore& core = image.core();
  const ExclusiveUse everything(core);
  HeaderArea next = core.metadata->area();
  if (next.header.version < 3) {
    if (!lazy) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat(image.name(), ": lazy refcounts need version 3"));
  }
  if (lazy) {
    next.header.compatible_features |= kCompatibleLazyRefcounts;
  } else {
    next.header.compatible_features &= ~kCompatibleLazyRefcounts;
  }
  if (next == core.metadata->area()) return absl::OkStatus();
  RETURN_IF_ERROR(core.metadata->BeginChange());
  // BeginChange may have changed other bits.
  next.header.incompatible_features =
      core.metadata->header().incompatible_features;
  next.header.autoclear_features = core.metadata->header().autoclear_features;
  return core.metadata->SwitchHeader(std::move(next));
}

absl::Status SetBackingFile(Image& image, const std::string& name,
                            const std::string& format) {
  ImageCore& core = image.core();
  const ExclusiveUse everything(core);
  RETURN_IF_ERROR(CheckBackingFile(core.metadata->area(), name, format));
  RETURN_IF_ERROR(core.metadata->BeginChange());
  HeaderArea next = core.metadata->area();
  next.backing_name = name;
  if (format.empty()) {
    next.Remove(kExtensionBackingFormat);
  } else {
    next.Set(kExtensionBackingFormat, format);
  }
  // Names of features are what can be done without.
  if (!next.Encode().ok()) next.Remove(kExtensionFeatureNames);
  return core.metadata->SwitchHeader(std::move(next));
}

}  // namespace qcow2
