// qcow2-tool create: a new, empty disk.
#include <memory>

#include "absl/strings/str_cat.h"
#include "cli/tool/commands.h"
#include "cli/tool/create_arguments.h"
#include "cli/tool/disk_options.h"
#include "engine/operations/create_disk.h"
#include "engine/status_macros.h"

namespace qcow2::tool {
namespace {

struct CreateCommandOptions {
  std::string image;
  std::string size;
  DiskFormat format = DiskFormat::kQcow2;
  bool unchecked_backing = false;
  CreateArguments arguments;
};

// The size of the backing file, which also shows that it can be opened.
absl::StatusOr<uint64_t> BackingSize(const CreateCommandOptions& options) {
  const CreateOptions& create = options.arguments.create;
  ASSIGN_OR_RETURN(const std::string path,
                   PathOfNamedFile(options.image, create.backing_file));
  DiskOptions disk;
  const std::string wrong =
      TakeFormat(create.backing_format.empty() ? "auto" : create.backing_format,
                 disk.format);
  if (!wrong.empty()) return UsageError("--backing-format: " + wrong);
  disk.force_share = true;
  disk.secret = options.arguments.secret;
  ASSIGN_OR_RETURN(const std::unique_ptr<GuestDisk> backing,
                   OpenForReading(path, disk));
  return backing->size_bytes();
}

absl::Status DecideSize(CreateCommandOptions& options) {
  CreateArguments& arguments = options.arguments;
  if (!options.size.empty()) {
    arguments.size = ParseBytes(options.size);
    if (!arguments.size) {
      return UsageError("'" + options.size + "' is not a number of bytes");
    }
  }
  if (!arguments.create.backing_file.empty() && !options.unchecked_backing) {
    ASSIGN_OR_RETURN(const uint64_t size, BackingSize(options));
    if (!arguments.size) arguments.size = size;
  }
  if (!arguments.size) {
    return UsageError("the size of the disk is missing");
  }
  // A disk is made of whole sectors, as other tools have it.
  constexpr uint64_t kSector = 512;
  if (*arguments.size > ~uint64_t{0} - kSector) {
    return UsageError("the disk is too large");
  }
  arguments.create.virtual_size =
      (*arguments.size + kSector - 1) / kSector * kSector;
  return absl::OkStatus();
}

absl::StatusOr<int> RunCreate(CreateCommandOptions options) {
  RETURN_IF_ERROR(DecideSize(options));
  RETURN_IF_ERROR(FinishCreateOptions(options.arguments));
  NewDiskFiles files;
  RETURN_IF_ERROR(CreateDisk(options.image, options.format,
                             options.arguments.create, files));
  files.Keep();
  return kExitDone;
}

}  // namespace

void AddCreateCommand(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<CreateCommandOptions>();
  CLI::App* const command = AddCommand(
      app,
      {"create", "[OPTION]... IMAGE [SIZE]", "Make a new, empty image",
       "A file that is there is overwritten, unless somebody has it open. With "
       "a backing file SIZE can be left out.",
       "  qcow2-tool create disk.qcow2 20G\n"
       "  qcow2-tool create -o cluster_size=4K,refcount_bits=64 disk.qcow2 1T\n"
       "  qcow2-tool create -b base.qcow2 -F qcow2 overlay.qcow2\n"
       "  PASS=... qcow2-tool create --encrypt=luks --secret-env=PASS "
       "disk.qcow2 1G\n"},
      chosen, [options](const Console&) { return RunCreate(*options); });
  AddArgument(*command, "IMAGE", options->image);
  AddOptionalArgument(*command, "SIZE", options->size);
  AddOption(*command, "-f,--format", "FORMAT", "qcow2 (default) or raw",
            [options](const std::string& value) -> std::string {
              if (value == "auto") return "'auto' is neither qcow2 nor raw";
              return TakeFormat(value, options->format);
            });
  AddFlag(*command, "-u,--unchecked-backing",
          "Do not look whether the backing file is there",
          options->unchecked_backing);
  AddCreateOptions(*command, true, options->arguments);
}

}  // namespace qcow2::tool
