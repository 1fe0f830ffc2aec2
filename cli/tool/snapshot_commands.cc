// qcow2-tool snapshot: internal snapshots.
#include <chrono>
#include <memory>

#include "cli/tool/commands.h"
#include "cli/tool/disk_options.h"
#include "cli/tool/image_info.h"
#include "cli/tool/text_output.h"
#include "engine/image/snapshots.h"
#include "engine/status_macros.h"

namespace qcow2::tool {
namespace {

struct SnapshotOptions {
  std::string image;
  std::string snapshot;  // a name, or an id
  std::string id;
  DiskOptions disk;
  bool json = false;
};

absl::StatusOr<int> RunList(const SnapshotOptions& options,
                            const Console& console) {
  ASSIGN_OR_RETURN(const Json info,
                   ImageInfo(options.image, DiskFormat::kQcow2));
  const Json snapshots =
      info.contains("snapshots") ? info.at("snapshots") : Json::array();
  TextOutput output(console.standard_output);
  output.Append(
      options.json
          ? snapshots.dump(4, ' ', false, Json::error_handler_t::replace) + "\n"
          : SnapshotsText(snapshots));
  RETURN_IF_ERROR(output.Finish());
  return kExitDone;
}

absl::StatusOr<int> RunCreate(const SnapshotOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Image> image,
                   OpenImageForWriting(options.image, options.disk));
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now);
  const auto rest =
      std::chrono::duration_cast<std::chrono::nanoseconds>(now - seconds);
  NewSnapshot snapshot;
  snapshot.name = options.snapshot;
  if (!options.id.empty()) snapshot.id = options.id;
  snapshot.date_seconds = static_cast<uint32_t>(seconds.count());
  snapshot.date_nanoseconds = static_cast<uint32_t>(rest.count());
  RETURN_IF_ERROR(CreateSnapshot(image->core(), snapshot).status());
  RETURN_IF_ERROR(image->Close());
  return kExitDone;
}

using ChangeSnapshot = absl::Status (*)(ImageCore& core,
                                        std::string_view id_or_name);

absl::StatusOr<int> RunChange(const SnapshotOptions& options,
                              ChangeSnapshot change) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Image> image,
                   OpenImageForWriting(options.image, options.disk));
  RETURN_IF_ERROR(change(image->core(), options.snapshot));
  RETURN_IF_ERROR(image->Close());
  return kExitDone;
}

void AddList(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<SnapshotOptions>();
  CLI::App* const command = AddCommand(
      group,
      {"list", "[OPTION]... IMAGE", "Show the snapshots of an image", "",
       "  qcow2-tool snapshot list disk.qcow2\n"},
      chosen,
      [options](const Console& console) { return RunList(*options, console); });
  AddArgument(*command, "IMAGE", options->image);
  AddOutputFormat(*command, options->json);
}

void AddCreate(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<SnapshotOptions>();
  CLI::App* const command = AddCommand(
      group,
      {"create", "[OPTION]... IMAGE NAME", "Take a snapshot of the disk", "",
       "  qcow2-tool snapshot create disk.qcow2 before-update\n"},
      chosen, [options](const Console&) { return RunCreate(*options); });
  AddArgument(*command, "IMAGE", options->image);
  AddArgument(*command, "NAME", options->snapshot);
  AddText(*command, "--id", "ID", "Its id; the next free number (default)",
          options->id);
  AddWriteDiskOptions(*command, options->disk);
}

void AddChange(CLI::App& group, Action& chosen, const CommandText& text,
               ChangeSnapshot change) {
  auto options = std::make_shared<SnapshotOptions>();
  CLI::App* const command =
      AddCommand(group, text, chosen, [options, change](const Console&) {
        return RunChange(*options, change);
      });
  AddArgument(*command, "IMAGE", options->image);
  AddArgument(*command, "SNAPSHOT", options->snapshot);
  AddWriteDiskOptions(*command, options->disk);
}

}  // namespace

void AddSnapshotCommands(CLI::App& app, Action& chosen) {
  CLI::App* const group = AddCommandGroup(
      app, {"snapshot", "create|apply|delete|list ...",
            "Create, apply, delete and list internal snapshots", "", ""});
  AddList(*group, chosen);
  AddCreate(*group, chosen);
  AddChange(*group, chosen,
            {"apply", "[OPTION]... IMAGE SNAPSHOT",
             "Make the disk what it was when the snapshot was taken",
             "What the disk is now is lost. SNAPSHOT is an id or a name.",
             "  qcow2-tool snapshot apply disk.qcow2 before-update\n"},
            ApplySnapshot);
  AddChange(*group, chosen,
            {"delete", "[OPTION]... IMAGE SNAPSHOT", "Delete a snapshot",
             "SNAPSHOT is an id or a name.",
             "  qcow2-tool snapshot delete disk.qcow2 before-update\n"},
            DeleteSnapshot);
}

}  // namespace qcow2::tool
