// The image a repair, a recovery or an undo is about, with the folder of its
// journal: opened, locked, and refused with a reason when it cannot be written.
//
// Opens files and takes locks; writes nothing.
#ifndef REPAIR_TARGET_H_
#define REPAIR_TARGET_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"
#include "repair/journal/journal.h"
#include "repair/journal/posix_directory.h"
#include "repair/journal/recover.h"

namespace qcow2::repair {

// Where journal and undo file are to be, as the user asked; empty: beside the
// image (behind symbolic links), called after it; a block device and an image
// on a server have no such place. If only one is given the other one is in the
// same folder.
struct JournalPaths {
  std::string journal;
  std::string undo;

  bool given() const { return !journal.empty() || !undo.empty(); }
};

// What the image is opened for.
enum class Purpose {
  // Looking at it, beside other readers: what a check and a dry run do.
  kReading,
  // Changing it: nobody else may write to it or change its length meanwhile.
  kWriting,
};

// Opens an image that is no file of this machine, for reading or also for
// writing.
using OpenRemote =
    std::function<absl::StatusOr<std::unique_ptr<File>>(bool writable)>;

class Target {
 public:
  // With `open_remote` the image is what that opens, and `path` only what to
  // call it. Errors, nothing having been written: Unavailable when another
  // program has the image in use; InvalidArgument when the two paths are in
  // different folders; FailedPrecondition when a block device or a remote image
  // is to be changed and neither path is given; else what the system says, and
  // what can be done about it.
  static absl::StatusOr<Target> Open(const std::string& path,
                                     const JournalPaths& paths, Purpose purpose,
                                     const OpenRemote& open_remote = {});

  File& image() { return *image_; }
  const File& image() const { return *image_; }
  // Of a remote image as of a block device: its contents tell whether it is the
  // one that is meant.
  const ImageIdentity& identity() const { return identity_; }
  bool can_grow() const { return !identity_.is_block_device; }
  // An error when the connection to a remote image was lost, which it then is
  // for good: what could not be read since is no damage.
  absl::Status CheckConnection() const;
  JournalPlace place() { return {*directory_, journal_name_, undo_name_}; }

  // What the journal says of itself; kNone if there is none.
  absl::StatusOr<JournalInfo> Pending() const;

  // For messages and reports: with the folder.
  std::string JournalPath() const { return PathOf(journal_name_); }
  std::string UndoPath() const { return PathOf(undo_name_); }
  // "" for a file that has no name, that is, that there is not.
  std::string PathOf(const std::string& name) const;

 private:
  Target() = default;

  std::unique_ptr<File> image_;
  ImageIdentity identity_;
  bool remote_ = false;
  std::unique_ptr<PosixDirectory> directory_;
  std::string journal_name_;
  std::string undo_name_;
};

// What the journal beside the local image at `path` says of itself, if any:
// for a check, which only reads. kNone also where its folder cannot be read.
absl::StatusOr<JournalInfo> FindPendingJournal(const std::string& path,
                                               const JournalPaths& paths);

}  // namespace qcow2::repair

#endif  // REPAIR_TARGET_H_
