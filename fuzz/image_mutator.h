// Damages an image the way faults and attackers do: by fields and table
// entries, not by bytes alone.
//
// In memory only.
#ifndef FUZZ_IMAGE_MUTATOR_H_
#define FUZZ_IMAGE_MUTATOR_H_

#include <cstddef>
#include <cstdint>

namespace qcow2::fuzz {

// Changes the `size` bytes at `data`, which may grow up to `max_size`, in a way
// that `seed` decides. Returns the new size. For LLVMFuzzerCustomMutator.
size_t MutateImage(uint8_t* data, size_t size, size_t max_size, uint32_t seed);

}  // namespace qcow2::fuzz

#endif  // FUZZ_IMAGE_MUTATOR_H_
