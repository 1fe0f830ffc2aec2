#include "repair/target.h"

#include <cstddef>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/storage/posix_file.h"

namespace qcow2::repair {
namespace {

absl::Status Busy(const std::string& path) {
  return absl::UnavailableError(absl::StrCat(
      "'", path,
      "' is in use: another program holds a lock on it, probably a running "
      "virtual machine or another tool. Stop that first; an image in use is "
      "never repaired"));
}

absl::Status NotWritable(const absl::Status& status) {
  const std::string message(status.message());
  if (!absl::IsPermissionDenied(status) &&
      !absl::IsFailedPrecondition(status)) {
    return status;
  }
  return absl::Status(
      status.code(),
      absl::StrCat(message,
                   ". A repair has to write to the image: see to its "
                   "permissions and those of the file system, or repair a "
                   "copy. --repair --dry-run needs to read it only"));
}

absl::StatusOr<std::unique_ptr<PosixFile>> OpenLocal(const std::string& path,
                                                     bool writing) {
  absl::StatusOr<std::unique_ptr<PosixFile>> file =
      PosixFile::Open(path, {.writable = writing});
  if (!file.ok()) return writing ? NotWritable(file.status()) : file.status();
  return file;
}

ImageIdentity IdentityOf(const PosixFile& file) {
  return {.device = file.identity().device,
          .inode = file.identity().inode,
          .is_block_device = file.is_block_device()};
}

absl::Status LockFor(const std::string& path, Purpose purpose, File& file) {
  const absl::Status locked =
      file.Lock(purpose == Purpose::kWriting ? kWriterLocks : kReaderLocks);
  return absl::IsUnavailable(locked) ? Busy(path) : locked;
}

bool SameFolder(const std::string& a, const std::string& b) {
  std::error_code error;
  return a == b || std::filesystem::equivalent(a, b, error);
}

struct Names {
  std::string directory;
  std::string journal;
  std::string undo;
};

// A name for files that belong to the image at an address.
std::string FileNameFor(const std::string& address) {
  constexpr size_t kMaxBytes = 200;
  std::string name;
  for (const char c : address.substr(0, kMaxBytes)) {
    const bool keep = absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                      (c == '.' && !name.empty()) || c == '-';
    if (keep || !name.ends_with('_')) name += keep ? c : '_';
  }
  return name;
}

absl::StatusOr<Names> NamesBeside(const std::string& path, bool remote,
                                  const JournalPaths& paths) {
  SplitPath image{".", FileNameFor(path)};
  if (!remote) {
    ASSIGN_OR_RETURN(image, ResolveFile(path));
  }
  Names names{image.directory, DefaultJournalName(image.name),
              DefaultUndoName(image.name)};
  if (!paths.journal.empty()) {
    ASSIGN_OR_RETURN(const SplitPath journal, SplitFilePath(paths.journal));
    names.directory = journal.directory;
    names.journal = journal.name;
  }
  if (!paths.undo.empty()) {
    ASSIGN_OR_RETURN(const SplitPath undo, SplitFilePath(paths.undo));
    if (!paths.journal.empty() &&
        !SameFolder(undo.directory, names.directory)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the journal '", paths.journal, "' and the undo file '", paths.undo,
          "' have to be in the same folder: the one becomes the other"));
    }
    names.directory = undo.directory;
    names.undo = undo.name;
  }
  return names;
}

absl::StatusOr<JournalInfo> InspectIfThere(const Directory& directory,
                                           const std::string& name) {
  absl::StatusOr<JournalInfo> info = InspectJournal(directory, name);
  if (absl::IsNotFound(info.status())) return JournalInfo{};
  return info;
}

// A journal in /dev, beside a device, would not outlast the restart it is for,
// and a server has no place for one; and what an undo file elsewhere needs has
// to be known before free clusters are given back.
absl::Status CheckPlaceOfJournal(const std::string& path, bool remote,
                                 const ImageIdentity& identity,
                                 const JournalPaths& paths) {
  if (!identity.is_block_device || paths.given()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "'", path,
      remote ? "' is not on this machine, so that there is no place beside it "
               "for a journal"
             : "' is a block device, and a journal beside it would be gone "
               "after a restart",
      ": say with --journal=PATH where it is to be kept, on a disk"));
}

}  // namespace

absl::StatusOr<Target> Target::Open(const std::string& path,
                                    const JournalPaths& paths, Purpose purpose,
                                    const OpenRemote& open_remote) {
  const bool remote = static_cast<bool>(open_remote);
  const bool writing = purpose == Purpose::kWriting;
  Target target;
  target.remote_ = remote;
  if (remote) {
    ASSIGN_OR_RETURN(target.image_, open_remote(writing));
    target.identity_ = {.is_block_device = true};
  } else {
    ASSIGN_OR_RETURN(std::unique_ptr<PosixFile> file, OpenLocal(path, writing));
    target.identity_ = IdentityOf(*file);
    target.image_ = std::move(file);
  }
  RETURN_IF_ERROR(LockFor(path, purpose, *target.image_));
  if (writing) {
    RETURN_IF_ERROR(CheckPlaceOfJournal(path, remote, target.identity_, paths));
  }
  ASSIGN_OR_RETURN(Names names, NamesBeside(path, remote, paths));
  ASSIGN_OR_RETURN(target.directory_, PosixDirectory::Open(names.directory));
  target.journal_name_ = std::move(names.journal);
  target.undo_name_ = std::move(names.undo);
  return target;
}

absl::Status Target::CheckConnection() const {
  if (!remote_) return absl::OkStatus();
  std::byte probe{};
  return image_->Pread(0, std::span(&probe, 1)).status();
}

absl::StatusOr<JournalInfo> Target::Pending() const {
  return InspectIfThere(*directory_, journal_name_);
}

std::string Target::PathOf(const std::string& name) const {
  if (name.empty()) return {};
  const std::string folder = directory_->name();
  return folder.ends_with('/') ? folder + name : folder + "/" + name;
}

absl::StatusOr<JournalInfo> FindPendingJournal(const std::string& path,
                                               const JournalPaths& paths) {
  ASSIGN_OR_RETURN(const Names names, NamesBeside(path, false, paths));
  const absl::StatusOr<std::unique_ptr<PosixDirectory>> directory =
      PosixDirectory::Open(names.directory);
  if (!directory.ok()) return JournalInfo{};
  return InspectIfThere(**directory, names.journal);
}

}  // namespace qcow2::repair
