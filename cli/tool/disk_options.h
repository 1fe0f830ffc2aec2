// How subcommands open the disks they work on: the options for it, and the
// opening.
#ifndef CLI_TOOL_DISK_OPTIONS_H_
#define CLI_TOOL_DISK_OPTIONS_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cli/tool/command.h"
#include "engine/codec/secret.h"
#include "engine/image/guest_disk.h"
#include "engine/image/image.h"
#include "engine/image/image_chain.h"

namespace qcow2::tool {

// Where a passphrase comes from; at most one of them is given.
struct SecretSource {
  std::string file;
  std::string variable;

  bool given() const { return !file.empty() || !variable.empty(); }
  absl::StatusOr<Secret> Load() const;
};
// --secret-file and --secret-env.
void AddSecretOptions(CLI::App& command, SecretSource& source);
// The same with another name: for "--new-secret" --new-secret-file and
// --new-secret-env. `whose` is for the help: "The new passphrase".
void AddSecretOptions(CLI::App& command, const std::string& name,
                      const std::string& whose, SecretSource& source);

struct DiskOptions {
  DiskFormat format = DiskFormat::kAuto;
  // The id or name of the snapshot to read; empty: the disk as it is.
  std::string snapshot;
  bool force_share = false;
  // Which backing and data files are opened.
  NamedFilePolicy named_files = NamedFilePolicy::kFollow;
  SecretSource secret;
  ImageTuning tuning;
};

// Options of a disk that is read: --format, --secret-file, --secret-env,
// --tune, --backing, --force-share.
void AddReadDiskOptions(CLI::App& command, DiskOptions& options);
// --backing.
void AddBackingOption(CLI::App& command, NamedFilePolicy& policy);
// -l and --snapshot, or as `name` says, of a disk that is read.
void AddSnapshotOption(CLI::App& command, const std::string& name,
                       std::string& snapshot);
// Options of one that is written: the same without --force-share.
void AddWriteDiskOptions(CLI::App& command, DiskOptions& options);

// "raw", "qcow2", "auto"; returns what is wrong.
std::string TakeFormat(const std::string& value, DiskFormat& format);
// "key=value[,key=value]..." of ImageTuning; returns what is wrong.
std::string TakeTuning(const std::string& list, ImageTuning& tuning);

// For ChainOptions and its like.
std::function<absl::StatusOr<Secret>(const std::string& path)> PassphraseFrom(
    const SecretSource& source);
ChainOptions ChainOptionsFrom(const DiskOptions& options, bool writable);

absl::StatusOr<std::unique_ptr<GuestDisk>> OpenForReading(
    const std::string& path, const DiskOptions& options);
// FailedPrecondition for an image whose backing file is not to be opened: what
// is written next to bytes that only that has would hide them.
absl::StatusOr<std::unique_ptr<GuestDisk>> OpenForWriting(
    const std::string& path, const DiskOptions& options);
absl::StatusOr<std::unique_ptr<Image>> OpenImageForWriting(
    const std::string& path, const DiskOptions& options);

// Brings everything written to stable storage and ends the use of the disk.
absl::Status CloseDisk(GuestDisk& disk);

}  // namespace qcow2::tool

#endif  // CLI_TOOL_DISK_OPTIONS_H_
