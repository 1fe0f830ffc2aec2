#include "cli/picture/markup.h"

#include "checker/printable.h"

namespace qcow2::cli {
namespace {

// U+FFFE and U+FFFF, which are characters but not of XML.
bool IsNoXmlCharacter(std::string_view rest) {
  return rest.starts_with("\xef\xbf\xbe") || rest.starts_with("\xef\xbf\xbf");
}

}  // namespace

std::string Markup(std::string_view text) {
  const std::string printable = checker::Printable(text);
  std::string markup;
  for (size_t i = 0; i < printable.size(); ++i) {
    const char character = printable[i];
    if (character == '&') {
      markup += "&amp;";
    } else if (character == '<') {
      markup += "&lt;";
    } else if (character == '>') {
      markup += "&gt;";
    } else if (character == '"') {
      markup += "&quot;";
    } else if (character == '\'') {
      markup += "&#39;";
    } else if (IsNoXmlCharacter(std::string_view(printable).substr(i))) {
      markup += "\xef\xbf\xbd";
      i += 2;
    } else {
      markup += character;
    }
  }
  return markup;
}

std::string CutText(std::string_view text, size_t bytes) {
  std::string printable = checker::Printable(text);
  if (printable.size() <= bytes) return printable;
  // Not inside a character: its bytes but the first are 10xxxxxx.
  while (bytes > 0 &&
         (static_cast<unsigned char>(printable[bytes]) & 0xc0) == 0x80) {
    --bytes;
  }
  printable.resize(bytes);
  return printable + "...";
}

}  // namespace qcow2::cli
