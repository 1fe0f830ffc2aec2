// What every fuzz target shares: the entry point libFuzzer calls, and the check
// that aborts when a property does not hold.
#ifndef FUZZ_FUZZ_TARGET_H_
#define FUZZ_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

// Ends the program, which is how libFuzzer learns of a failure. Not assert():
// it must hold in optimised builds too.
#define FUZZ_CHECK(condition)                                                \
  do {                                                                       \
    if (!(condition)) {                                                      \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, \
                   #condition);                                              \
      std::abort();                                                          \
    }                                                                        \
  } while (false)

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace qcow2::fuzz {

// libFuzzer's input as the bytes that decoders take.
inline std::span<const std::byte> InputBytes(const uint8_t* data, size_t size) {
  return std::as_bytes(std::span<const uint8_t>(data, size));
}

}  // namespace qcow2::fuzz

#endif  // FUZZ_FUZZ_TARGET_H_
