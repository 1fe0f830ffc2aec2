#include "repair/data_file_bit_step.h"

#include <memory>
#include <utility>

#include "checker/check.h"
#include "engine/format/header.h"
#include "engine/status_macros.h"
#include "engine/storage/overlay_file.h"
#include "repair/metadata_edit.h"
#include "repair/table_soundness.h"

namespace qcow2::repair {
namespace {

using checker::CheckReport;
using checker::Problem;

class DataFileBitMender : private MetadataMender {
 public:
  explicit DataFileBitMender(RepairContext& context)
      : MetadataMender(context) {}

  absl::StatusOr<bool> Run();

 private:
  uint64_t FeaturesWithBit() const {
    return header().incompatible_features | kIncompatibleDataFile;
  }
  // What a check finds with the bit.
  absl::StatusOr<CheckReport> CheckWithBit() const;
};

absl::StatusOr<CheckReport> DataFileBitMender::CheckWithBit() const {
  ASSIGN_OR_RETURN(const std::unique_ptr<OverlayFile> assumed,
                   OverlayFile::Create(view()));
  RETURN_IF_ERROR(
      WriteBe64(*assumed, kIncompatibleFeaturesAt, FeaturesWithBit()));
  checker::CheckOptions check = context().options.check;
  check.overlap = checker::OverlapClasses::All();
  check.qemu_compatible = false;
  check.graph = nullptr;
  check.ownership = nullptr;
  return checker::CheckImage(*assumed, model().path, check);
}

absl::StatusOr<bool> DataFileBitMender::Run() {
  if (!Found(Problem::kDataFileNameUnexpected) || model().external_data_file ||
      header().version < 3 || TablesAreSound(context().report)) {
    return false;
  }
  ASSIGN_OR_RETURN(const CheckReport with_bit, CheckWithBit());
  if (!TablesAreSound(with_bit)) return false;
  RETURN_IF_ERROR(
      WriteBe64(view(), kIncompatibleFeaturesAt, FeaturesWithBit()));
  Record(Problem::kDataFileNameUnexpected, "header, external data file bit",
         "clear", "set: with it the image is sound, without it it is not");
  GuestChange change;
  change.range.length_bytes = header().size;
  change.kind = GuestChange::Kind::kRecovered;
  change.reason = "it is in the external data file";
  RecordChange(std::move(change));
  TellPlan();
  return true;
}

}  // namespace

absl::StatusOr<bool> MendDataFileBit(RepairContext& context) {
  if (!context.graph.model.geometry || context.graph.map == nullptr) {
    return false;
  }
  return DataFileBitMender(context).Run();
}

}  // namespace qcow2::repair
