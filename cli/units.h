// Numbers for people: sizes with a unit, counts with their noun.
//
// Pure, no I/O.
#ifndef CLI_UNITS_H_
#define CLI_UNITS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qcow2::cli {

// "512 bytes", "64 KiB", "1.5 GiB": exact up to a KiB and for whole multiples,
// else with one decimal, rounded down.
std::string HumanBytes(uint64_t bytes);

// "1 leak", "3 leaks", "no leaks".
std::string Counted(uint64_t count, std::string_view singular,
                    std::string_view plural);

// "850 ms", "12.3 s", "4 min 20 s".
std::string HumanSeconds(double seconds);

// A decimal number, nothing before or behind it; nullopt if it is none or does
// not fit.
std::optional<uint64_t> ParseNumber(std::string_view text);
// A number of bytes with an optional suffix K, M, G or T (powers of 1024, also
// in lower case, also as KiB or KB).
std::optional<uint64_t> ParseSize(std::string_view text);

}  // namespace qcow2::cli

#endif  // CLI_UNITS_H_
