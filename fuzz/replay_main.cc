// Runs a fuzz target without libFuzzer: once for each file named, or, with a
// number, for that many inputs made from a fixed seed. For tests in every
// build, and to look at a crashing input with any compiler.
//
//   decode_header_replay CRASHING_INPUT...
//   decode_header_replay --random=20000
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "fuzz/fuzz_target.h"

namespace {

constexpr char kRandomOption[] = "--random=";
constexpr size_t kMaxRandomBytes = 700;

bool RunFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot open %s\n", path);
    return false;
  }
  std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(file)),
                             std::istreambuf_iterator<char>());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  return true;
}

// Bytes that are often small: lengths and counts made of random bytes alone
// would nearly always be too large to get past the first bound.
std::vector<uint8_t> RandomInput(std::mt19937& random) {
  std::vector<uint8_t> bytes(random() % kMaxRandomBytes);
  const bool sparse = random() % 2 == 0;
  for (uint8_t& byte : bytes) {
    byte = sparse && random() % 8 != 0 ? 0 : static_cast<uint8_t>(random());
  }
  return bytes;
}

void RunRandom(uint64_t count) {
  std::mt19937 random(1);
  for (uint64_t i = 0; i < count; ++i) {
    const std::vector<uint8_t> bytes = RandomInput(random);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
}

}  // namespace

int main(int argc, char** argv) {
  bool ok = argc > 1;
  for (int i = 1; i < argc; ++i) {
    const size_t prefix = std::strlen(kRandomOption);
    if (std::strncmp(argv[i], kRandomOption, prefix) == 0) {
      RunRandom(std::strtoull(argv[i] + prefix, nullptr, 10));
    } else {
      ok = RunFile(argv[i]) && ok;
    }
  }
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
