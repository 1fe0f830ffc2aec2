// The state of one check, handed from pass to pass.
//
// A plain bundle; each pass's header says what it reads and what it adds.
#ifndef CHECKER_CHECK_STATE_H_
#define CHECKER_CHECK_STATE_H_

#include <string>
#include <vector>

#include "checker/check.h"
#include "checker/finding_sink.h"
#include "checker/image_model.h"
#include "checker/metadata_reader.h"
#include "checker/report.h"

namespace qcow2::checker {

struct CheckState {
  CheckState(const File& file, const CheckOptions& check_options)
      : options(check_options),
        reader(file, check_options),
        sink(check_options.MaxPerProblem()) {}

  const CheckOptions& options;
  MetadataReader reader;
  ImageModel model;
  FindingSink sink;
  ImageSummary summary;
  AllocationSummary allocation;
  Statistics statistics;
  std::vector<std::string> errors;
};

}  // namespace qcow2::checker

#endif  // CHECKER_CHECK_STATE_H_
