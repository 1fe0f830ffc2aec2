#include "cli/fleet/state.h"

#include <charconv>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>

#include "cli/fleet/input_file.h"
#include "cli/json_values.h"
#include "cli/output_file.h"
#include "engine/status_macros.h"

namespace qcow2::cli {
namespace {

constexpr uint64_t kStateVersion = 1;
// A name of 4096 bytes, each of them escaped, and the numbers. What is found in
// a tree may have a longer one, and is not remembered.
constexpr size_t kMaxLineBytes = 16 << 10;
// What the last line has at most.
constexpr size_t kLastLineBytes = 64;

constexpr char kHexDigits[] = "0123456789abcdef";

// JSON has no strings of arbitrary bytes: what is not plain ASCII is written as
// %XX, and so is the percent sign.
std::string EscapePath(std::string_view path) {
  std::string text;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7f && c != '%') {
      text += c;
    } else {
      text += '%';
      text += kHexDigits[byte >> 4];
      text += kHexDigits[byte & 15];
    }
  }
  return text;
}

std::optional<std::string> UnescapePath(std::string_view text) {
  std::string path;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      path += text[i];
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    unsigned byte = 0;
    const char* const digits = text.data() + i + 1;
    const auto [stop, error] = std::from_chars(digits, digits + 2, byte, 16);
    if (error != std::errc() || stop != digits + 2) return std::nullopt;
    path += static_cast<char>(byte);
    i += 2;
  }
  return path;
}

// Reads the keys of a line; remembers whether one was missing or wrong.
class LineReader {
 public:
  explicit LineReader(const Json& line) : line_(line) {}

  bool ok() const { return ok_; }

  uint64_t Number(const char* key,
                  uint64_t max = std::numeric_limits<uint64_t>::max()) {
    const auto found = line_.find(key);
    if (found == line_.end() || !found->is_number_unsigned()) return Wrong();
    const auto number = found->get<uint64_t>();
    return number > max ? Wrong() : number;
  }

  int64_t Time(const char* key) {
    // The year 9999.
    return static_cast<int64_t>(Number(key, 253'402'300'799));
  }

  double Seconds(const char* key) {
    const auto found = line_.find(key);
    if (found == line_.end() || !found->is_number()) {
      ok_ = false;
      return 0;
    }
    const auto seconds = found->get<double>();
    ok_ = ok_ && std::isfinite(seconds) && seconds >= 0 && seconds < 1e12;
    return seconds;
  }

  std::string Text(const char* key) {
    const auto found = line_.find(key);
    if (found == line_.end() || !found->is_string()) {
      ok_ = false;
      return {};
    }
    return found->get<std::string>();
  }

  bool Flag(const char* key) {
    const auto found = line_.find(key);
    if (found == line_.end() || !found->is_boolean()) {
      ok_ = false;
      return false;
    }
    return found->get<bool>();
  }

  ImageStatus Status(const char* key) {
    const std::string name = Text(key);
    for (int i = 0; i <= static_cast<int>(ImageStatus::kError); ++i) {
      const auto status = static_cast<ImageStatus>(i);
      if (name == NameOf(status)) return status;
    }
    ok_ = false;
    return ImageStatus::kError;
  }

 private:
  uint64_t Wrong() {
    ok_ = false;
    return 0;
  }

  const Json& line_;
  bool ok_ = true;
};

Json ImageLine(const std::string& path, const ImageState& image) {
  Json line;
  line["path"] = EscapePath(path);
  line["round"] = image.round;
  line["checked"] = static_cast<uint64_t>(image.checked);
  line["succeeded"] = static_cast<uint64_t>(image.succeeded);
  line["status"] = NameOf(image.status);
  line["exit_code"] = static_cast<uint64_t>(image.exit_code);
  line["corruptions"] = image.corruptions;
  line["leaks"] = image.leaks;
  line["warnings"] = image.warnings;
  line["suspect_orphans"] = image.suspect_orphans;
  line["leaked_bytes"] = image.leaked_bytes;
  line["seconds"] = image.seconds;
  return line;
}

bool ParseImageLine(const Json& line, FleetState& state) {
  LineReader reader(line);
  const std::optional<std::string> path = UnescapePath(reader.Text("path"));
  ImageState image;
  image.round = reader.Number("round", state.round);
  image.checked = reader.Time("checked");
  image.succeeded = reader.Time("succeeded");
  image.status = reader.Status("status");
  image.exit_code = static_cast<int>(reader.Number("exit_code", 255));
  image.corruptions = reader.Number("corruptions");
  image.leaks = reader.Number("leaks");
  image.warnings = reader.Number("warnings");
  image.suspect_orphans = reader.Number("suspect_orphans");
  image.leaked_bytes = reader.Number("leaked_bytes");
  image.seconds = reader.Seconds("seconds");
  if (!reader.ok() || !path || path->empty()) return false;
  return state.images.emplace(*path, image).second;
}

bool ParseFirstLine(const Json& line, FleetState& state) {
  LineReader reader(line);
  const uint64_t version = reader.Number("qcow2_fsck_state");
  state.round = reader.Number("round", uint64_t{1} << 62);
  state.round_finished = reader.Flag("round_finished");
  return reader.ok() && version == kStateVersion;
}

// Takes the next line off `text`; null if there is none that is an object.
Json TakeLine(std::string_view& text) {
  const size_t end = text.find('\n');
  if (end > kMaxLineBytes) return {};  // also where there is no newline
  Json line = ParseJson(text.substr(0, end));
  text.remove_prefix(end + 1);
  return line.is_object() ? line : Json();
}

absl::Status WrongLine(uint64_t line) {
  return absl::InvalidArgumentError("line " + std::to_string(line) +
                                    " is not one of a state file");
}

}  // namespace

void BeginRound(FleetState& state) {
  if (!state.round_finished) return;
  ++state.round;
  state.round_finished = false;
  std::erase_if(state.images, [&](const auto& image) {
    return image.second.round + kRoundsRemembered < state.round;
  });
}

bool IsDue(const FleetState& state, const std::string& path) {
  const auto image = state.images.find(path);
  return image == state.images.end() || image->second.round < state.round;
}

std::string StateText(const FleetState& state) {
  Json first;
  first["qcow2_fsck_state"] = kStateVersion;
  first["round"] = state.round;
  first["round_finished"] = state.round_finished;
  std::string text = first.dump() + "\n";
  uint64_t images = 0;
  for (const auto& [path, image] : state.images) {
    const std::string line = ImageLine(path, image).dump() + "\n";
    if (line.size() - 1 > kMaxLineBytes) continue;
    if (images == kMaxStateImages ||
        text.size() + line.size() > kMaxStateBytes - kLastLineBytes) {
      break;
    }
    text += line;
    ++images;
  }
  Json last;
  last["images"] = images;
  return text + last.dump() + "\n";
}

absl::StatusOr<FleetState> ParseState(std::string_view text) {
  FleetState state;
  if (!ParseFirstLine(TakeLine(text), state)) return WrongLine(1);
  for (uint64_t number = 2; number <= kMaxStateImages + 2; ++number) {
    const Json line = TakeLine(text);
    if (line.contains("images")) {
      const bool complete =
          LineReader(line).Number("images") == state.images.size() &&
          text.empty();
      if (!complete) return WrongLine(number);
      return state;
    }
    if (!ParseImageLine(line, state)) return WrongLine(number);
  }
  return absl::InvalidArgumentError("there are too many images in it");
}

absl::StatusOr<FleetState> ReadState(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadInput(path, kMaxStateBytes);
  if (absl::IsNotFound(text.status())) return FleetState{};
  RETURN_IF_ERROR(text.status());
  absl::StatusOr<FleetState> state = ParseState(*text);
  if (state.ok()) return state;
  return absl::InvalidArgumentError(
      "the state file '" + path +
      "' cannot be used: " + std::string(state.status().message()) +
      ". Remove it to begin with all images anew");
}

absl::Status WriteState(const FleetState& state, const std::string& path) {
  ASSIGN_OR_RETURN(OutputFile file, OutputFile::Create(path, 0600));
  RETURN_IF_ERROR(file.Append(StateText(state)));
  return file.Commit();
}

}  // namespace qcow2::cli
