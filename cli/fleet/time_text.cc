#include "cli/fleet/time_text.h"

#include <charconv>
#include <cstddef>
#include <ctime>
#include <iterator>
#include <system_error>

namespace qcow2::cli {
namespace {

// 300 years: no sum of a time and a span of this size leaves 64 bits.
constexpr int64_t kLongest = int64_t{300} * 366 * 24 * 3600;

struct Unit {
  char letter;
  int64_t seconds;
};
constexpr Unit kUnits[] = {
    {'w', 604800}, {'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};

// The index of a unit behind `after`, or the number of units.
size_t FindUnit(char letter, size_t after) {
  size_t unit = after;
  while (unit < std::size(kUnits) && kUnits[unit].letter != letter) ++unit;
  return unit;
}

// Takes a number off the front of `text`.
std::optional<int64_t> TakeNumber(std::string_view& text) {
  if (text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;
  int64_t number = 0;
  const auto [stop, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number > kLongest) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(stop - text.data()));
  return number;
}

// The parsers of the library take more forms of a time than one.
bool ParseAs(const std::string& text, const char* format, std::tm& time) {
  time = {};
  const char* const stop = strptime(text.c_str(), format, &time);
  return stop != nullptr && stop == text.c_str() + text.size();
}

bool ParseFields(const std::string& text, std::tm& time) {
  for (const char* format : {"%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S",
                             "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"}) {
    if (ParseAs(text, format, time)) return true;
  }
  return false;
}

}  // namespace

std::optional<int64_t> ParseDuration(std::string_view text) {
  if (text.empty()) return std::nullopt;
  int64_t total = 0;
  size_t next_unit = 0;
  const bool bare = text.find_first_not_of("0123456789") == text.npos;
  while (!text.empty()) {
    const std::optional<int64_t> number = TakeNumber(text);
    if (!number) return std::nullopt;
    const size_t unit =
        bare ? std::size(kUnits) - 1
             : FindUnit(text.empty() ? '\0' : text[0], next_unit);
    if (unit == std::size(kUnits)) return std::nullopt;
    if (!bare) text.remove_prefix(1);
    if (*number > kLongest / kUnits[unit].seconds) return std::nullopt;
    total += *number * kUnits[unit].seconds;
    if (total > kLongest) return std::nullopt;
    next_unit = unit + 1;
  }
  return total;
}

std::optional<int64_t> ParseDate(const std::string& text) {
  const bool utc = text.ends_with('Z');
  std::tm time;
  if (!ParseFields(text.substr(0, text.size() - (utc ? 1 : 0)), time)) {
    return std::nullopt;
  }
  time.tm_isdst = -1;
  const int day = time.tm_mday;
  const std::time_t seconds = utc ? timegm(&time) : mktime(&time);
  // February 30th became March.
  if (time.tm_mday != day) return std::nullopt;
  return seconds;
}

std::string DateText(int64_t seconds) {
  const std::time_t time = seconds;
  std::tm fields = {};
  if (gmtime_r(&time, &fields) == nullptr) return std::to_string(seconds);
  char text[64];
  const size_t length =
      std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &fields);
  return {text, length};
}

}  // namespace qcow2::cli
