#include "cli/units.h"

#include <array>
#include <charconv>
#include <cinttypes>
#include <cstddef>
#include <cstdio>
#include <limits>

namespace qcow2::cli {
namespace {

// "K", "KB" or "KiB" in either case; the power of 1024 it stands for.
std::optional<unsigned> PowerOfSuffix(std::string_view suffix) {
  if (suffix.empty()) return 0;
  static constexpr std::string_view kLetters = "KMGT";
  const auto upper = [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  };
  const size_t letter = kLetters.find(upper(suffix[0]));
  const std::string_view rest = suffix.substr(1);
  const bool known_rest = rest.empty() || rest == "B" || rest == "b" ||
                          rest == "iB" || rest == "ib";
  if (letter == std::string_view::npos || !known_rest) return std::nullopt;
  return static_cast<unsigned>(letter) + 1;
}

}  // namespace

std::string HumanBytes(uint64_t bytes) {
  static constexpr std::array<const char*, 6> kUnits = {"KiB", "MiB", "GiB",
                                                        "TiB", "PiB", "EiB"};
  if (bytes < 1024) {
    return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes");
  }
  size_t unit = 0;
  uint64_t scale = 1024;
  while (unit + 1 < kUnits.size() && bytes / scale >= 1024) {
    scale *= 1024;
    ++unit;
  }
  const uint64_t whole = bytes / scale;
  // The remainder is below 2^60, so that ten times it fits.
  const uint64_t tenth = bytes % scale * 10 / scale;
  std::string text = std::to_string(whole);
  if (bytes % scale != 0) text += "." + std::to_string(tenth);
  return text + " " + kUnits[unit];
}

std::string Counted(uint64_t count, std::string_view singular,
                    std::string_view plural) {
  std::string text = count == 0 ? "no" : std::to_string(count);
  return text.append(" ").append(count == 1 ? singular : plural);
}

std::string HumanSeconds(double seconds) {
  char text[48];
  if (seconds < 1) {
    std::snprintf(text, sizeof text, "%.0f ms", seconds * 1000);
  } else if (seconds < 120) {
    std::snprintf(text, sizeof text, "%.1f s", seconds);
  } else {
    const auto whole = static_cast<uint64_t>(seconds);
    std::snprintf(text, sizeof text, "%" PRIu64 " min %" PRIu64 " s",
                  whole / 60, whole % 60);
  }
  return text;
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::optional<uint64_t> ParseSize(std::string_view text) {
  const size_t digits = text.find_first_not_of("0123456789");
  const std::string_view suffix =
      digits == std::string_view::npos ? "" : text.substr(digits);
  const std::optional<uint64_t> number = ParseNumber(text.substr(0, digits));
  const std::optional<unsigned> power = PowerOfSuffix(suffix);
  if (!number || !power) return std::nullopt;
  const unsigned shift = *power * 10;
  if (*number > std::numeric_limits<uint64_t>::max() >> shift) {
    return std::nullopt;
  }
  return *number << shift;
}

}  // namespace qcow2::cli
