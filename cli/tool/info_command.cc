// qcow2-tool info: what an image is.
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/tool/commands.h"
#include "cli/tool/disk_options.h"
#include "cli/tool/image_info.h"
#include "cli/tool/text_output.h"
#include "engine/status_macros.h"

namespace qcow2::tool {
namespace {

struct InfoOptions {
  std::string image;
  DiskFormat format = DiskFormat::kAuto;
  bool json = false;
  bool chain = false;
  NamedFilePolicy named_files = NamedFilePolicy::kFollow;
};

// The image and, with --backing-chain, all below it.
absl::StatusOr<Json> Collect(const InfoOptions& options) {
  Json all = Json::array();
  std::set<std::string> seen;
  std::string path = options.image;
  ASSIGN_OR_RETURN(std::unique_ptr<PosixFile> file, PosixFile::Open(path));
  DiskFormat format = options.format;
  while (all.size() < kMaxChainImages) {
    if (!seen.insert(path).second) {
      return absl::InvalidArgumentError(
          "the chain of backing files comes back "
          "to '" +
          path + "'");
    }
    ASSIGN_OR_RETURN(Json info, ImageInfo(*file, format));
    const bool below = options.chain &&
                       options.named_files != NamedFilePolicy::kNone &&
                       info.contains("full-backing-filename");
    if (below) {
      const std::string image = std::exchange(
          path, info.at("full-backing-filename").get<std::string>());
      ASSIGN_OR_RETURN(file, OpenNamedFile(image, path, options.named_files));
      format = DiskFormat::kAuto;
      if (info.contains("backing-filename-format")) {
        // Other formats end the walk with an error of their own.
        const std::string name =
            info.at("backing-filename-format").get<std::string>();
        if (!TakeFormat(name, format).empty()) {
          return absl::UnimplementedError(
              absl::StrCat("'", path, "' is of format '", name, "'"));
        }
      }
    }
    all.push_back(std::move(info));
    if (!below) return all;
  }
  return absl::InvalidArgumentError("the chain of backing files is too long");
}

absl::StatusOr<int> RunInfo(const InfoOptions& options,
                            const Console& console) {
  ASSIGN_OR_RETURN(const Json all, Collect(options));
  TextOutput output(console.standard_output);
  if (options.json) {
    const Json& printed = options.chain ? all : all.at(0);
    output.Append(printed.dump(4, ' ', false, Json::error_handler_t::replace) +
                  "\n");
  } else {
    for (const Json& info : all) {
      output.Append((&info == &all.at(0) ? "" : "\n") + InfoText(info));
    }
  }
  RETURN_IF_ERROR(output.Finish());
  return kExitDone;
}

}  // namespace

void AddInfoCommand(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<InfoOptions>();
  CLI::App* const command = AddCommand(
      app,
      {"info", "[OPTION]... IMAGE", "Say what an image is",
       "Takes no locks and asks for no passphrase. JSON has the keys of "
       "`qemu-img info --output=json`.",
       "  qcow2-tool info disk.qcow2\n"
       "  qcow2-tool info --backing-chain --output=json disk.qcow2\n"},
      chosen,
      [options](const Console& console) { return RunInfo(*options, console); });
  AddArgument(*command, "IMAGE", options->image);
  AddOutputFormat(*command, options->json);
  AddOption(*command, "-f,--format", "FORMAT",
            "qcow2 or raw; without it the file's first bytes tell",
            [options](const std::string& value) {
              return TakeFormat(value, options->format);
            });
  AddFlag(*command, "--backing-chain", "All images of the chain",
          options->chain);
  AddBackingOption(*command, options->named_files);
}

}  // namespace qcow2::tool
