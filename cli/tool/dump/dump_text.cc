// The dump for people.
#include <cstdio>

#include "checker/printable.h"
#include "cli/tool/dump/dump_printers.h"

namespace qcow2::tool {
namespace {

using checker::Hex;
using checker::Printable;

// `text`, filled up with spaces to `width` bytes and divided from what follows.
std::string Column(std::string text, size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text + "  ";
}

std::string RightColumn(const std::string& text, size_t width) {
  const size_t missing = text.size() < width ? width - text.size() : 0;
  return std::string(missing, ' ') + text + "  ";
}

std::string Word(uint64_t raw) {
  char text[24];
  std::snprintf(text, sizeof text, "%016llx",
                static_cast<unsigned long long>(raw));
  return text;
}

class TextDump : public DumpSink {
 public:
  TextDump(const Console& console, TextOutput& output)
      : console_(console), output_(output) {}

  void Begin(const DumpStructure& structure) override {
    output_.Append((first_ ? "" : "\n") + Printable(structure.title) + " at " +
                   Hex(structure.offset) + ", " +
                   std::to_string(structure.length) + " bytes\n");
    first_ = false;
  }

  void Field(const DumpField& field) override {
    std::string line = "  " + RightColumn(Hex(field.offset), 8) +
                       RightColumn(std::to_string(field.size), 3) +
                       Column(field.name, 24) + Printable(field.shown);
    if (!field.meaning.empty()) {
      line.resize(std::max<size_t>(line.size(), kMeaningColumn), ' ');
      line += "  " + Printable(field.meaning);
    }
    output_.Append(line + "\n");
  }

  void Entry(const DumpEntry& entry) override {
    std::string index = std::to_string(entry.index);
    if (entry.count > 1) {
      index += "-" + std::to_string(entry.index + entry.count - 1);
    }
    output_.Append("  " + RightColumn("[" + index + "]", 9) +
                   RightColumn(Hex(entry.offset), 8) + Word(entry.raw) + "  " +
                   Printable(entry.meaning) + "\n");
  }

  void Problem(std::string_view what) override {
    output_.Append("  ! " + Printable(what) + "\n");
  }

  void End() override {}

  bool stopped() const override {
    return output_.failed() || console_.cancelled();
  }

 private:
  // Fields with short values have their meanings in one column.
  static constexpr size_t kMeaningColumn = 63;

  const Console& console_;
  TextOutput& output_;
  bool first_ = true;
};

}  // namespace

std::unique_ptr<DumpSink> MakeTextDump(const Console& console,
                                       TextOutput& output) {
  return std::make_unique<TextDump>(console, output);
}

}  // namespace qcow2::tool
