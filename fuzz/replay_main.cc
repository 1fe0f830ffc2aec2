// Runs a fuzz target without libFuzzer: once for each file named, or, with a
// number, for that many inputs made from a fixed seed: out of the files by the
// target's own mutator if it has one, else out of nothing. For tests in every
// build, and to look at a crashing input with any compiler.
//
//   decode_header_replay CRASHING_INPUT...
//   decode_header_replay --random=20000
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/fuzz_target.h"

// Of the target, if it has one.
extern "C" __attribute__((weak)) size_t LLVMFuzzerCustomMutator(
    uint8_t* data, size_t size, size_t max_size, unsigned int seed);

// In place of libFuzzer's, for such a mutator.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

constexpr char kRandomOption[] = "--random=";
constexpr size_t kMaxRandomBytes = 700;
constexpr size_t kMaxMutatedBytes = size_t{1} << 16;
constexpr uint64_t kMostMutations = 4;

using Input = std::vector<uint8_t>;

bool RunFile(const char* path, std::vector<Input>& seeds) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot open %s\n", path);
    return false;
  }
  Input bytes((std::istreambuf_iterator<char>(file)),
              std::istreambuf_iterator<char>());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  seeds.push_back(std::move(bytes));
  return true;
}

// Bytes that are often small: lengths and counts made of random bytes alone
// would nearly always be too large to get past the first bound.
Input RandomInput(std::mt19937& random) {
  Input bytes(random() % kMaxRandomBytes);
  const bool sparse = random() % 2 == 0;
  for (uint8_t& byte : bytes) {
    byte = sparse && random() % 8 != 0 ? 0 : static_cast<uint8_t>(random());
  }
  return bytes;
}

Input MutatedInput(const std::vector<Input>& seeds, std::mt19937& random) {
  Input bytes = seeds[random() % seeds.size()];
  size_t size = bytes.size();
  bytes.resize(std::max(size, kMaxMutatedBytes));
  for (uint64_t left = 1 + random() % kMostMutations; left > 0; --left) {
    size = LLVMFuzzerCustomMutator(bytes.data(), size, bytes.size(),
                                   static_cast<unsigned int>(random()));
  }
  bytes.resize(size);
  return bytes;
}

void RunRandom(uint64_t count, const std::vector<Input>& seeds) {
  std::mt19937 random(1);
  const bool mutate = LLVMFuzzerCustomMutator != nullptr && !seeds.empty();
  for (uint64_t i = 0; i < count; ++i) {
    const Input bytes =
        mutate ? MutatedInput(seeds, random) : RandomInput(random);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size,
                                   size_t /*max_size*/) {
  // Where and what: out of the bytes themselves, so that it stays the same.
  uint64_t hash = size;
  for (size_t i = 0; i < size; i += 61) hash = hash * 31 + data[i] + 1;
  if (size > 0) data[hash % size] ^= static_cast<uint8_t>(1 + hash / 7 % 255);
  return size;
}

int main(int argc, char** argv) {
  bool ok = argc > 1;
  uint64_t random_inputs = 0;
  std::vector<Input> seeds;
  for (int i = 1; i < argc; ++i) {
    const size_t prefix = std::strlen(kRandomOption);
    if (std::strncmp(argv[i], kRandomOption, prefix) == 0) {
      random_inputs = std::strtoull(argv[i] + prefix, nullptr, 10);
    } else {
      ok = RunFile(argv[i], seeds) && ok;
    }
  }
  RunRandom(random_inputs, seeds);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
