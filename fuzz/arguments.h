// Arguments of a command line out of a fuzzer's input.
#ifndef FUZZ_ARGUMENTS_H_
#define FUZZ_ARGUMENTS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace qcow2::fuzz {

// The parts of the input between its zero bytes, as the kernel hands them over;
// what is behind the last zero byte is one as well.
inline std::vector<std::string> ArgumentsIn(const uint8_t* data, size_t size) {
  std::vector<std::string> arguments;
  std::string argument;
  for (size_t i = 0; i < size; ++i) {
    if (data[i] != 0) {
      argument += static_cast<char>(data[i]);
      continue;
    }
    arguments.push_back(argument);
    argument.clear();
  }
  if (!argument.empty()) arguments.push_back(argument);
  return arguments;
}

}  // namespace qcow2::fuzz

#endif  // FUZZ_ARGUMENTS_H_
