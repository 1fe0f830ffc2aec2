// One repair of one damaged image, by us and by `qemu-img check -r all`, and
// what became of the image.
//
// For tests only; writes below the test's temporary directory, starts
// qemu-img.
#ifndef TESTS_REPAIR_TRIAL_H_
#define TESTS_REPAIR_TRIAL_H_

#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "checker/check.h"
#include "checker/report.h"
#include "repair/plan.h"
#include "repair/proof.h"
#include "repair/repair_options.h"
#include "tests/repair/guest_reader.h"

namespace qcow2 {

using Bytes = std::vector<std::byte>;

// A damaged image and what belongs to it.
struct Patient {
  Bytes image;
  Bytes data_file;
  // The image as it was; its guest bytes are what is to be read again.
  Bytes original;
  // Where the image is called, so that its other files are found.
  std::string path;
  checker::CheckOptions check;
};

struct Outcome {
  // Why there is none; empty if the repair came to its end.
  std::string error;
  // Empty with qemu-img, which may make it longer than memory.
  Bytes image;
  // Of our check.
  checker::CheckReport report;
  // Guest ranges that do not read as in the original.
  std::vector<WrongRange> wrong;
  // What qemu-img said when it was done (RepairByQemu): 0 clean.
  int qemu_exit_code = 0;

  bool clean() const {
    return error.empty() && report.status == checker::CheckStatus::kClean;
  }
};

struct OurOutcome : Outcome {
  repair::ProofResult proof;
  repair::Plan plan;
  std::string stopped;
};

// Plans, proves, and applies the plan to a copy if the proof was given.
OurOutcome RepairByUs(const Patient& patient, repair::Mode mode);

// What becomes of a copy with `qemu-img check -r all`, or has become of it
// after `limit_seconds`, when it is stopped: a reference far away makes it
// write refcounts for hours. Its exit status is 124 then.
Outcome RepairByQemu(const Patient& patient, int limit_seconds = 20);

// What there is without any repair.
Outcome LeaveAlone(const Patient& patient);

// The codes of corruptions and leaks in a report.
std::set<std::string> ProblemsIn(const checker::CheckReport& report);

// A file with `bytes`, with its path; for qemu-img.
std::string WriteScratch(const Patient& patient, const Bytes& bytes);
Bytes ReadBytes(const std::string& path);
void WriteBytes(const std::string& path, const Bytes& bytes);

// What `qemu-img check` says of an image: 0 clean. Run in the image's folder,
// where it looks for a data file.
int QemuExitCode(const std::string& path);

// The bytes of the active disk (snapshot id empty) or a snapshot as `qemu-img
// convert` reads them; nothing if it fails.
bool QemuRead(const std::string& path, const std::string& snapshot_id,
              Bytes& bytes);

}  // namespace qcow2

#endif  // TESTS_REPAIR_TRIAL_H_
