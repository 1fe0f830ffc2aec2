// qcow2-tool amend: changes what an image is.
#include <memory>

#include "cli/tool/commands.h"
#include "cli/tool/create_arguments.h"
#include "cli/tool/disk_options.h"
#include "cli/tool/key_values.h"
#include "engine/operations/amend.h"
#include "engine/status_macros.h"

namespace qcow2::tool {
namespace {

struct AmendCommandOptions {
  std::string image;
  DiskOptions disk;
  AmendOptions amend;
};

// Judges the value as `create` does.
std::string TakeAmendOption(const std::string& key, const std::string& value,
                            AmendCommandOptions& options) {
  CreateArguments arguments;
  if (key != "compat" && key != "refcount_bits" && key != "lazy_refcounts" &&
      key != "backing_file" && key != "backing_fmt") {
    return "cannot be changed";
  }
  std::string wrong = TakeCreateOption(key, value, arguments);
  const CreateOptions& taken = arguments.create;
  if (!wrong.empty()) return wrong;
  AmendOptions& amend = options.amend;
  if (key == "compat") amend.version = taken.version;
  if (key == "refcount_bits") amend.refcount_bits = taken.refcount_bits;
  if (key == "lazy_refcounts") amend.lazy_refcounts = taken.lazy_refcounts;
  if (key == "backing_file") amend.backing_file = value;
  if (key == "backing_fmt") amend.backing_format = value;
  return {};
}

absl::StatusOr<int> RunAmend(const AmendCommandOptions& options) {
  RETURN_IF_ERROR(AmendImage(
      options.image, ChainOptionsFrom(options.disk, true), options.amend));
  return kExitDone;
}

}  // namespace

void AddAmendCommand(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<AmendCommandOptions>();
  CLI::App* const command = AddCommand(
      app,
      {"amend", "[OPTION]... IMAGE", "Change what an image is",
       "Its version, up and down, the width of its refcounts, whether they may "
       "be late, and its backing file's name and format.",
       "  qcow2-tool amend -o compat=1.1,refcount_bits=64 disk.qcow2\n"
       "  qcow2-tool amend --compat=0.10 disk.qcow2\n"},
      chosen, [options](const Console&) { return RunAmend(*options); });
  AddArgument(*command, "IMAGE", options->image);
  AddOption(*command, "-o", "KEY=VALUE,...",
            "compat, refcount_bits, lazy_refcounts, backing_file, backing_fmt",
            [options](const std::string& list) {
              return ForEachPair(
                  list, [&](const std::string& key, const std::string& value) {
                    return TakeAmendOption(key, value, *options);
                  });
            });
  const auto add = [&](const char* name, const char* value_name,
                       const char* help, const char* key) {
    AddOption(*command, name, value_name, help,
              [options, key](const std::string& value) {
                return TakeAmendOption(key, value, *options);
              });
  };
  add("--compat", "VERSION", "0.10 (v2) or 1.1 (v3)", "compat");
  add("--refcount-bits", "N", "1, 2, 4, ... 64", "refcount_bits");
  add("--lazy-refcounts", "on|off", "Whether refcounts may be late",
      "lazy_refcounts");
  add("-b,--backing-file", "FILE", "The backing file's name", "backing_file");
  add("-F,--backing-format", "FORMAT", "Its format", "backing_fmt");
  AddSecretOptions(*command, options->disk.secret);
  AddBackingOption(*command, options->disk.named_files);
}

}  // namespace qcow2::tool
