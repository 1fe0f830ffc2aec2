#include "tests/repair/trial.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "checker/problems.h"
#include "engine/status_macros.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/overlay_file.h"
#include "engine/storage/posix_file.h"
#include "repair/proven_plan.h"
#include "tests/differential/qemu_img.h"

namespace qcow2 {
namespace {

namespace fs = std::filesystem;

void Judge(const Patient& patient, const File& file, Outcome& outcome) {
  checker::CheckOptions options = patient.check;
  options.jobs = 1;
  outcome.report = checker::CheckImage(file, patient.path, options);
  std::vector<GuestDisk> disks;
  // Nothing can be read of an image that QEMU does not open.
  if (!outcome.report.qemu.refused) {
    disks = ReadGuestDisks(file, patient.data_file);
  }
  outcome.wrong =
      CompareDisks(ReadGuestDisks(patient.original, patient.data_file), disks);
}

std::string InFolderOf(const std::string& path) {
  return "cd '" + fs::path(path).parent_path().string() + "' && ";
}

// Writes what differs from `view` to `image`.
void Apply(const OverlayFile& view, Bytes& image) {
  image.resize(*view.Size());
  for (const ByteRange& range : view.DirtyRanges()) {
    (void)ReadZeroFilled(view, range.offset,
                         std::span(image).subspan(range.offset, range.length));
  }
}

}  // namespace

std::set<std::string> ProblemsIn(const checker::CheckReport& report) {
  std::set<std::string> codes;
  for (const checker::Finding& finding : report.problems) {
    codes.insert(std::string(RowOf(finding.problem).code));
  }
  return codes;
}

OurOutcome RepairByUs(const Patient& patient, repair::Mode mode) {
  OurOutcome outcome;
  outcome.image = patient.image;
  const MemoryFile file(patient.image);
  repair::RepairOptions options;
  options.mode = mode;
  options.check = patient.check;
  options.check.jobs = 1;
  auto planned = repair::PlanWithProof(
      file, patient.path, options,
      [](const File& base) -> absl::StatusOr<repair::PlanView> {
        repair::PlanView view;
        ASSIGN_OR_RETURN(view.overlay, OverlayFile::Create(base));
        return view;
      });
  if (!planned.ok()) {
    outcome.error = std::string(planned.status().message());
  } else {
    outcome.stopped = planned->planned.stopped;
    outcome.plan = std::move(planned->planned.plan);
    // Of nothing there is nothing to prove.
    outcome.proof.ok = true;
    if (planned->proof.has_value()) outcome.proof = *planned->proof;
    if (outcome.proof.ok) {
      Apply(*planned->view.overlay, outcome.image);
    } else {
      outcome.error = "not proven";
      for (const repair::ProofFailure& failure : outcome.proof.failures) {
        outcome.error += "; " + failure.message;
      }
    }
  }
  Judge(patient, MemoryFile(outcome.image), outcome);
  return outcome;
}

std::string WriteScratch(const Patient& patient, const Bytes& bytes) {
  // Beside the image's other files, which it names without a path.
  std::string path = patient.path + ".scratch";
  WriteBytes(path, bytes);
  return path;
}

void WriteBytes(const std::string& path, const Bytes& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

Bytes ReadBytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

Outcome RepairByQemu(const Patient& patient, int limit_seconds) {
  Outcome outcome;
  const std::string path = WriteScratch(patient, patient.image);
  std::string output;
  outcome.qemu_exit_code = RunCommand(
      "ulimit -n 128; timeout " + std::to_string(limit_seconds) +
          " qemu-img check -q -f qcow2 -r all '" + path + "' 2>/dev/null",
      &output);
  // The file may be very long now, and sparse.
  const auto file = PosixFile::Open(path);
  if (file.ok()) {
    Judge(patient, **file, outcome);
  } else {
    outcome.error = std::string(file.status().message());
  }
  fs::remove(path);
  return outcome;
}

Outcome LeaveAlone(const Patient& patient) {
  Outcome outcome;
  outcome.image = patient.image;
  Judge(patient, MemoryFile(outcome.image), outcome);
  return outcome;
}

int QemuExitCode(const std::string& path) {
  std::string output;
  return RunCommand(InFolderOf(path) + "qemu-img check -q -f qcow2 '" + path +
                        "' 2>/dev/null",
                    &output);
}

bool QemuRead(const std::string& path, const std::string& snapshot_id,
              Bytes& bytes) {
  const std::string raw = path + ".raw";
  std::string output;
  const std::string snapshot =
      snapshot_id.empty() ? "" : " -l snapshot.id='" + snapshot_id + "'";
  const bool read =
      RunCommand(InFolderOf(path) + "qemu-img convert -q -f qcow2 -O raw" +
                     snapshot + " '" + path + "' '" + raw + "' 2>/dev/null",
                 &output) == 0;
  bytes = read ? ReadBytes(raw) : Bytes{};
  fs::remove(raw);
  return read;
}

}  // namespace qcow2
