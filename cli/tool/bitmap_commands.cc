// qcow2-tool bitmap: persistent dirty bitmaps.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "checker/printable.h"
#include "cli/tool/commands.h"
#include "cli/tool/disk_options.h"
#include "cli/tool/image_info.h"
#include "cli/tool/text_output.h"
#include "engine/image/bitmaps.h"
#include "engine/status_macros.h"

namespace qcow2::tool {
namespace {

struct BitmapOptions {
  std::string image;
  std::string bitmap;
  DiskOptions disk;
  // list
  bool json = false;
  // add
  std::optional<uint64_t> granularity;
  bool disabled = false;
  // merge
  std::string source;
  std::string source_image;
};

// What lies below an image has no part in its bitmaps.
ChainOptions ChainFor(const BitmapOptions& options, bool writable) {
  ChainOptions chain = ChainOptionsFrom(options.disk, writable);
  chain.backing = NamedFilePolicy::kNone;
  return chain;
}

std::vector<std::string> FlagsOf(const BitmapInfo& bitmap) {
  std::vector<std::string> flags;
  if (bitmap.in_use) flags.emplace_back("in-use");
  if (bitmap.records) flags.emplace_back("auto");
  return flags;
}

Json BitmapsJson(const std::vector<BitmapInfo>& bitmaps) {
  Json json = Json::array();
  for (const BitmapInfo& bitmap : bitmaps) {
    Json entry = {{"flags", FlagsOf(bitmap)},
                  {"name", bitmap.name},
                  {"granularity", bitmap.granularity_bytes}};
    if (bitmap.dirty_bytes) entry["dirty-bytes"] = *bitmap.dirty_bytes;
    json.push_back(std::move(entry));
  }
  return json;
}

std::string BitmapsText(const std::vector<BitmapInfo>& bitmaps) {
  size_t width = 4;
  for (const BitmapInfo& bitmap : bitmaps) {
    width = std::max(width, checker::Printable(bitmap.name).size());
  }
  const auto line = [width](std::string name, const std::string& granularity,
                            const std::string& dirty,
                            const std::string& flags) {
    name.resize(std::max(name.size(), width), ' ');
    char rest[128];
    std::snprintf(rest, sizeof rest, "  %11s  %16s  %s", granularity.c_str(),
                  dirty.c_str(), flags.c_str());
    return name + rest + "\n";
  };
  std::string text = line("NAME", "GRANULARITY", "DIRTY BYTES", "FLAGS");
  for (const BitmapInfo& bitmap : bitmaps) {
    std::string flags;
    for (const std::string& flag : FlagsOf(bitmap)) {
      flags += (flags.empty() ? "" : ",") + flag;
    }
    text += line(checker::Printable(bitmap.name),
                 std::to_string(bitmap.granularity_bytes),
                 bitmap.dirty_bytes ? std::to_string(*bitmap.dirty_bytes) : "-",
                 flags.empty() ? "-" : flags);
  }
  return text;
}

absl::StatusOr<int> RunList(const BitmapOptions& options,
                            const Console& console) {
  ChainOptions chain = ChainFor(options, false);
  chain.tuning.metadata_only = true;
  ASSIGN_OR_RETURN(const std::unique_ptr<Image> image,
                   OpenImage(options.image, chain));
  ASSIGN_OR_RETURN(const std::vector<BitmapInfo> bitmaps,
                   ListBitmaps(image->core()));
  TextOutput output(console.standard_output);
  output.Append(options.json
                    ? BitmapsJson(bitmaps).dump(
                          4, ' ', false, Json::error_handler_t::replace) +
                          "\n"
                    : BitmapsText(bitmaps));
  RETURN_IF_ERROR(output.Finish());
  return kExitDone;
}

absl::StatusOr<int> RunAdd(const BitmapOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Image> image,
                   OpenImage(options.image, ChainFor(options, true)));
  NewBitmap bitmap;
  bitmap.name = options.bitmap;
  bitmap.granularity_bytes = options.granularity;
  bitmap.records = !options.disabled;
  RETURN_IF_ERROR(AddBitmap(image->core(), bitmap));
  RETURN_IF_ERROR(image->Close());
  return kExitDone;
}

using ChangeBitmap = absl::Status (*)(ImageCore& core, std::string_view name);

absl::StatusOr<int> RunChange(const BitmapOptions& options,
                              ChangeBitmap change) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Image> image,
                   OpenImage(options.image, ChainFor(options, true)));
  RETURN_IF_ERROR(change(image->core(), options.bitmap));
  RETURN_IF_ERROR(image->Close());
  return kExitDone;
}

absl::StatusOr<int> RunMerge(const BitmapOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Image> image,
                   OpenImage(options.image, ChainFor(options, true)));
  std::unique_ptr<Image> other;
  if (!options.source_image.empty()) {
    ASSIGN_OR_RETURN(other,
                     OpenImage(options.source_image, ChainFor(options, false)));
  }
  Image& source = other != nullptr ? *other : *image;
  RETURN_IF_ERROR(MergeBitmap(source.core(), options.source, image->core(),
                              options.bitmap));
  RETURN_IF_ERROR(image->Close());
  return kExitDone;
}

void AddList(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<BitmapOptions>();
  CLI::App* const command = AddCommand(
      group,
      {"list", "[OPTION]... IMAGE", "Show the dirty bitmaps of an image",
       "FLAGS are in-use, for a bitmap that is inconsistent because it was not "
       "stored, and auto, for one that records what is written. DIRTY BYTES is "
       "what it says has changed.",
       "  qcow2-tool bitmap list disk.qcow2\n"},
      chosen,
      [options](const Console& console) { return RunList(*options, console); });
  AddArgument(*command, "IMAGE", options->image);
  AddOutputFormat(*command, options->json);
  AddReadDiskOptions(*command, options->disk);
}

void AddAdd(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<BitmapOptions>();
  CLI::App* const command = AddCommand(
      group,
      {"add", "[OPTION]... IMAGE BITMAP",
       "Add a dirty bitmap, in which nothing is dirty", "",
       "  qcow2-tool bitmap add disk.qcow2 since-backup\n"
       "  qcow2-tool bitmap add --granularity=4K --disabled disk.qcow2 all\n"},
      chosen, [options](const Console&) { return RunAdd(*options); });
  AddArgument(*command, "IMAGE", options->image);
  AddArgument(*command, "BITMAP", options->bitmap);
  AddBytes(*command, "-g,--granularity",
           "What a bit stands for: a power of two from 512 to 2G; the cluster "
           "size, but 4K to 64K (default)",
           options->granularity);
  AddFlag(*command, "--disabled", "It does not record what is written",
          options->disabled);
  AddWriteDiskOptions(*command, options->disk);
}

void AddChange(CLI::App& group, Action& chosen, const CommandText& text,
               ChangeBitmap change) {
  auto options = std::make_shared<BitmapOptions>();
  CLI::App* const command =
      AddCommand(group, text, chosen, [options, change](const Console&) {
        return RunChange(*options, change);
      });
  AddArgument(*command, "IMAGE", options->image);
  AddArgument(*command, "BITMAP", options->bitmap);
  AddWriteDiskOptions(*command, options->disk);
}

void AddMerge(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<BitmapOptions>();
  CLI::App* const command = AddCommand(
      group,
      {"merge", "[OPTION]... IMAGE SOURCE BITMAP",
       "Make dirty in a bitmap what is dirty in another one",
       "SOURCE is a bitmap of the same image or, with --source-image, of "
       "another one of the same size. The granularities may differ.",
       "  qcow2-tool bitmap merge disk.qcow2 monday week\n"
       "  qcow2-tool bitmap merge --source-image=top.qcow2 disk.qcow2 b0 b0\n"},
      chosen, [options](const Console&) { return RunMerge(*options); });
  AddArgument(*command, "IMAGE", options->image);
  AddArgument(*command, "SOURCE", options->source);
  AddArgument(*command, "BITMAP", options->bitmap);
  AddText(*command, "-b,--source-image", "FILE", "The image that has SOURCE",
          options->source_image);
  AddWriteDiskOptions(*command, options->disk);
}

}  // namespace

void AddBitmapCommands(CLI::App& app, Action& chosen) {
  CLI::App* const group = AddCommandGroup(
      app, {"bitmap", "list|add|remove|clear|enable|disable|merge ...",
            "Dirty bitmaps: which parts of the disk changed", "", ""});
  AddList(*group, chosen);
  AddAdd(*group, chosen);
  AddChange(*group, chosen,
            {"remove", "[OPTION]... IMAGE BITMAP", "Remove a dirty bitmap",
             "This works for one that is inconsistent, too.",
             "  qcow2-tool bitmap remove disk.qcow2 since-backup\n"},
            RemoveBitmap);
  AddChange(
      *group, chosen,
      {"clear", "[OPTION]... IMAGE BITMAP", "Make nothing dirty in a bitmap",
       "", "  qcow2-tool bitmap clear disk.qcow2 since-backup\n"},
      ClearBitmap);
  AddChange(*group, chosen,
            {"enable", "[OPTION]... IMAGE BITMAP",
             "Have a bitmap record what is written", "",
             "  qcow2-tool bitmap enable disk.qcow2 since-backup\n"},
            EnableBitmap);
  AddChange(
      *group, chosen,
      {"disable", "[OPTION]... IMAGE BITMAP", "Have a bitmap stay as it is", "",
       "  qcow2-tool bitmap disable disk.qcow2 since-backup\n"},
      DisableBitmap);
  AddMerge(*group, chosen);
}

}  // namespace qcow2::tool
