// qcow2-tool commit and rebase: work on an image and its backing file.
#include <memory>

#include "cli/tool/commands.h"
#include "cli/tool/disk_options.h"
#include "engine/operations/commit.h"
#include "engine/operations/rebase.h"
#include "engine/status_macros.h"

namespace qcow2::tool {
namespace {

struct ChainCommandOptions {
  std::string image;
  DiskOptions disk;
  bool keep = false;  // commit: what the image has stays
  RebaseOptions rebase;
};

absl::StatusOr<int> RunCommit(const ChainCommandOptions& options,
                              const Console& console) {
  CommitOptions commit;
  commit.empty_image = !options.keep;
  commit.control.cancel = console.cancel;
  RETURN_IF_ERROR(CommitImageAt(options.image,
                                ChainOptionsFrom(options.disk, true), commit));
  return kExitDone;
}

absl::StatusOr<int> RunRebase(const ChainCommandOptions& options,
                              const Console& console) {
  RebaseOptions rebase = options.rebase;
  rebase.control.cancel = console.cancel;
  RETURN_IF_ERROR(RebaseImageAt(options.image,
                                ChainOptionsFrom(options.disk, true), rebase));
  return kExitDone;
}

}  // namespace

void AddChainCommands(CLI::App& app, Action& chosen) {
  auto commit = std::make_shared<ChainCommandOptions>();
  CLI::App* const commit_command = AddCommand(
      app,
      {"commit", "[OPTION]... IMAGE",
       "Write what an image has to its backing file",
       "The image is empty afterwards.", "  qcow2-tool commit overlay.qcow2\n"},
      chosen,
      [commit](const Console& console) { return RunCommit(*commit, console); });
  AddArgument(*commit_command, "IMAGE", commit->image);
  AddFlag(*commit_command, "-d,--keep", "Do not empty the image", commit->keep);
  AddSecretOptions(*commit_command, commit->disk.secret);
  AddBackingOption(*commit_command, commit->disk.named_files);

  auto rebase = std::make_shared<ChainCommandOptions>();
  CLI::App* const rebase_command = AddCommand(
      app,
      {"rebase", "[OPTION]... IMAGE", "Give an image another backing file",
       "The disk reads the same afterwards: what the new backing file has "
       "different is copied to the image. With --unsafe only the name changes.",
       "  qcow2-tool rebase -b new-base.qcow2 -F qcow2 overlay.qcow2\n"
       "  qcow2-tool rebase overlay.qcow2\n"},
      chosen,
      [rebase](const Console& console) { return RunRebase(*rebase, console); });
  AddArgument(*rebase_command, "IMAGE", rebase->image);
  AddText(*rebase_command, "-b,--backing-file", "FILE",
          "The new backing file; none (default)", rebase->rebase.backing_file);
  AddText(*rebase_command, "-F,--backing-format", "FORMAT",
          "Its format: qcow2 or raw", rebase->rebase.backing_format);
  AddFlag(*rebase_command, "-u,--unsafe",
          "Change the name only; no backing file is opened",
          rebase->rebase.unsafe);
  AddSecretOptions(*rebase_command, rebase->disk.secret);
  AddBackingOption(*rebase_command, rebase->disk.named_files);
}

}  // namespace qcow2::tool
