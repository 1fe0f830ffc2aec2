// qcow2-tool fdisk: partitions inside the guest's disk.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "checker/printable.h"
#include "cli/tool/commands.h"
#include "cli/tool/disk_options.h"
#include "cli/tool/text_output.h"
#include "cli/units.h"
#include "engine/partition/partition_table.h"
#include "engine/status_macros.h"

namespace qcow2::tool {
namespace {

using Json = nlohmann::ordered_json;

struct FdiskOptions {
  std::string image;
  DiskOptions disk;
  bool json = false;
  NewPartition partition;
};

std::string HexByte(uint8_t value) {
  return absl::StrCat("0x", absl::Hex(value, absl::kZeroPad2));
}

std::string TypeOf(const Partition& partition, PartitionTableKind kind) {
  const std::string_view name = kind == PartitionTableKind::kGpt
                                    ? NameOfGptType(partition.gpt.type)
                                    : NameOfMbrType(partition.mbr.type);
  if (!name.empty()) return std::string(name);
  return kind == PartitionTableKind::kGpt ? partition.gpt.type.Text()
                                          : HexByte(partition.mbr.type);
}

// Cylinder, head and sector.
Json AddressJson(const ChsAddress& address) {
  return {{"cylinder", address.cylinder},
          {"head", address.head},
          {"sector", address.sector}};
}

Json PartitionJson(const Partition& partition, PartitionTableKind kind) {
  Json json = {{"number", partition.number},
               {"start", partition.first_sector},
               {"sectors", partition.sectors},
               {"type-name", TypeOf(partition, kind)}};
  if (kind == PartitionTableKind::kGpt) {
    json["type"] = partition.gpt.type.Text();
    json["guid"] = partition.gpt.guid.Text();
    json["attributes"] = partition.gpt.attributes;
    json["name"] = partition.gpt.name();
    return json;
  }
  json["type"] = HexByte(partition.mbr.type);
  json["bootable"] = partition.mbr.bootable();
  json["logical"] = partition.logical;
  json["first-chs"] = AddressJson(partition.mbr.first_chs);
  json["last-chs"] = AddressJson(partition.mbr.last_chs);
  return json;
}

const char* NameOf(PartitionTableKind kind) {
  switch (kind) {
    case PartitionTableKind::kMbr:
      return "mbr";
    case PartitionTableKind::kGpt:
      return "gpt";
    case PartitionTableKind::kNone:
      break;
  }
  return "none";
}

std::string TableJson(const PartitionTable& table) {
  Json partitions = Json::array();
  for (const Partition& partition : table.partitions) {
    partitions.push_back(PartitionJson(partition, table.kind));
  }
  Json json = {{"table", NameOf(table.kind)},
               {"sectors", table.disk_sectors},
               {"sector-size", kPartitionSectorBytes}};
  if (table.kind == PartitionTableKind::kGpt) {
    json["disk-guid"] = table.gpt_header.disk_guid.Text();
    json["from-backup"] = table.from_backup;
  }
  json["partitions"] = std::move(partitions);
  json["problems"] = table.problems;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string PartitionLine(const Partition& partition, PartitionTableKind kind) {
  const bool gpt = kind == PartitionTableKind::kGpt;
  char line[128];
  std::snprintf(line, sizeof line, "%3u  %-4s  %12llu  %12llu  %12llu  ",
                partition.number,
                !gpt && partition.mbr.bootable() ? "boot" : "",
                static_cast<unsigned long long>(partition.first_sector),
                static_cast<unsigned long long>(partition.first_sector +
                                                partition.sectors - 1),
                static_cast<unsigned long long>(partition.sectors));
  std::string text = line;
  if (!gpt) text += HexByte(partition.mbr.type) + " ";
  text += TypeOf(partition, kind);
  if (gpt && !partition.gpt.name().empty()) {
    text += " \"" + checker::Printable(partition.gpt.name()) + "\"";
  }
  return text + "\n";
}

std::string TableText(const PartitionTable& table) {
  std::string text = absl::StrCat(
      "Disk of ", table.disk_sectors, " sectors (",
      cli::HumanBytes(table.disk_sectors * kPartitionSectorBytes), "), ");
  switch (table.kind) {
    case PartitionTableKind::kNone:
      return text + "no partition table\n";
    case PartitionTableKind::kMbr:
      text += "master boot record\n";
      break;
    case PartitionTableKind::kGpt:
      text += "GUID partition table " + table.gpt_header.disk_guid.Text() +
              (table.from_backup ? ", from its backup\n" : "\n");
  }
  if (!table.partitions.empty()) {
    text += "  #  flag         first          last       sectors  type\n";
  }
  for (const Partition& partition : table.partitions) {
    text += PartitionLine(partition, table.kind);
  }
  for (const std::string& problem : table.problems) {
    text += "! " + problem + "\n";
  }
  return text;
}

absl::StatusOr<int> RunList(const FdiskOptions& options,
                            const Console& console) {
  ASSIGN_OR_RETURN(const std::unique_ptr<GuestDisk> disk,
                   OpenForReading(options.image, options.disk));
  ASSIGN_OR_RETURN(const PartitionTable table, ReadPartitionTable(*disk));
  TextOutput output(console.standard_output);
  output.Append(options.json ? TableJson(table) : TableText(table));
  RETURN_IF_ERROR(output.Finish());
  return kExitDone;
}

absl::StatusOr<int> RunCreatePartition(const FdiskOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<GuestDisk> disk,
                   OpenForWriting(options.image, options.disk));
  RETURN_IF_ERROR(CreatePartition(*disk, options.partition).status());
  RETURN_IF_ERROR(CloseDisk(*disk));
  return kExitDone;
}

void AddList(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<FdiskOptions>();
  CLI::App* const command = AddCommand(
      group,
      {"list", "[OPTION]... IMAGE", "Show the partitions of the guest's disk",
       "Primary and logical partitions of a master boot record, or those of a "
       "GUID partition table, whose checksums are verified.",
       "  qcow2-tool fdisk list disk.qcow2\n"},
      chosen,
      [options](const Console& console) { return RunList(*options, console); });
  AddArgument(*command, "IMAGE", options->image);
  AddOutputFormat(*command, options->json);
  AddSnapshotOption(*command, "-l,--snapshot", options->disk.snapshot);
  AddReadDiskOptions(*command, options->disk);
}

std::string TakeType(const std::string& value, NewPartition& partition) {
  const std::optional<uint64_t> type = ParseBytes(value);
  if (!type || *type == 0 || *type > 0xff) {
    return "'" + value + "' is not a type, 1 to 0xff";
  }
  partition.type = static_cast<uint8_t>(*type);
  return {};
}

std::string TakeSectors(const std::string& value, uint64_t& target) {
  const std::optional<uint64_t> number = ParseBytes(value);
  if (!number || *number == 0) return "'" + value + "' is not a sector";
  target = *number;
  return {};
}

void AddCreate(CLI::App& group, Action& chosen) {
  auto options = std::make_shared<FdiskOptions>();
  CLI::App* const command = AddCommand(
      group,
      {"create", "[OPTION]... IMAGE", "Create a primary partition",
       "In the master boot record, which is made if there is none. No slot in "
       "use is overwritten, and no partition overlapped.",
       "  qcow2-tool fdisk create disk.qcow2\n"
       "  qcow2-tool fdisk create --type=0x83 --start=2048 --sectors=1000000 "
       "--bootable disk.qcow2\n"},
      chosen,
      [options](const Console&) { return RunCreatePartition(*options); });
  AddArgument(*command, "IMAGE", options->image);
  AddOption(*command, "--type", "TYPE", "0x07 (default), 0x83 ...",
            [options](const std::string& value) {
              return TakeType(value, options->partition);
            });
  AddOption(*command, "--start", "SECTOR",
            "First sector of 512 bytes; 63 (default)",
            [options](const std::string& value) {
              return TakeSectors(value, options->partition.first_sector);
            });
  AddOption(*command, "--sectors", "N",
            "How many; up to the end of the last whole cylinder (default)",
            [options](const std::string& value) {
              return TakeSectors(value, options->partition.sectors);
            });
  AddFlag(*command, "--bootable", "Mark it as the one to boot from",
          options->partition.bootable);
  AddWriteDiskOptions(*command, options->disk);
}

}  // namespace

void AddFdiskCommands(CLI::App& app, Action& chosen) {
  CLI::App* const group = AddCommandGroup(
      app, {"fdisk", "list|create ...",
            "List and create partitions of the guest's disk", "", ""});
  AddList(*group, chosen);
  AddCreate(*group, chosen);
}

}  // namespace qcow2::tool
