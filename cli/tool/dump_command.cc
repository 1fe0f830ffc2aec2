// qcow2-tool dump: every structure of an image.
#include <memory>

#include "cli/tool/commands.h"
#include "cli/tool/dump/dump_image.h"
#include "cli/tool/dump/dump_printers.h"
#include "cli/tool/text_output.h"
#include "engine/status_macros.h"
#include "engine/storage/posix_file.h"

namespace qcow2::tool {
namespace {

struct DumpOptions {
  std::string image;
  uint32_t parts = kDumpAll;
  bool json = false;
};

absl::StatusOr<int> RunDump(const DumpOptions& options,
                            const Console& console) {
  ASSIGN_OR_RETURN(const std::unique_ptr<PosixFile> file,
                   PosixFile::Open(options.image));
  TextOutput output(console.standard_output);
  absl::Status dumped;
  {
    const std::unique_ptr<DumpSink> sink =
        options.json ? MakeJsonDump(console, options.image, output)
                     : MakeTextDump(console, output);
    dumped = DumpImage(*file, options.parts, *sink);
  }
  // What is no image has nothing to print.
  RETURN_IF_ERROR(dumped);
  RETURN_IF_ERROR(output.Finish());
  if (console.cancelled()) return absl::CancelledError("cancelled");
  return kExitDone;
}

}  // namespace

void AddDumpCommand(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<DumpOptions>();
  CLI::App* const command = AddCommand(
      app,
      {"dump", "[OPTION]... IMAGE", "Show every structure of an image",
       "Each field with its place, value and meaning. Works on damaged images: "
       "what is wrong is marked with '!'. Nothing is written.",
       "  qcow2-tool dump disk.qcow2\n"
       "  qcow2-tool dump --what=l1,l2 disk.qcow2\n"
       "  qcow2-tool dump --what=header --output=json disk.qcow2\n"},
      chosen,
      [options](const Console& console) { return RunDump(*options, console); });
  AddArgument(*command, "IMAGE", options->image);
  AddOption(*command, "--what", "LIST",
            "What to show: header, extensions, l1, l2, refcount-table, "
            "refcount-blocks, snapshots, bitmaps, separated by commas, or "
            "all (default)",
            [options](const std::string& value) -> std::string {
              const absl::StatusOr<uint32_t> parts = ParseDumpParts(value);
              if (!parts.ok()) return std::string(parts.status().message());
              options->parts = *parts;
              return {};
            });
  AddOutputFormat(*command, options->json);
}

}  // namespace qcow2::tool
