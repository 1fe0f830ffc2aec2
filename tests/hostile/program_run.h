// Runs the program and measures what it needed, as a shell with limits would.
//
// For tests only; starts and ends processes of its own.
#ifndef TESTS_HOSTILE_PROGRAM_RUN_H_
#define TESTS_HOSTILE_PROGRAM_RUN_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace qcow2::hostile {

struct ProgramRun {
  int exit_code = -1;       // -1: it did not end by itself
  int signal = 0;           // that ended it
  double cpu_seconds = 0;   // of all threads
  uint64_t peak_bytes = 0;  // of resident memory
  std::string standard_output;
  std::string standard_error;
};

// The checker's program, of the build that the test is of.
std::string CheckerProgram();

// Whether the program under test was built with a sanitizer, which takes
// memory and time of its own.
bool BuiltWithSanitizer();

// Runs `program`, which is killed after some minutes, or after eight
// times the processor time that a check of any input may take (see
// MaxCpuSeconds).
// `meanwhile` is called over and over while it runs.
ProgramRun RunProgram(const std::string& program,
                      const std::vector<std::string>& arguments,
                      const std::function<void()>& meanwhile = nullptr);

// What any input may cost: seconds of processor time, bytes of memory. The
// time is that of the optimised program; others may take four times as
// long.
double MaxCpuSeconds();
uint64_t MaxPeakBytes();

}  // namespace qcow2::hostile

#endif  // TESTS_HOSTILE_PROGRAM_RUN_H_
