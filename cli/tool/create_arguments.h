// The options of a new image, by the names qemu-img has for them.
#ifndef CLI_TOOL_CREATE_ARGUMENTS_H_
#define CLI_TOOL_CREATE_ARGUMENTS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/tool/command.h"
#include "cli/tool/disk_options.h"
#include "engine/codec/luks_create.h"
#include "engine/image/create_options.h"

namespace qcow2::tool {

struct CreateArguments {
  CreateOptions create;
  LuksCreateOptions luks;
  // Given as -o size=, or as an argument.
  std::optional<uint64_t> size;
  // The passphrase of a new encrypted image.
  SecretSource secret;
};

// Sets one option. Returns what is wrong.
std::string TakeCreateOption(const std::string& key, const std::string& value,
                             CreateArguments& arguments);

// Adds -o KEY=VALUE,... and each option by itself (--cluster-size=VALUE), and
// with `with_secret` --secret-file and --secret-env for the new image.
void AddCreateOptions(CLI::App& command, bool with_secret,
                      CreateArguments& arguments);

// What is left to do when all options are known: makes the LUKS area with the
// passphrase, which must be there for an encrypted image.
absl::Status FinishCreateOptions(CreateArguments& arguments);

}  // namespace qcow2::tool

#endif  // CLI_TOOL_CREATE_ARGUMENTS_H_
