#include "cli/tool/commands.h"

namespace qcow2::tool {

void AddAllCommands(CLI::App& app, Action& chosen) {
  AddCreateCommand(app, chosen);
  AddInfoCommand(app, chosen);
  AddMapCommand(app, chosen);
  AddDumpCommand(app, chosen);
  AddIoCommands(app, chosen);
  AddDiskCommands(app, chosen);
  AddSnapshotCommands(app, chosen);
  AddKeyCommands(app, chosen);
  AddBitmapCommands(app, chosen);
  AddChainCommands(app, chosen);
  AddAmendCommand(app, chosen);
  AddFdiskCommands(app, chosen);
  AddBenchCommand(app, chosen);
}

}  // namespace qcow2::tool
