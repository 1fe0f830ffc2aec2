// Opening the files that an image names: its backing file and its external data
// file. Whoever made the image chose the name, so what is opened is checked
// before it is used.
//
// Reads directories and opens files; writes nothing.
#ifndef ENGINE_STORAGE_NAMED_FILE_H_
#define ENGINE_STORAGE_NAMED_FILE_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/posix_file.h"

namespace qcow2 {

// Which of the files that an image names are opened. FIFOs, sockets and
// character devices never are.
enum class NamedFilePolicy {
  kAny,            // regular files and block devices
  kFollow,         // regular files, wherever they are
  kSameDirectory,  // regular files in the folder where the image is itself
  kNone,           // none
};

// "any", "follow", "same-dir" or "none".
std::string_view NameOfPolicy(NamedFilePolicy policy);
// The opposite; nothing for another word.
std::optional<NamedFilePolicy> PolicyFromName(std::string_view name);

// Opens the file at `path`, which the image at `image_path` names. Never waits
// for another process. What is checked is what was opened, whoever changes the
// folder meanwhile.
//
// With kSameDirectory the file and the image must be in one folder once all
// symbolic links are followed. (A hard link in that folder passes: it cannot be
// told from the file.)
//
// PermissionDenied, for which IsPolicyRefusal, where the policy forbids it.
// InvalidArgument for a FIFO, socket, directory or character device, Aborted if
// the file was replaced meanwhile, else what the system says.
absl::StatusOr<std::unique_ptr<PosixFile>> OpenNamedFile(
    const std::string& image_path, const std::string& path,
    NamedFilePolicy policy, OpenOptions options = {});

// The error for a file that may be all right, but is not to be opened.
absl::Status PolicyRefusal(const std::string& path, const std::string& why);
bool IsPolicyRefusal(const absl::Status& status);

}  // namespace qcow2

#endif  // ENGINE_STORAGE_NAMED_FILE_H_
