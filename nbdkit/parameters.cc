#include "nbdkit/parameters.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

namespace qcow2::nbdkit {
namespace {

absl::Status Wrong(std::string_view key, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("parameter '", absl::string_view(key.data(), key.size()),
                   "': ", absl::string_view(why.data(), why.size())));
}

absl::Status TakeFile(std::string_view value, Parameters& parameters) {
  if (!parameters.file.empty()) return Wrong("file", "one image is enough");
  if (value.empty()) return Wrong("file", "the name of an image is needed");
  std::error_code error;
  parameters.file = std::filesystem::absolute(value, error).string();
  return error ? Wrong("file", error.message()) : absl::OkStatus();
}

absl::Status TakeSnapshot(std::string_view value, Parameters& parameters) {
  if (!parameters.snapshot.empty()) {
    return Wrong("snapshot", "one snapshot is enough");
  }
  if (value.empty()) return Wrong("snapshot", "an id or a name is needed");
  parameters.snapshot = value;
  return absl::OkStatus();
}

absl::Status TakeBacking(std::string_view value, Parameters& parameters) {
  const std::optional<NamedFilePolicy> policy = PolicyFromName(value);
  if (!policy.has_value()) {
    return Wrong("backing", "the value is follow, any, same-dir or none");
  }
  parameters.backing = *policy;
  return absl::OkStatus();
}

absl::Status TakeDamaged(std::string_view value, Parameters& parameters) {
  if (value != "on" && value != "off") {
    return Wrong("damaged", "the value is 'on' or 'off'");
  }
  parameters.damaged = value == "on";
  return absl::OkStatus();
}

absl::Status TakeSecretFile(std::string_view value, Parameters& parameters) {
  if (parameters.passphrase.has_value()) {
    return Wrong("secret-file", "one passphrase is enough");
  }
  ASSIGN_OR_RETURN(parameters.passphrase, LoadSecretFile(std::string(value)));
  return absl::OkStatus();
}

}  // namespace

absl::Status TakeParameter(std::string_view key, std::string_view value,
                           Parameters& parameters) {
  if (key == "file") return TakeFile(value, parameters);
  if (key == "snapshot") return TakeSnapshot(value, parameters);
  if (key == "backing") return TakeBacking(value, parameters);
  if (key == "damaged") return TakeDamaged(value, parameters);
  if (key == "secret-file") return TakeSecretFile(value, parameters);
  return Wrong(key, "there is no such parameter");
}

absl::Status CheckComplete(const Parameters& parameters) {
  if (parameters.file.empty()) return Wrong("file", "it must be given");
  return absl::OkStatus();
}

}  // namespace qcow2::nbdkit
