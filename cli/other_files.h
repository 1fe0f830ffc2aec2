// Finds and opens the backing and data files that an image names.
#ifndef CLI_OTHER_FILES_H_
#define CLI_OTHER_FILES_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/storage/file.h"
#include "engine/storage/named_file.h"

namespace qcow2::cli {

// The path that `name`, as stored in the image at `base`, stands for: relative
// names count from the folder of the image that names them, and "file:" may
// stand before a path. Unimplemented for a name that is no local file, such as
// "nbd://host/disk" or "json:{...}".
absl::StatusOr<std::string> ResolveOtherFile(const std::string& name,
                                             const std::string& base);

// Opens that file as the policy allows (see named_file.h), for reading only and
// without locks. What an image at an NBD address names is left alone, a policy
// refusal: its owner has no business with the files of this machine.
absl::StatusOr<std::unique_ptr<File>> OpenOtherFile(const std::string& name,
                                                    const std::string& base,
                                                    NamedFilePolicy policy);

}  // namespace qcow2::cli

#endif  // CLI_OTHER_FILES_H_
