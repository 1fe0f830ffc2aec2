// Spans and points of time as people write them on a command line.
//
// Pure but for the time zone that a date is read in.
#ifndef CLI_FLEET_TIME_TEXT_H_
#define CLI_FLEET_TIME_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qcow2::cli {

// Seconds of "90s", "30m", "6h", "7d", "2w" or several of them in falling order
// without space ("1h30m"); a bare number is seconds. nullopt for anything else,
// for nothing and for what is longer than about 300 years.
std::optional<int64_t> ParseDuration(std::string_view text);

// Seconds since 1970 of "2026-11-21", "2026-11-21T04:30" or
// "2026-11-21T04:30:59" (a space may stand for the T): local time, or UTC if a
// "Z" follows. nullopt for anything else and for days that do not exist.
std::optional<int64_t> ParseDate(const std::string& text);

// "2026-11-21T04:30:59Z", for 0 and later.
std::string DateText(int64_t seconds);

}  // namespace qcow2::cli

#endif  // CLI_FLEET_TIME_TEXT_H_
