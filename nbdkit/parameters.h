// What the user of the plugin asks for: nbdkit's KEY=VALUE parameters.
//
// Text only, but for the passphrase's file, which is read at once.
#ifndef NBDKIT_PARAMETERS_H_
#define NBDKIT_PARAMETERS_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "engine/codec/secret.h"
#include "engine/image/image_chain.h"

namespace qcow2::nbdkit {

struct Parameters {
  std::string file;      // absolute: nbdkit leaves its folder later
  std::string snapshot;  // id or name; empty: the disk as it is
  // Of backing and data files.
  NamedFilePolicy backing = NamedFilePolicy::kFollow;
  bool damaged = false;
  std::optional<Secret> passphrase;

  // Whether the image may be opened for writing at all. Without its backing
  // file it is not what its guest sees, and a damaged one only gets worse.
  bool may_write() const {
    return !damaged && snapshot.empty() && backing != NamedFilePolicy::kNone;
  }
};

// Takes one parameter. InvalidArgument, naming it, for a key that is unknown or
// was given before and a value that cannot be; for the passphrase what
// LoadSecretFile says.
absl::Status TakeParameter(std::string_view key, std::string_view value,
                           Parameters& parameters);

// InvalidArgument if something is missing.
absl::Status CheckComplete(const Parameters& parameters);

}  // namespace qcow2::nbdkit

#endif  // NBDKIT_PARAMETERS_H_
