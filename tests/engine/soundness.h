// Whether an image is sound: what the checker says of it, and of what is left
// of it after a crash at any point.
//
// For tests only. Reads images, and writes to views of them alone.
#ifndef TESTS_ENGINE_SOUNDNESS_H_
#define TESTS_ENGINE_SOUNDNESS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "checker/check.h"
#include "engine/storage/file.h"
#include "engine/storage/memory_file.h"
#include "repair/journal/simulated_disk.h"
#include "repair/plan.h"

namespace qcow2 {

// What the checker says, in one thread.
checker::CheckReport CheckFile(const File& file);

// A line for each problem, warning and error; empty if there are none and the
// image is clean.
std::string FindingsOf(const checker::CheckReport& report);

// Corruptions but for one kind: a leaked cluster that looks like an L2 table is
// one until somebody says otherwise, and a new L2 table is just that until the
// L1 entry that names it is written.
uint64_t TrueCorruptions(const checker::CheckReport& report);

// What the checker would say of the image once it is repaired, whatever looks
// like an orphan freed.
absl::StatusOr<checker::CheckReport> CheckRepaired(const File& file,
                                                   repair::Mode mode);

// Calls `judge` with what a crash may leave of the image on `disk`, behind each
// of its operations from `first` on: with nothing of what was not flushed, with
// all of it, and with parts at random, `trials` times in all. Ends at the first
// image that fails the test, and says which that was.
void AtEveryCrash(
    const repair::SimulatedDisk& disk, size_t first, int trials,
    const std::function<void(MemoryFile& image, size_t operations)>& judge);

// Calls `trial` with the image on a new disk and a fault it is to be given when
// the work begins, behind each of the disk's first calls in turn and the far
// ones more and more apart: with each effect, once and for good, EIO and ENOSPC
// by turns. A row of faults ends where the work is done before the fault comes.
// Ends at the first fault that fails the test, and says which that was.
void AtEveryFault(
    const repair::SimulatedDisk::Contents& image,
    const std::function<void(repair::SimulatedDisk& disk,
                             const repair::CallFault& fault)>& trial);

}  // namespace qcow2

#endif  // TESTS_ENGINE_SOUNDNESS_H_
