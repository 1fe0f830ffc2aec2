#include "cli/other_files.h"

#include <string_view>

#include "engine/status_macros.h"
#include "engine/storage/nbd_address.h"

namespace qcow2::cli {
namespace {

constexpr std::string_view kFilePrefix = "file:";

// A colon before any slash ends the name of a protocol.
bool HasProtocol(std::string_view name) {
  const size_t stop = name.find_first_of(":/");
  return stop != std::string_view::npos && name[stop] == ':';
}

}  // namespace

absl::StatusOr<std::string> ResolveOtherFile(const std::string& name,
                                             const std::string& base) {
  std::string_view path = name;
  if (path.starts_with(kFilePrefix)) {
    path.remove_prefix(kFilePrefix.size());
  } else if (HasProtocol(path)) {
    return absl::UnimplementedError("'" + name + "' is not a local file");
  }
  const size_t slash = base.rfind('/');
  if (path.starts_with('/') || slash == std::string::npos) {
    return std::string(path);
  }
  return base.substr(0, slash + 1).append(path);
}

absl::StatusOr<std::unique_ptr<File>> OpenOtherFile(const std::string& name,
                                                    const std::string& base,
                                                    NamedFilePolicy policy) {
  if (IsNbdAddress(base)) {
    return PolicyRefusal(name,
                         "the image that names it is not on this machine");
  }
  ASSIGN_OR_RETURN(const std::string path, ResolveOtherFile(name, base));
  ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                   OpenNamedFile(base, path, policy));
  return file;
}

}  // namespace qcow2::cli
