// The other files pass: does the external data file fit the image, and are all
// images of the backing chain there? Opens what the image names through
// CheckOptions::open_other_file and only ever reads it. Collects the data
// file's size. A backing image's header is judged; its tables are left to a
// check of its own.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "checker/pass_findings.h"
#include "checker/passes.h"
#include "engine/format/byte_order.h"
#include "engine/storage/named_file.h"

namespace qcow2::checker {
namespace {

constexpr uint64_t kMaxChainDepth = 200;
constexpr std::string_view kFileProtocol = "file:";

std::string Quoted(std::string_view name) {
  return "\"" + std::string(name) + "\"";
}

// Whether `name` is the name of a file. QEMU takes whatever stands before a
// colon that no slash precedes for a protocol: nbd, https, json ...
bool IsFileName(std::string_view name) {
  const size_t end = name.find_first_of(":/");
  return end == std::string_view::npos || name[end] == '/';
}

// `name` without the one protocol that means a file; empty if it has another.
std::string FileName(std::string_view name) {
  if (name.starts_with(kFileProtocol)) {
    return std::string(name.substr(kFileProtocol.size()));
  }
  return IsFileName(name) ? std::string(name) : "";
}

// `"name" (why)`, for a file that cannot be opened.
std::string WithReason(std::string_view name, const absl::Status& status) {
  std::string text = Quoted(name) + " (";
  text.append(status.message().begin(), status.message().end());
  return text + ")";
}

Finding FileFinding(Problem problem, Structure structure, std::string detail) {
  Finding finding;
  finding.problem = problem;
  finding.location.structure = structure;
  finding.detail = std::move(detail);
  return finding;
}

// A file the image names that was not opened. `missing` is what that is if it
// cannot be.
Finding NotOpened(Problem missing, Structure structure, std::string detail,
                  const absl::Status& status) {
  if (!IsPolicyRefusal(status)) {
    return FileFinding(missing, structure, std::move(detail));
  }
  return FileFinding(Problem::kOtherFileNotOpened, structure,
                     std::string(status.message()));
}

void JudgeDataFileSize(CheckState& state, const File& file,
                       const std::string& name) {
  ImageModel& model = state.model;
  const absl::StatusOr<uint64_t> size = file.Size();
  if (!size.ok()) {
    state.sink.Add(FileFinding(Problem::kDataFileMissing, Structure::kDataFile,
                               WithReason(name, size.status())));
    return;
  }
  model.data_file_size_bytes = *size;
  // QEMU rounds the file up to whole clusters.
  if (!model.raw_external_data ||
      (*size >= model.header.size &&
       *size - model.header.size < model.geometry->cluster_size())) {
    return;
  }
  Finding finding =
      FileFinding(Problem::kDataFileSize, Structure::kDataFile, Quoted(name));
  finding.actual = *size;
  finding.expected = model.header.size;
  state.sink.Add(std::move(finding));
}

void OpenDataFile(CheckState& state, const std::string& stored_name) {
  const std::string name = FileName(stored_name);
  if (!state.options.open_other_file || name.empty()) return;
  const absl::StatusOr<std::unique_ptr<File>> file =
      state.options.open_other_file(name, state.model.path);
  if (!file.ok()) {
    state.sink.Add(NotOpened(Problem::kDataFileMissing, Structure::kDataFile,
                             WithReason(stored_name, file.status()),
                             file.status()));
    return;
  }
  JudgeDataFileSize(state, **file, stored_name);
}

void JudgeDataFile(CheckState& state) {
  const ImageModel& model = state.model;
  if (model.raw_external_data && !model.external_data_file) {
    state.sink.Add(HeaderFinding(Problem::kRawWithoutDataFile,
                                 "autoclear_features",
                                 model.header.autoclear_features));
  }
  if (model.raw_external_data && !model.backing_file.empty()) {
    state.sink.Add(HeaderFinding(Problem::kRawWithBacking, "autoclear_features",
                                 model.header.autoclear_features));
  }
  const std::string name = model.data_file_name.value_or("");
  if (!model.external_data_file) {
    if (model.data_file_name) {
      state.sink.Add(FileFinding(Problem::kDataFileNameUnexpected,
                                 Structure::kHeaderExtension, Quoted(name)));
    }
    return;
  }
  if (name.empty()) {
    state.sink.Add(HeaderFinding(Problem::kDataFileNameMissing,
                                 "incompatible_features",
                                 model.header.incompatible_features));
    return;
  }
  OpenDataFile(state, name);
}

// One name for each file, whatever way it is spelt. Lexical where the file
// system does not know it.
std::string IdentityOf(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (error) return path;
  const std::filesystem::path canonical =
      std::filesystem::weakly_canonical(absolute, error);
  return error ? path : canonical.string();
}

// Image formats and file protocols that QEMU knows by name.
constexpr std::string_view kFormats[] = {
    "blkdebug", "blklogwrites",  "blkreplay",   "blkverify",
    "bochs",    "cloop",         "compress",    "copy-on-read",
    "dmg",      "file",          "ftp",         "ftps",
    "gluster",  "host_cdrom",    "host_device", "http",
    "https",    "io_uring",      "iscsi",       "luks",
    "nbd",      "nfs",           "null-aio",    "null-co",
    "nvme",     "nvme-io_uring", "parallels",   "preallocate",
    "qcow",     "qcow2",         "qed",         "quorum",
    "raw",      "rbd",           "replication", "ssh",
    "throttle", "vdi",           "vhdx",        "virtio-blk-vhost-vdpa",
    "vmdk",     "vpc",           "vvfat"};

bool IsKnownFormat(std::string_view format) {
  return std::find(std::begin(kFormats), std::end(kFormats), format) !=
         std::end(kFormats);
}

// Whether `file` begins like a qcow2 image.
bool LooksLikeQcow2(const File& file) {
  std::vector<std::byte> start(8);
  if (!ReadZeroFilled(file, 0, start).ok()) return false;
  return LoadBe32(start.data()) == kMagic && LoadBe32(&start[4]) >= 2;
}

class BackingChain {
 public:
  explicit BackingChain(CheckState& state) : state_(state) {
    seen_.insert(IdentityOf(state.model.path));
  }

  void Follow() {
    Link link{state_.model.path, state_.model.backing_file,
              state_.model.backing_format};
    while (!link.name.empty() && !state_.reader.Cancelled()) {
      if (!Step(link)) return;
    }
  }

 private:
  // The image last reached and what it says of its backing file.
  struct Link {
    std::string path;
    std::string name;
    std::string format;
  };

  void Report(Problem problem, std::string detail) {
    state_.sink.Add(
        FileFinding(problem, Structure::kBackingFile, std::move(detail)));
  }

  // Goes on to the backing file of `link`. False if the chain ends there.
  bool Step(Link& link) {
    const std::string name = FileName(link.name);
    if (name.empty()) return false;
    if (++depth_ > kMaxChainDepth) {
      Finding finding =
          FileFinding(Problem::kBackingDepth, Structure::kBackingFile, "");
      finding.actual = kMaxChainDepth;
      state_.sink.Add(std::move(finding));
      return false;
    }
    absl::StatusOr<std::unique_ptr<File>> file =
        state_.options.open_other_file(name, link.path);
    if (!file.ok()) {
      state_.sink.Add(NotOpened(
          Problem::kBackingMissing, Structure::kBackingFile,
          WithReason(link.name, file.status()) + " of " + Quoted(link.path),
          file.status()));
      return false;
    }
    const std::string path = (*file)->name();
    if (!seen_.insert(IdentityOf(path)).second) {
      Report(Problem::kBackingCycle,
             Quoted(path) + ", which " + Quoted(link.path) + " names");
      return false;
    }
    return IsQcow2(**file, path, link.format) &&
           JudgeHeader(**file, path, link);
  }

  // Whether `file` is to be read as qcow2: by the format its overlay gives; by
  // its first bytes, as QEMU probes, where none is given or it cannot be right,
  // which is reported.
  bool IsQcow2(const File& file, const std::string& path,
               const std::string& format) {
    if (format == "qcow2") return true;
    if (format == "raw") return false;
    const bool looks_like = LooksLikeQcow2(file);
    if (!format.empty() && !IsKnownFormat(format)) {
      Report(Problem::kBackingFormat, Quoted(format) + " is unknown");
    } else if (!format.empty() && looks_like) {
      Report(Problem::kBackingFormat, Quoted(format) + " is not that of " +
                                          Quoted(path) +
                                          ", which is a qcow2 image");
    }
    return looks_like;
  }

  // Judges the header of a backing image and takes its own backing file from
  // it.
  bool JudgeHeader(const File& file, const std::string& path, Link& link) {
    CheckOptions options = state_.options;
    options.max_problems = 1;
    options.progress = nullptr;
    CheckState backing(file, options);
    backing.model.path = path;
    const bool usable = RunHeaderPass(backing);
    // QEMU opens the whole chain, and gives up where one does not open.
    if (backing.sink.qemu().refused || !usable) {
      state_.sink.AddQemuCounts({.refused = true});
    }
    if (state_.options.deep || !usable) ReportDamage(path, backing);
    link = {path, backing.model.backing_file, backing.model.backing_format};
    return usable;
  }

  void ReportDamage(const std::string& path, CheckState& backing) {
    for (const std::string& error : backing.errors) {
      Report(Problem::kBackingDamaged, Quoted(path) + ": " + error);
    }
    for (const Finding& finding : backing.sink.TakeFindings()) {
      if (RowOf(finding.problem).severity != Severity::kCorruption) continue;
      Report(Problem::kBackingDamaged,
             Quoted(path) + " is damaged: " + DescribeFinding(finding));
    }
  }

  CheckState& state_;
  std::set<std::string> seen_;
  uint64_t depth_ = 0;
};

}  // namespace

void RunOtherFilesPass(CheckState& state) {
  JudgeDataFile(state);
  if (state.options.open_other_file && !state.model.backing_file.empty()) {
    BackingChain(state).Follow();
  }
}

}  // namespace qcow2::checker
