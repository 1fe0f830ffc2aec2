// What the parts of the walk over an image share. Internal to this folder.
#ifndef CLI_TOOL_DUMP_DUMP_STATE_H_
#define CLI_TOOL_DUMP_DUMP_STATE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "cli/tool/dump/dump_sink.h"
#include "engine/format/geometry.h"
#include "engine/format/header.h"
#include "engine/format/snapshot_table.h"
#include "engine/storage/file.h"

namespace qcow2::tool {

struct DumpState {
  const File& file;
  DumpSink& sink;
  uint64_t file_size = 0;
  // The image's first bytes: cluster 0, or as much as there is of it.
  std::vector<std::byte> first_bytes;
  Header header;
  // Nothing if the header's sizes make no sense.
  std::optional<Geometry> geometry;
};

// Told by parts that look something up for another one.
class SilentSink : public DumpSink {
 public:
  explicit SilentSink(const DumpSink& heard) : heard_(heard) {}
  void Begin(const DumpStructure&) override {}
  void Field(const DumpField&) override {}
  void Entry(const DumpEntry&) override {}
  void Problem(std::string_view) override {}
  void End() override {}
  bool stopped() const override { return heard_.stopped(); }

 private:
  const DumpSink& heard_;
};

// The same image told to another sink; without first_bytes.
DumpState WithSink(const DumpState& state, DumpSink& sink);

// Tells one field. `base` is where the structure begins.
struct FieldTeller {
  DumpState& state;
  uint64_t base = 0;

  void Number(const char* name, uint64_t offset, uint64_t size, uint64_t value,
              const std::string& meaning) const;
  // A value that people read as hexadecimal: an offset, a mask, a magic number.
  void Hexadecimal(const char* name, uint64_t offset, uint64_t size,
                   uint64_t value, const std::string& meaning) const;
  void Text(const char* name, uint64_t offset, uint64_t size,
            const std::string& value, const std::string& meaning) const;
  void Bytes(const char* name, uint64_t offset,
             std::span<const std::byte> value,
             const std::string& meaning) const;
};

// A bit of a mask of issues, and what to say of it.
struct IssueText {
  uint64_t issue;
  const char* text;
};
void TellIssues(uint64_t issues, std::span<const IssueText> texts,
                DumpSink& sink);
// The same as one text, "a; b".
std::string JoinIssues(uint64_t issues, std::span<const IssueText> texts);

// A table of equal entries somewhere in the file.
struct TablePlace {
  uint64_t offset = 0;
  uint64_t entries = 0;
  uint64_t entry_size = 8;
  // Longer tables are shown up to here.
  uint64_t max_entries = 0;
};

// Reads the table piece by piece and calls `tell` for each entry, of equal
// neighbours once with their number. Entries past the end of the file are a
// problem told to the sink. `tell` returns false to stop.
using TellEntry = std::function<bool(uint64_t index, uint64_t count,
                                     std::span<const std::byte> entry)>;
void TellTable(DumpState& state, const TablePlace& place,
               const TellEntry& tell);

// Bytes of the file, fewer at its end; empty, with the problem told, if they
// cannot be read.
std::vector<std::byte> ReadBytes(DumpState& state, uint64_t offset,
                                 uint64_t length);

// The parts of the walk, each telling whole structures.
void DumpHeaderFields(DumpState& state);
void DumpExtensions(DumpState& state);
// The active L1 and those of snapshots.
void DumpL1Tables(DumpState& state);
// Every L2 table that any L1 table reaches, once.
void DumpL2Tables(DumpState& state);
void DumpRefcountTable(DumpState& state);
void DumpRefcountBlocks(DumpState& state);
void DumpSnapshotTable(DumpState& state);
void DumpBitmapDirectory(DumpState& state);

// The snapshot table's entries with their places in the file, as many as there
// are whole ones. Tells nothing.
std::vector<LocatedSnapshot> ReadSnapshots(DumpState& state);

}  // namespace qcow2::tool

#endif  // CLI_TOOL_DUMP_DUMP_STATE_H_
