#include "repair/target.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

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

absl::StatusOr<std::unique_ptr<PosixFile>> OpenLocked(const std::string& path,
                                                      Purpose purpose) {
  const bool writing = purpose == Purpose::kWriting;
  absl::StatusOr<std::unique_ptr<PosixFile>> file =
      PosixFile::Open(path, {.writable = writing});
  if (!file.ok()) return writing ? NotWritable(file.status()) : file.status();
  const absl::Status locked =
      (*file)->Lock(writing ? kWriterLocks : kReaderLocks);
  if (absl::IsUnavailable(locked)) return Busy(path);
  RETURN_IF_ERROR(locked);
  return file;
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

absl::StatusOr<Names> NamesBeside(const std::string& path,
                                  const JournalPaths& paths) {
  ASSIGN_OR_RETURN(const SplitPath image, ResolveFile(path));
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

// A journal in /dev, beside a device, would not outlast the restart it is for;
// and what an undo file elsewhere needs has to be known before free clusters
// are given back.
absl::Status CheckPlaceOfJournal(const std::string& path,
                                 const PosixFile& image,
                                 const JournalPaths& paths) {
  if (!image.is_block_device() || paths.given()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "'", path,
      "' is a block device, and a journal beside it would be gone after a "
      "restart: say with --journal=PATH where it is to be kept, on a disk"));
}

}  // namespace

absl::StatusOr<Target> Target::Open(const std::string& path,
                                    const JournalPaths& paths,
                                    Purpose purpose) {
  Target target;
  ASSIGN_OR_RETURN(target.image_, OpenLocked(path, purpose));
  if (purpose == Purpose::kWriting) {
    RETURN_IF_ERROR(CheckPlaceOfJournal(path, *target.image_, paths));
  }
  ASSIGN_OR_RETURN(Names names, NamesBeside(path, paths));
  ASSIGN_OR_RETURN(target.directory_, PosixDirectory::Open(names.directory));
  target.journal_name_ = std::move(names.journal);
  target.undo_name_ = std::move(names.undo);
  return target;
}

ImageIdentity Target::identity() const {
  const FileIdentity file = image_->identity();
  return {.device = file.device,
          .inode = file.inode,
          .is_block_device = image_->is_block_device()};
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
  ASSIGN_OR_RETURN(const Names names, NamesBeside(path, paths));
  const absl::StatusOr<std::unique_ptr<PosixDirectory>> directory =
      PosixDirectory::Open(names.directory);
  if (!directory.ok()) return JournalInfo{};
  return InspectIfThere(**directory, names.journal);
}

}  // namespace qcow2::repair
