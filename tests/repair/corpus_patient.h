// A case of the corpus as the patient of a repair.
//
// For tests only; unpacks the case below the test's temporary directory.
#ifndef TESTS_REPAIR_CORPUS_PATIENT_H_
#define TESTS_REPAIR_CORPUS_PATIENT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tests/corpus/corpus_case.h"
#include "tests/repair/trial.h"

namespace qcow2::corpus {

class CorpusPatient {
 public:
  static absl::StatusOr<std::unique_ptr<CorpusPatient>> Admit(
      const std::string& case_name);

  const Patient& patient() const { return patient_; }
  const Json& expectation() const { return case_->expectation(); }

 private:
  std::unique_ptr<UnpackedCase> case_;
  Patient patient_;
};

}  // namespace qcow2::corpus

#endif  // TESTS_REPAIR_CORPUS_PATIENT_H_
