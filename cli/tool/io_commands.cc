// qcow2-tool read, write, zero and discard: raw access for scripts.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/output_file.h"
#include "cli/tool/commands.h"
#include "cli/tool/disk_options.h"
#include "engine/descriptor.h"
#include "engine/status_macros.h"

namespace qcow2::tool {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

struct RangeOptions {
  std::string image;
  DiskOptions disk;
  std::optional<uint64_t> offset;
  std::optional<uint64_t> length;
  std::string to = "-";
  std::optional<uint64_t> pattern;
  std::string input;
  bool no_unmap = false;
};

// None where it is standard input.
absl::StatusOr<Descriptor> OpenInput(const std::string& path) {
  if (path == "-") return Descriptor(-1);
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() != -1) return file;
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot open '", path, "'"));
}

// Fills `buffer`; shorter at the end of the input.
absl::StatusOr<size_t> ReadInput(int input, std::span<std::byte> buffer) {
  size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t read =
        ::read(input, buffer.data() + done, buffer.size() - done);
    if (read == 0) break;
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) return absl::ErrnoToStatus(errno, "cannot read the input");
    done += static_cast<size_t>(read);
  }
  return done;
}

absl::Status CheckCancelled(const Console& console) {
  return console.cancelled() ? absl::CancelledError("cancelled")
                             : absl::OkStatus();
}

// The range that was asked for: to the end of the disk without a length.
absl::StatusOr<uint64_t> LengthOf(const RangeOptions& options,
                                  const GuestDisk& disk) {
  const uint64_t offset = options.offset.value_or(0);
  const uint64_t size = disk.size_bytes();
  if (offset > size) {
    return absl::OutOfRangeError(absl::StrCat(
        "'", disk.name(), "': offset ", offset,
        " is past the end of the disk, which has ", size, " bytes"));
  }
  const uint64_t length = options.length.value_or(size - offset);
  if (length <= size - offset) return length;
  return absl::OutOfRangeError(absl::StrCat(
      "'", disk.name(), "': the range at offset ", offset, " of length ",
      length, " ends past the end of the disk, which has ", size, " bytes"));
}

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Calls `use` for pieces of the disk's range, in order.
template <typename Use>
absl::Status ReadPieces(GuestDisk& disk, uint64_t offset, uint64_t length,
                        const Console& console, Use use) {
  std::vector<std::byte> buffer(std::min(length, kPieceBytes));
  while (length > 0) {
    RETURN_IF_ERROR(CheckCancelled(console));
    const std::span<std::byte> piece =
        std::span(buffer).first(std::min<uint64_t>(length, buffer.size()));
    RETURN_IF_ERROR(disk.Read(offset, piece));
    RETURN_IF_ERROR(use(AsText(piece)));
    offset += piece.size();
    length -= piece.size();
  }
  return absl::OkStatus();
}

absl::StatusOr<int> RunRead(const RangeOptions& options,
                            const Console& console) {
  if (options.to == "-" && console.output_is_terminal) {
    return absl::FailedPreconditionError(
        "the bytes of a disk are not for a terminal: use --to=FILE, or a pipe "
        "such as `| hexdump -C`");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<GuestDisk> disk,
                   OpenForReading(options.image, options.disk));
  ASSIGN_OR_RETURN(const uint64_t length, LengthOf(options, *disk));
  const uint64_t offset = options.offset.value_or(0);
  if (options.to == "-") {
    RETURN_IF_ERROR(
        ReadPieces(*disk, offset, length, console, [&](std::string_view piece) {
          return cli::WriteAll(console.standard_output, piece,
                               "standard output");
        }));
    return kExitDone;
  }
  ASSIGN_OR_RETURN(cli::OutputFile file, cli::OutputFile::Create(options.to));
  RETURN_IF_ERROR(
      ReadPieces(*disk, offset, length, console,
                 [&](std::string_view piece) { return file.Append(piece); }));
  RETURN_IF_ERROR(file.Commit());
  return kExitDone;
}

absl::Status WritePattern(const RangeOptions& options, GuestDisk& disk,
                          const Console& console) {
  ASSIGN_OR_RETURN(uint64_t length, LengthOf(options, disk));
  const std::vector<std::byte> bytes(
      std::min(length, kPieceBytes),
      static_cast<std::byte>(options.pattern.value_or(0)));
  uint64_t offset = options.offset.value_or(0);
  while (length > 0) {
    RETURN_IF_ERROR(CheckCancelled(console));
    const auto piece =
        std::span(bytes).first(std::min<uint64_t>(length, bytes.size()));
    RETURN_IF_ERROR(disk.Write(offset, piece));
    offset += piece.size();
    length -= piece.size();
  }
  return absl::OkStatus();
}

absl::Status WriteInput(const RangeOptions& options, GuestDisk& disk,
                        const Console& console) {
  ASSIGN_OR_RETURN(const Descriptor file, OpenInput(options.input));
  const int input = file.get() != -1 ? file.get() : console.standard_input;
  ASSIGN_OR_RETURN(uint64_t room, LengthOf(options, disk));
  uint64_t offset = options.offset.value_or(0);
  std::vector<std::byte> buffer(kPieceBytes);
  while (true) {
    RETURN_IF_ERROR(CheckCancelled(console));
    // Without a length one byte more than there is room for is an error.
    const uint64_t ask = options.length ? std::min(room, kPieceBytes)
                                        : std::min(room + 1, kPieceBytes);
    ASSIGN_OR_RETURN(const size_t read,
                     ReadInput(input, std::span(buffer).first(ask)));
    if (read > room) {
      return absl::OutOfRangeError(
          "the input is longer than the rest of the disk");
    }
    if (read == 0) break;
    RETURN_IF_ERROR(disk.Write(offset, std::span(buffer).first(read)));
    offset += read;
    room -= read;
  }
  if (!options.length || room == 0) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrCat("the input ends ", room, " bytes too early"));
}

absl::StatusOr<int> RunWrite(const RangeOptions& options,
                             const Console& console) {
  if (options.pattern.has_value() == !options.input.empty()) {
    return UsageError("write needs either --pattern or --input");
  }
  if (options.pattern && !options.length) {
    return UsageError("--pattern needs --length");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<GuestDisk> disk,
                   OpenForWriting(options.image, options.disk));
  RETURN_IF_ERROR(options.pattern ? WritePattern(options, *disk, console)
                                  : WriteInput(options, *disk, console));
  RETURN_IF_ERROR(CloseDisk(*disk));
  return kExitDone;
}

absl::StatusOr<int> RunZero(const RangeOptions& options, const Console&) {
  ASSIGN_OR_RETURN(const std::unique_ptr<GuestDisk> disk,
                   OpenForWriting(options.image, options.disk));
  ASSIGN_OR_RETURN(const uint64_t length, LengthOf(options, *disk));
  RETURN_IF_ERROR(
      disk->WriteZeroes(options.offset.value_or(0), length,
                        options.no_unmap ? ZeroMode::kKeep : ZeroMode::kUnmap));
  RETURN_IF_ERROR(CloseDisk(*disk));
  return kExitDone;
}

absl::StatusOr<int> RunDiscard(const RangeOptions& options, const Console&) {
  ASSIGN_OR_RETURN(const std::unique_ptr<GuestDisk> disk,
                   OpenForWriting(options.image, options.disk));
  ASSIGN_OR_RETURN(const uint64_t length, LengthOf(options, *disk));
  RETURN_IF_ERROR(disk->Discard(options.offset.value_or(0), length));
  RETURN_IF_ERROR(CloseDisk(*disk));
  return kExitDone;
}

void AddRange(CLI::App& command, RangeOptions& options) {
  AddArgument(command, "IMAGE", options.image);
  AddBytes(command, "--offset", "First byte of the guest's disk; 0 (default)",
           options.offset);
  AddBytes(command, "--length", "How many; up to the end of the disk (default)",
           options.length);
}

std::string TakePattern(const std::string& value, RangeOptions& options) {
  options.pattern = ParseBytes(value);
  if (options.pattern && *options.pattern <= 0xff) return {};
  return "'" + value + "' is not a byte, 0 to 0xff";
}

void AddReadCommand(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<RangeOptions>();
  CLI::App* const command = AddCommand(
      app,
      {"read", "[OPTION]... IMAGE", "Print bytes of the guest's disk",
       "To standard output, or to a file that is complete or not there.",
       "  qcow2-tool read --length=512 disk.qcow2 | hexdump -C\n"
       "  qcow2-tool read --offset=1M --length=64K --to=piece disk.qcow2\n"},
      chosen,
      [options](const Console& console) { return RunRead(*options, console); });
  AddRange(*command, *options);
  AddText(*command, "--to", "FILE", "Where to; - is standard output (default)",
          options->to);
  AddSnapshotOption(*command, "-l,--snapshot", options->disk.snapshot);
  AddReadDiskOptions(*command, options->disk);
}

void AddWriteCommand(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<RangeOptions>();
  CLI::App* const command = AddCommand(
      app,
      {"write", "[OPTION]... IMAGE", "Replace bytes of the guest's disk",
       "When it ends without an error all of it is on stable storage.",
       "  qcow2-tool write --offset=1M --length=64K --pattern=0xa5 disk.qcow2\n"
       "  qcow2-tool write --offset=0 --input=boot.bin disk.qcow2\n"
       "  zcat piece.gz | qcow2-tool write --input=- disk.qcow2\n"},
      chosen, [options](const Console& console) {
        return RunWrite(*options, console);
      });
  AddRange(*command, *options);
  AddOption(*command, "--pattern", "BYTE", "Write that byte over and over",
            [options](const std::string& value) {
              return TakePattern(value, *options);
            });
  AddText(*command, "--input", "FILE",
          "Write what FILE holds; - is standard input", options->input);
  AddWriteDiskOptions(*command, options->disk);
}

void AddZeroCommand(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<RangeOptions>();
  CLI::App* const command = AddCommand(
      app,
      {"zero", "[OPTION]... IMAGE", "Make bytes of the guest's disk zeros",
       "Whole clusters are given back, as far as they are not needed to read "
       "as zeros.",
       "  qcow2-tool zero --offset=1M --length=64K disk.qcow2\n"},
      chosen,
      [options](const Console& console) { return RunZero(*options, console); });
  AddRange(*command, *options);
  AddFlag(*command, "--no-unmap", "Keep clusters, for later writes",
          options->no_unmap);
  AddWriteDiskOptions(*command, options->disk);
}

void AddDiscardCommand(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<RangeOptions>();
  CLI::App* const command = AddCommand(
      app,
      {"discard", "[OPTION]... IMAGE",
       "Give back clusters whose bytes are no longer needed",
       "Only whole clusters are given back; they read as zeros then. Bytes in "
       "clusters of which only a part is named stay as they are.",
       "  qcow2-tool discard --offset=1M --length=1G disk.qcow2\n"},
      chosen, [options](const Console& console) {
        return RunDiscard(*options, console);
      });
  AddRange(*command, *options);
  AddWriteDiskOptions(*command, options->disk);
}

}  // namespace

void AddIoCommands(CLI::App& app, Action& chosen) {
  AddReadCommand(app, chosen);
  AddWriteCommand(app, chosen);
  AddZeroCommand(app, chosen);
  AddDiscardCommand(app, chosen);
}

}  // namespace qcow2::tool
