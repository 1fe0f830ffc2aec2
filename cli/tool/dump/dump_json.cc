// The dump for programs. Objects are written as they come: a table may be too
// long to be kept.
#include "checker/printable.h"
#include "cli/tool/dump/dump_printers.h"

namespace qcow2::tool {
namespace {

std::string Encode(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

class JsonDump : public DumpSink {
 public:
  JsonDump(const Console& console, const std::string& filename,
           TextOutput& output)
      : console_(console), output_(output) {
    output_.Append("{\"schema_version\": 1, \"filename\": " +
                   Encode(Json(filename)) + ", \"structures\": [");
  }
  ~JsonDump() override { output_.Append("\n]}\n"); }

  void Begin(const DumpStructure& structure) override {
    Json head = {{"structure", structure.kind},
                 {"title", structure.title},
                 {"offset", structure.offset},
                 {"length", structure.length}};
    for (const auto& [key, value] : structure.details.items()) {
      head[key] = value;
    }
    const std::string text = Encode(head);
    output_.Append((first_ ? "\n" : ",\n") + text.substr(0, text.size() - 1));
    first_ = false;
    fields_ = Json::array();
    problems_ = Json::array();
    entries_ = 0;
  }

  void Field(const DumpField& field) override {
    fields_.push_back({{"name", field.name},
                       {"offset", field.offset},
                       {"size", field.size},
                       {"value", field.value},
                       {"meaning", field.meaning}});
  }

  void Entry(const DumpEntry& entry) override {
    Json object = {{"index", entry.index}};
    if (entry.count > 1) object["count"] = entry.count;
    object["offset"] = entry.offset;
    object["raw"] = checker::Hex(entry.raw);
    for (const auto& [key, value] : entry.details.items()) {
      object[key] = value;
    }
    output_.Append((entries_++ == 0 ? ", \"entries\": [\n  " : ",\n  ") +
                   Encode(object));
  }

  void Problem(std::string_view what) override { problems_.push_back(what); }

  void End() override {
    if (entries_ != 0) output_.Append("]");
    if (!fields_.empty()) output_.Append(", \"fields\": " + Encode(fields_));
    if (!problems_.empty()) {
      output_.Append(", \"problems\": " + Encode(problems_));
    }
    output_.Append("}");
  }

  bool stopped() const override {
    return output_.failed() || console_.cancelled();
  }

 private:
  const Console& console_;
  TextOutput& output_;
  bool first_ = true;
  uint64_t entries_ = 0;
  Json fields_;
  Json problems_;
};

}  // namespace

std::unique_ptr<DumpSink> MakeJsonDump(const Console& console,
                                       const std::string& filename,
                                       TextOutput& output) {
  return std::make_unique<JsonDump>(console, filename, output);
}

}  // namespace qcow2::tool
