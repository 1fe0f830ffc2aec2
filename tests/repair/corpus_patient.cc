#include "tests/repair/corpus_patient.h"

#include <utility>

#include "engine/status_macros.h"

namespace qcow2::corpus {

absl::StatusOr<std::unique_ptr<CorpusPatient>> CorpusPatient::Admit(
    const std::string& case_name) {
  auto admitted = std::make_unique<CorpusPatient>();
  ASSIGN_OR_RETURN(admitted->case_, UnpackedCase::Unpack(case_name));
  const UnpackedCase& unpacked = *admitted->case_;
  Patient& patient = admitted->patient_;
  patient.image = unpacked.image();
  patient.path = unpacked.image_path();
  patient.check = unpacked.Complete({});
  ASSIGN_OR_RETURN(patient.original, unpacked.ReadOriginal());
  // The corpus has one name for external data files.
  patient.data_file = ReadBytes(unpacked.directory() + "/disk.data");
  return admitted;
}

}  // namespace qcow2::corpus
