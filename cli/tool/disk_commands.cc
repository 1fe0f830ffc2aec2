// qcow2-tool convert, compare and resize: work on whole disks.
#include <memory>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "cli/output_file.h"
#include "cli/tool/commands.h"
#include "cli/tool/create_arguments.h"
#include "cli/tool/disk_options.h"
#include "cli/units.h"
#include "engine/image/resize.h"
#include "engine/operations/compare.h"
#include "engine/operations/convert.h"
#include "engine/status_macros.h"

namespace qcow2::tool {
namespace {

// Shows on standard error how far an operation is, in whole percents.
OperationControl ControlFor(const Console& console, bool progress) {
  OperationControl control;
  control.cancel = console.cancel;
  if (!progress) return control;
  auto shown = std::make_shared<uint64_t>(~uint64_t{0});
  control.progress = [&console, shown](uint64_t done, uint64_t total) {
    const uint64_t percent =
        total == 0
            ? 100
            : static_cast<uint64_t>(100.0 * double(done) / double(total));
    if (percent == *shown) return;
    *shown = percent;
    cli::WriteAll(
        console.standard_error,
        absl::StrCat("\r  ", percent, " %", percent == 100 ? "\n" : ""),
        "standard error")
        .IgnoreError();
  };
  return control;
}

struct ConvertCommandOptions {
  std::string source;
  std::string target;
  DiskOptions disk;
  DiskFormat target_format = DiskFormat::kQcow2;
  CreateArguments arguments;
  bool compressed = false;
  bool progress = false;
  std::optional<uint64_t> threads;
  std::optional<uint64_t> sparse;
};

absl::StatusOr<int> RunConvert(ConvertCommandOptions options,
                               const Console& console) {
  ASSIGN_OR_RETURN(const std::unique_ptr<GuestDisk> source,
                   OpenForReading(options.source, options.disk));
  // One passphrase serves both, unless the target has its own.
  RETURN_IF_ERROR(FinishCreateOptions(options.arguments));
  ConvertOptions convert;
  convert.format = options.target_format;
  convert.create = std::move(options.arguments.create);
  convert.create.virtual_size = options.arguments.size.value_or(0);
  convert.compressed = options.compressed;
  convert.threads = static_cast<unsigned>(
      std::min<uint64_t>(options.threads.value_or(0), 256));
  convert.sparse_block_bytes = options.sparse.value_or(4096);
  convert.passphrase = PassphraseFrom(options.arguments.secret);
  // A new image is never without its own.
  if (options.disk.named_files != NamedFilePolicy::kNone) {
    convert.backing = options.disk.named_files;
  }
  convert.control = ControlFor(console, options.progress);
  RETURN_IF_ERROR(ConvertDisk(*source, options.target, convert));
  return kExitDone;
}

void AddConvert(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<ConvertCommandOptions>();
  CLI::App* const command = AddCommand(
      app,
      {"convert", "[OPTION]... SOURCE TARGET",
       "Copy a disk to a new image or raw file",
       "With a backing file only what SOURCE's first layer has is copied. "
       "--secret-file and --secret-env are those of TARGET.",
       "  qcow2-tool convert disk.raw disk.qcow2\n"
       "  qcow2-tool convert -O raw disk.qcow2 disk.raw\n"
       "  qcow2-tool convert -c --threads=4 -o compression_type=zstd "
       "disk.qcow2 "
       "small.qcow2\n"
       "  qcow2-tool convert --snapshot=before-update disk.qcow2 "
       "old-disk.qcow2\n"},
      chosen, [options](const Console& console) {
        return RunConvert(*options, console);
      });
  AddArgument(*command, "SOURCE", options->source);
  AddArgument(*command, "TARGET", options->target);
  AddOption(*command, "-f,--format", "FORMAT",
            "Of SOURCE: qcow2 or raw; without it its first bytes tell",
            [options](const std::string& value) {
              return TakeFormat(value, options->disk.format);
            });
  AddOption(*command, "-O,--target-format", "FORMAT",
            "Of TARGET: qcow2 (default) or raw",
            [options](const std::string& value) -> std::string {
              if (value == "auto") return "'auto' is neither qcow2 nor raw";
              return TakeFormat(value, options->target_format);
            });
  AddSnapshotOption(*command, "-l,--snapshot", options->disk.snapshot);
  AddFlag(*command, "-c,--compressed", "Store compressed clusters",
          options->compressed);
  AddNumber(*command, "--threads", "How many; one a processor (default)",
            options->threads);
  AddBytes(*command, "-S,--sparse-size",
           "Find zeros in blocks of that many bytes; 0: write them; 4K "
           "(default)",
           options->sparse);
  AddFlag(*command, "-p,--progress", "Show progress on standard error",
          options->progress);
  AddFlag(*command, "-U,--force-share",
          "Read an image that another program writes",
          options->disk.force_share);
  AddBackingOption(*command, options->disk.named_files);
  AddSecretOptions(*command, "--source-secret", "The passphrase of SOURCE",
                   options->disk.secret);
  AddCreateOptions(*command, true, options->arguments);
}

struct CompareCommandOptions {
  std::string a;
  std::string b;
  DiskOptions disk;
  DiskFormat second_format = DiskFormat::kAuto;
  std::string second_snapshot;
  bool strict = false;
  bool quiet = false;
  bool progress = false;
};

std::string Describe(const CompareResult& result) {
  switch (result.difference) {
    case DiskDifference::kNone:
      return result.same_size ? "The disks are identical.\n"
                              : "The disks are identical, but one is longer "
                                "and goes on with zeros.\n";
    case DiskDifference::kContents:
      return absl::StrCat("The contents differ at offset ", result.offset,
                          ".\n");
    case DiskDifference::kAllocation:
      return absl::StrCat("The allocation differs at offset ", result.offset,
                          ".\n");
    case DiskDifference::kSize:
      return "The sizes differ.\n";
  }
  return {};
}

absl::StatusOr<int> Compare(const CompareCommandOptions& options,
                            const Console& console) {
  ASSIGN_OR_RETURN(const std::unique_ptr<GuestDisk> a,
                   OpenForReading(options.a, options.disk));
  DiskOptions second = options.disk;
  second.format = options.second_format;
  second.snapshot = options.second_snapshot;
  ASSIGN_OR_RETURN(const std::unique_ptr<GuestDisk> b,
                   OpenForReading(options.b, second));
  CompareOptions compare;
  compare.strict = options.strict;
  compare.control = ControlFor(console, options.progress);
  ASSIGN_OR_RETURN(const CompareResult result, CompareDisks(*a, *b, compare));
  if (!options.quiet) {
    RETURN_IF_ERROR(cli::WriteAll(console.standard_output, Describe(result),
                                  "standard output"));
  }
  return result.difference == DiskDifference::kNone ? kCompareSame
                                                    : kCompareDifferent;
}

// A failure has a code of its own, since 1 means that disks differ.
absl::StatusOr<int> RunCompare(const CompareCommandOptions& options,
                               const Console& console) {
  absl::StatusOr<int> code = Compare(options, console);
  if (code.ok()) return code;
  Complain(console, code.status());
  return kCompareFailed;
}

void AddCompare(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<CompareCommandOptions>();
  CLI::App* const command = AddCommand(
      app,
      {"compare", "[OPTION]... DISK DISK", "Compare the contents of two disks",
       "A longer disk is the same if it goes on with zeros. --format and "
       "--snapshot are those of the first disk. Exit codes: 0 same, 1 "
       "different, 2 failed.",
       "  qcow2-tool compare disk.qcow2 disk.raw\n"
       "  qcow2-tool compare --snapshot=before-update disk.qcow2 disk.qcow2\n"},
      chosen, [options](const Console& console) {
        return RunCompare(*options, console);
      });
  AddArgument(*command, "DISK", options->a);
  AddArgument(*command, "OTHER", options->b);
  AddReadDiskOptions(*command, options->disk);
  AddSnapshotOption(*command, "-l,--snapshot", options->disk.snapshot);
  AddSnapshotOption(*command, "--other-snapshot", options->second_snapshot);
  AddOption(*command, "-F,--other-format", "FORMAT",
            "Of the second disk: qcow2 or raw",
            [options](const std::string& value) {
              return TakeFormat(value, options->second_format);
            });
  AddFlag(*command, "-s,--strict", "Sizes and allocation must be the same, too",
          options->strict);
  AddFlag(*command, "-q,--quiet", "Print nothing", options->quiet);
  AddFlag(*command, "-p,--progress", "Show progress on standard error",
          options->progress);
}

struct ResizeCommandOptions {
  std::string image;
  std::string size;
  DiskOptions disk;
  bool shrink = false;
  CreateArguments arguments;  // only preallocation
};

// "20G", or "+5G" and "-5G" from the size there is.
absl::StatusOr<uint64_t> NewSize(const std::string& text, uint64_t now) {
  const bool relative = text.starts_with('+') || text.starts_with('-');
  const std::optional<uint64_t> bytes =
      ParseBytes(relative ? text.substr(1) : text);
  if (!bytes) return UsageError("'" + text + "' is not a number of bytes");
  if (!relative) return *bytes;
  if (text[0] == '-') {
    if (*bytes > now) return UsageError("the disk is not that long");
    return now - *bytes;
  }
  if (*bytes > ~uint64_t{0} - now) return UsageError("the disk is too large");
  return now + *bytes;
}

absl::StatusOr<int> RunResize(const ResizeCommandOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Image> image,
                   OpenImageForWriting(options.image, options.disk));
  ASSIGN_OR_RETURN(const uint64_t size,
                   NewSize(options.size, image->size_bytes()));
  ResizeOptions resize;
  resize.preallocation = options.arguments.create.preallocation;
  resize.allow_shrink = options.shrink;
  RETURN_IF_ERROR(ResizeImage(*image, size, resize));
  RETURN_IF_ERROR(image->Close());
  return kExitDone;
}

void AddResize(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<ResizeCommandOptions>();
  CLI::App* const command = AddCommand(
      app,
      {"resize", "[OPTION]... IMAGE SIZE", "Make the disk longer or shorter",
       "SIZE is the new one, or a difference that begins with + (or with -, "
       "behind a --).",
       "  qcow2-tool resize disk.qcow2 +10G\n"
       "  qcow2-tool resize --shrink disk.qcow2 5G\n"
       "  qcow2-tool resize --shrink -- disk.qcow2 -1G\n"},
      chosen, [options](const Console&) { return RunResize(*options); });
  AddArgument(*command, "IMAGE", options->image);
  AddArgument(*command, "SIZE", options->size);
  AddFlag(*command, "--shrink", "The disk may become shorter and lose data",
          options->shrink);
  AddOption(*command, "--preallocation", "MODE",
            "Of what is added: off (default), metadata, falloc or full",
            [options](const std::string& value) {
              return TakeCreateOption("preallocation", value,
                                      options->arguments);
            });
  AddSecretOptions(*command, options->disk.secret);
}

}  // namespace

void AddDiskCommands(CLI::App& app, Action& chosen) {
  AddConvert(app, chosen);
  AddCompare(app, chosen);
  AddResize(app, chosen);
}

}  // namespace qcow2::tool
