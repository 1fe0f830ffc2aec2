#include "cli/tool/disk_options.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/tool/key_values.h"
#include "cli/units.h"
#include "engine/image/snapshot_disk.h"
#include "engine/status_macros.h"

namespace qcow2::tool {
namespace {

struct OverlapRow {
  const char* name;
  uint32_t classes;
};

constexpr OverlapRow kTemplates[] = {
    {"none", kOverlapNone},
    {"constant", kOverlapConstant},
    {"cached", kOverlapCached},
    {"all", kOverlapAll},
};

constexpr OverlapRow kClasses[] = {
    {"overlap-check.main-header", kOverlapMainHeader},
    {"overlap-check.active-l1", kOverlapActiveL1},
    {"overlap-check.active-l2", kOverlapActiveL2},
    {"overlap-check.refcount-table", kOverlapRefcountTable},
    {"overlap-check.refcount-block", kOverlapRefcountBlock},
    {"overlap-check.snapshot-table", kOverlapSnapshotTable},
    {"overlap-check.inactive-l1", kOverlapInactiveL1},
    {"overlap-check.inactive-l2", kOverlapInactiveL2},
    {"overlap-check.bitmap-directory", kOverlapBitmapDirectory},
};

struct SwitchRow {
  const char* name;
  bool ImageTuning::*field;
};

constexpr SwitchRow kSwitches[] = {
    {"pass-discard-request", &ImageTuning::pass_discard_request},
    {"pass-discard-snapshot", &ImageTuning::pass_discard_snapshot},
    {"pass-discard-other", &ImageTuning::pass_discard_other},
};

std::string TakeTemplate(const std::string& value, ImageTuning& tuning) {
  for (const OverlapRow& row : kTemplates) {
    if (value != row.name) continue;
    tuning.overlap_check = row.classes;
    return {};
  }
  return "'" + value + "' is none of none, constant, cached and all";
}

std::string TakeOverlapClass(const std::string& key, const std::string& value,
                             ImageTuning& tuning) {
  for (const OverlapRow& row : kClasses) {
    if (key != row.name) continue;
    bool on = false;
    std::string wrong = TakeSwitch(value, on);
    tuning.overlap_check = on ? tuning.overlap_check | row.classes
                              : tuning.overlap_check & ~row.classes;
    return wrong;
  }
  return "no such option";
}

std::string TakeBytes(const std::string& value, uint64_t& target) {
  const std::optional<uint64_t> bytes = ParseBytes(value);
  if (!bytes) return "'" + value + "' is not a number of bytes";
  target = *bytes;
  return {};
}

// As QEMU divides it: refcount blocks need little.
std::string TakeCacheSize(const std::string& value, ImageTuning& tuning) {
  uint64_t bytes = 0;
  std::string wrong = TakeBytes(value, bytes);
  tuning.refcount_cache_bytes = bytes / 5;
  tuning.l2_cache_bytes = bytes - tuning.refcount_cache_bytes;
  return wrong;
}

std::string TakePair(const std::string& key, const std::string& value,
                     ImageTuning& tuning) {
  for (const SwitchRow& row : kSwitches) {
    if (key == row.name) return TakeSwitch(value, tuning.*row.field);
  }
  if (key == "lazy-refcounts") {
    bool on = false;
    std::string wrong = TakeSwitch(value, on);
    tuning.lazy_refcounts = on;
    return wrong;
  }
  if (key == "overlap-check" || key == "overlap-check.template") {
    return TakeTemplate(value, tuning);
  }
  if (key == "cache-size") return TakeCacheSize(value, tuning);
  if (key == "l2-cache-size") return TakeBytes(value, tuning.l2_cache_bytes);
  if (key == "refcount-cache-size") {
    return TakeBytes(value, tuning.refcount_cache_bytes);
  }
  if (key == "cache-clean-interval") {
    const std::optional<uint64_t> seconds = cli::ParseNumber(value);
    constexpr uint64_t kMaxSeconds = uint64_t{1} << 31;
    if (!seconds || *seconds > kMaxSeconds) {
      return "'" + value + "' is not a number of seconds";
    }
    tuning.cache_clean_interval =
        std::chrono::seconds(static_cast<int64_t>(*seconds));
    return {};
  }
  return TakeOverlapClass(key, value, tuning);
}

absl::Status CheckComplete(const Image& image, const DiskOptions& options) {
  if (options.named_files != NamedFilePolicy::kNone ||
      image.header_area().backing_name.empty()) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "'", image.name(),
      "' has a backing file, and cannot be written without it "
      "(--backing=none): bytes that only the backing file has would be lost"));
}

}  // namespace

absl::StatusOr<Secret> SecretSource::Load() const {
  return file.empty() ? LoadSecretVariable(variable) : LoadSecretFile(file);
}

void AddSecretOptions(CLI::App& command, SecretSource& source) {
  AddSecretOptions(command, "--secret", "The passphrase of an encrypted image",
                   source);
}

void AddSecretOptions(CLI::App& command, const std::string& name,
                      const std::string& whose, SecretSource& source) {
  AddOption(command, name + "-file", "FILE", whose + " is what FILE holds",
            [&source](const std::string& value) -> std::string {
              if (source.given()) return "one passphrase is enough";
              source.file = value;
              return value.empty() ? "the name of a file is needed" : "";
            });
  AddOption(command, name + "-env", "NAME",
            "It is the value of the environment variable NAME",
            [&source](const std::string& value) -> std::string {
              if (source.given()) return "one passphrase is enough";
              source.variable = value;
              return value.empty() ? "the name of a variable is needed" : "";
            });
}

void AddWriteDiskOptions(CLI::App& command, DiskOptions& options) {
  AddOption(command, "-f,--format", "FORMAT",
            "qcow2 or raw; without it the file's first bytes tell",
            [&options](const std::string& value) {
              return TakeFormat(value, options.format);
            });
  AddSecretOptions(command, options.secret);
  AddOption(command, "--tune", "KEY=VALUE,...",
            "How the image is opened: lazy-refcounts, pass-discard-request, "
            "pass-discard-snapshot, pass-discard-other, overlap-check, "
            "overlap-check.CLASS, cache-size, l2-cache-size, "
            "refcount-cache-size, cache-clean-interval",
            [&options](const std::string& value) {
              return TakeTuning(value, options.tuning);
            });
  AddBackingOption(command, options.named_files);
}

void AddBackingOption(CLI::App& command, NamedFilePolicy& policy) {
  AddOption(
      command, "--backing", "POLICY",
      "Which files that an image names, backing and data files, are "
      "opened: follow (default), regular files; any, block devices as "
      "well; same-dir, only those in the image's own folder; none",
      [&policy](const std::string& value) -> std::string {
        const std::optional<NamedFilePolicy> taken = PolicyFromName(value);
        if (!taken) {
          return "'" + value + "' is none of follow, any, same-dir and none";
        }
        policy = *taken;
        return {};
      });
}

void AddReadDiskOptions(CLI::App& command, DiskOptions& options) {
  AddWriteDiskOptions(command, options);
  AddFlag(command, "-U,--force-share",
          "Read an image that another program writes", options.force_share);
}

void AddSnapshotOption(CLI::App& command, const std::string& name,
                       std::string& snapshot) {
  AddOption(command, name, "SNAPSHOT",
            "The disk as that snapshot has it, told by its id, or else name",
            [&snapshot](const std::string& value) -> std::string {
              snapshot = value;
              return value.empty() ? "an id or a name is needed" : "";
            });
}

std::string TakeFormat(const std::string& value, DiskFormat& format) {
  for (const DiskFormat known :
       {DiskFormat::kAuto, DiskFormat::kQcow2, DiskFormat::kRaw}) {
    if (value != NameOfFormat(known)) continue;
    format = known;
    return {};
  }
  return "'" + value + "' is neither qcow2 nor raw";
}

std::string TakeTuning(const std::string& list, ImageTuning& tuning) {
  return ForEachPair(list,
                     [&](const std::string& key, const std::string& value) {
                       return TakePair(key, value, tuning);
                     });
}

std::function<absl::StatusOr<Secret>(const std::string& path)> PassphraseFrom(
    const SecretSource& source) {
  if (!source.given()) return nullptr;
  return [source](const std::string&) { return source.Load(); };
}

ChainOptions ChainOptionsFrom(const DiskOptions& options, bool writable) {
  ChainOptions chain;
  chain.writable = writable;
  chain.force_share = options.force_share;
  chain.backing = options.named_files;
  chain.data_file = options.named_files;
  chain.passphrase = PassphraseFrom(options.secret);
  chain.tuning = options.tuning;
  return chain;
}

absl::StatusOr<std::unique_ptr<GuestDisk>> OpenForReading(
    const std::string& path, const DiskOptions& options) {
  const ChainOptions chain = ChainOptionsFrom(options, false);
  if (options.snapshot.empty()) return OpenDisk(path, options.format, chain);
  if (options.format == DiskFormat::kRaw) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "': a raw disk has no snapshots"));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Image> image, OpenImage(path, chain));
  return SnapshotDisk::Open(std::move(image), options.snapshot);
}

absl::StatusOr<std::unique_ptr<GuestDisk>> OpenForWriting(
    const std::string& path, const DiskOptions& options) {
  ASSIGN_OR_RETURN(
      std::unique_ptr<GuestDisk> disk,
      OpenDisk(path, options.format, ChainOptionsFrom(options, true)));
  if (const auto* const image = dynamic_cast<Image*>(disk.get());
      image != nullptr) {
    RETURN_IF_ERROR(CheckComplete(*image, options));
  }
  return disk;
}

absl::StatusOr<std::unique_ptr<Image>> OpenImageForWriting(
    const std::string& path, const DiskOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<Image> image,
                   OpenImage(path, ChainOptionsFrom(options, true)));
  RETURN_IF_ERROR(CheckComplete(*image, options));
  return image;
}

absl::Status CloseDisk(GuestDisk& disk) {
  auto* const image = dynamic_cast<Image*>(&disk);
  return image != nullptr ? image->Close() : disk.Flush();
}

}  // namespace qcow2::tool
