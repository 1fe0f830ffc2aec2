#include "cli/tool/dump/dump_state.h"

#include <algorithm>

#include "checker/printable.h"
#include "cli/units.h"

namespace qcow2::tool {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{64} << 10;

bool Same(std::span<const std::byte> a, std::span<const std::byte> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// Equal entries that are not told yet.
class EntryRun {
 public:
  EntryRun(const TellEntry& tell, uint64_t entry_size)
      : tell_(tell), value_(entry_size) {}

  // False when telling is to stop.
  bool Add(std::span<const std::byte> entry) {
    if (count_ > 0 && Same(entry, value_)) {
      ++count_;
      return true;
    }
    const bool more = Finish();
    std::copy(entry.begin(), entry.end(), value_.begin());
    count_ = 1;
    return more;
  }
  bool Finish() {
    const bool more = count_ == 0 || tell_(first_, count_, value_);
    first_ += count_;
    count_ = 0;
    return more;
  }

 private:
  const TellEntry& tell_;
  std::vector<std::byte> value_;
  uint64_t first_ = 0;
  uint64_t count_ = 0;
};

// How many entries are shown; tells why it is not all of them.
uint64_t EntriesShown(DumpState& state, const TablePlace& place) {
  uint64_t shown = place.entries;
  if (shown > place.max_entries) {
    shown = place.max_entries;
    state.sink.Problem("more entries than any image may have; the first " +
                       std::to_string(shown) + " are shown");
  }
  const uint64_t room =
      place.offset < state.file_size
          ? (state.file_size - place.offset) / place.entry_size
          : 0;
  if (shown > room) {
    shown = room;
    state.sink.Problem("the table goes past the end of the file (" +
                       std::to_string(state.file_size) + " bytes)");
  }
  return shown;
}

}  // namespace

DumpState WithSink(const DumpState& state, DumpSink& sink) {
  return {state.file, sink, state.file_size, {}, state.header, state.geometry};
}

void FieldTeller::Number(const char* name, uint64_t offset, uint64_t size,
                         uint64_t value, const std::string& meaning) const {
  state.sink.Field(
      {name, base + offset, size, value, std::to_string(value), meaning});
}

void FieldTeller::Hexadecimal(const char* name, uint64_t offset, uint64_t size,
                              uint64_t value,
                              const std::string& meaning) const {
  state.sink.Field(
      {name, base + offset, size, value, checker::Hex(value), meaning});
}

void FieldTeller::Text(const char* name, uint64_t offset, uint64_t size,
                       const std::string& value,
                       const std::string& meaning) const {
  state.sink.Field(
      {name, base + offset, size, value, "\"" + value + "\"", meaning});
}

void FieldTeller::Bytes(const char* name, uint64_t offset,
                        std::span<const std::byte> value,
                        const std::string& meaning) const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : value) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  state.sink.Field({name, base + offset, value.size(), text, text, meaning});
}

std::string JoinIssues(uint64_t issues, std::span<const IssueText> texts) {
  std::string joined;
  for (const IssueText& row : texts) {
    if ((issues & row.issue) == 0) continue;
    joined += (joined.empty() ? "" : "; ") + std::string(row.text);
  }
  return joined;
}

void TellIssues(uint64_t issues, std::span<const IssueText> texts,
                DumpSink& sink) {
  for (const IssueText& row : texts) {
    if ((issues & row.issue) != 0) sink.Problem(row.text);
  }
}

std::vector<std::byte> ReadBytes(DumpState& state, uint64_t offset,
                                 uint64_t length) {
  const uint64_t room = offset < state.file_size ? state.file_size - offset : 0;
  std::vector<std::byte> bytes(std::min(length, room));
  const absl::StatusOr<size_t> read = state.file.Pread(offset, bytes);
  if (!read.ok()) {
    state.sink.Problem(std::string(read.status().message()));
    return {};
  }
  bytes.resize(*read);
  return bytes;
}

void TellTable(DumpState& state, const TablePlace& place,
               const TellEntry& tell) {
  const uint64_t shown = EntriesShown(state, place);
  EntryRun run(tell, place.entry_size);
  const uint64_t at_once = kPieceBytes / place.entry_size;
  for (uint64_t first = 0; first < shown; first += at_once) {
    const uint64_t count = std::min(at_once, shown - first);
    const std::vector<std::byte> piece =
        ReadBytes(state, place.offset + first * place.entry_size,
                  count * place.entry_size);
    const std::span<const std::byte> bytes(piece);
    for (uint64_t at = 0; at + place.entry_size <= bytes.size();
         at += place.entry_size) {
      if (!run.Add(bytes.subspan(at, place.entry_size))) return;
    }
    if (piece.size() < count * place.entry_size || state.sink.stopped()) break;
  }
  run.Finish();
}

}  // namespace qcow2::tool
