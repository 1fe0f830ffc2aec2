// qcow2-tool key: the key slots of an image with LUKS encryption.
#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/output_file.h"
#include "cli/tool/commands.h"
#include "cli/tool/create_arguments.h"
#include "cli/tool/disk_options.h"
#include "cli/tool/image_info.h"
#include "cli/tool/text_output.h"
#include "engine/operations/image_keys.h"
#include "engine/status_macros.h"

namespace qcow2::tool {
namespace {

struct KeyOptions {
  std::string image;
  SecretSource secret;
  SecretSource other;  // the new one, or the one to forget
  std::optional<uint64_t> slot;
  CreateArguments arguments;  // only the time for the derivation
  bool json = false;
};

absl::Status Say(const Console& console, const std::string& line) {
  return cli::WriteAll(console.standard_output, line, "standard output");
}

std::string SlotsText(const LuksHeader& header) {
  std::string text = "Slot  State     Iterations\n";
  for (size_t i = 0; i < header.slots.size(); ++i) {
    const LuksKeySlot& slot = header.slots[i];
    char line[64];
    std::snprintf(line, sizeof line, "%4zu  %-8s", i,
                  slot.active() ? "in use" : "free");
    absl::StrAppend(&text, line);
    if (slot.active()) {
      std::snprintf(line, sizeof line, "  %10u", slot.iterations);
      absl::StrAppend(&text, line);
    }
    text += "\n";
  }
  return text;
}

absl::StatusOr<int> RunList(const KeyOptions& options, const Console& console) {
  ASSIGN_OR_RETURN(const std::unique_ptr<PosixFile> file,
                   PosixFile::Open(options.image));
  ASSIGN_OR_RETURN(const LuksHeader header, ReadImageKeys(*file));
  RETURN_IF_ERROR(Say(console, options.json
                                   ? KeySlotsJson(header).dump(4) + "\n"
                                   : SlotsText(header)));
  return kExitDone;
}

absl::StatusOr<int> RunAdd(const KeyOptions& options, const Console& console) {
  if (!options.secret.given()) {
    return UsageError(
        "a passphrase that opens the image is needed: --secret-file=FILE or "
        "--secret-env=NAME");
  }
  if (!options.other.given()) {
    return UsageError(
        "the new passphrase is needed: --new-secret-file=FILE or "
        "--new-secret-env=NAME");
  }
  ASSIGN_OR_RETURN(const Secret known, options.secret.Load());
  ASSIGN_OR_RETURN(const Secret added, options.other.Load());
  LuksAddOptions add;
  if (options.slot) add.slot = static_cast<size_t>(*options.slot);
  add.derivation = options.arguments.luks.derivation;
  ASSIGN_OR_RETURN(const std::unique_ptr<PosixFile> file,
                   OpenImageKeys(options.image));
  ASSIGN_OR_RETURN(const size_t slot, AddImageKey(*file, known, added, add));
  RETURN_IF_ERROR(
      Say(console,
          absl::StrCat("The new passphrase is in key slot ", slot, ".\n")));
  return kExitDone;
}

absl::StatusOr<int> RunRemove(const KeyOptions& options,
                              const Console& console) {
  if (options.slot.has_value() == options.other.given()) {
    return UsageError(
        "what is to be removed is told by one of --slot=N, "
        "--old-secret-file=FILE and --old-secret-env=NAME");
  }
  Secret old_secret;
  if (!options.slot) {
    ASSIGN_OR_RETURN(old_secret, options.other.Load());
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<PosixFile> file,
                   OpenImageKeys(options.image));
  std::vector<size_t> removed;
  if (options.slot) {
    removed.push_back(static_cast<size_t>(*options.slot));
    RETURN_IF_ERROR(RemoveImageKeySlot(*file, removed.front()));
  } else {
    ASSIGN_OR_RETURN(removed, RemoveImagePassphrase(*file, old_secret));
  }
  RETURN_IF_ERROR(
      Say(console, absl::StrCat("Removed from key slot ",
                                absl::StrJoin(removed, ", "), ".\n")));
  return kExitDone;
}

void AddList(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<KeyOptions>();
  CLI::App* const command = AddCommand(
      group,
      {"list", "[OPTION]... IMAGE", "Show the key slots of an image",
       "Takes no locks and asks for no passphrase.",
       "  qcow2-tool key list disk.qcow2\n"},
      chosen,
      [options](const Console& console) { return RunList(*options, console); });
  AddArgument(*command, "IMAGE", options->image);
  AddOutputFormat(*command, options->json);
}

void AddAdd(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<KeyOptions>();
  CLI::App* const command = AddCommand(
      group,
      {"add", "[OPTION]... IMAGE", "Let another passphrase open an image",
       "Needs one that opens it.",
       "  qcow2-tool key add --secret-file=old --new-secret-file=new "
       "disk.qcow2\n"},
      chosen,
      [options](const Console& console) { return RunAdd(*options, console); });
  AddArgument(*command, "IMAGE", options->image);
  AddSecretOptions(*command, "--secret", "A passphrase that opens the image",
                   options->secret);
  AddSecretOptions(*command, "--new-secret", "The new passphrase",
                   options->other);
  AddNumber(*command, "--slot",
            "The key slot for it, 0 to 7; the first that is free (default)",
            options->slot);
  AddOption(*command, "--iter-time", "MS",
            "How long deriving the key shall take; 2000 (default)",
            [options](const std::string& value) {
              return TakeCreateOption("encrypt.iter-time", value,
                                      options->arguments);
            });
}

void AddRemove(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<KeyOptions>();
  CLI::App* const command = AddCommand(
      group,
      {"remove", "[OPTION]... IMAGE",
       "Let a passphrase no longer open an image",
       "The last one is not removed: without it the data would be lost. "
       "Copies of the image made before still open with it.",
       "  qcow2-tool key remove --old-secret-file=old disk.qcow2\n"
       "  qcow2-tool key remove --slot=0 disk.qcow2\n"},
      chosen, [options](const Console& console) {
        return RunRemove(*options, console);
      });
  AddArgument(*command, "IMAGE", options->image);
  AddSecretOptions(*command, "--old-secret",
                   "The passphrase to remove, from all slots it opens,",
                   options->other);
  AddNumber(*command, "--slot", "The key slot to remove, 0 to 7",
            options->slot);
}

}  // namespace

void AddKeyCommands(CLI::App& app, Action& chosen) {
  CLI::App* const group = AddCommandGroup(
      app, {"key", "list|add|remove ...",
            "List, add and remove the passphrases of a LUKS image", "", ""});
  AddList(*group, chosen);
  AddAdd(*group, chosen);
  AddRemove(*group, chosen);
}

}  // namespace qcow2::tool
