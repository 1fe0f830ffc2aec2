// What the walk over an image's structures tells, piece by piece, and who is
// told: the printers for people and for programs.
//
// Values and an interface; no I/O.
#ifndef CLI_TOOL_DUMP_DUMP_SINK_H_
#define CLI_TOOL_DUMP_DUMP_SINK_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace qcow2::tool {

// Keys stay in the order in which they are added.
using Json = nlohmann::ordered_json;

// A structure, before its fields and entries.
struct DumpStructure {
  std::string_view kind;  // "header", "l2-table" ..., the same in JSON
  std::string title;      // for people: "L2 table of L1 entry 3"
  uint64_t offset = 0;    // in the image
  uint64_t length = 0;
  // What else identifies it, for programs: {"l1_index": 3}.
  Json details = Json::object();
};

// A field of a structure.
struct DumpField {
  std::string name;     // the format's
  uint64_t offset = 0;  // in the image
  uint64_t size = 0;
  Json value;         // a number or text
  std::string shown;  // the value for people
  std::string meaning;
};

// An entry of a table, or several equal ones.
struct DumpEntry {
  uint64_t index = 0;
  uint64_t count = 1;
  uint64_t offset = 0;  // in the image
  uint64_t raw = 0;
  std::string meaning;
  Json details = Json::object();  // {"type": "normal", "host_offset": 20480}
};

class DumpSink {
 public:
  virtual ~DumpSink() = default;

  // All that is told until End belongs to that structure: fields, then entries,
  // notes anywhere.
  virtual void Begin(const DumpStructure& structure) = 0;
  virtual void Field(const DumpField& field) = 0;
  virtual void Entry(const DumpEntry& entry) = 0;
  // What is wrong with the structure, or could not be shown and why.
  virtual void Problem(std::string_view what) = 0;
  virtual void End() = 0;
  // Whether there is no use in going on, because nothing can be printed.
  virtual bool stopped() const = 0;
};

}  // namespace qcow2::tool

#endif  // CLI_TOOL_DUMP_DUMP_SINK_H_
