// Judges one odd L2 entry by itself: which rows of the problem table it
// raises, and which host clusters it refers to.
//
// Pure but for the sink the findings go to.
#ifndef CHECKER_L2_ENTRY_JUDGE_H_
#define CHECKER_L2_ENTRY_JUDGE_H_

#include <cstdint>

#include "checker/finding_sink.h"
#include "checker/image_model.h"
#include "checker/l2_tables.h"
#include "engine/format/l2_entry.h"

namespace qcow2::checker {

// The bytes of the file an entry refers to; length 0 for none.
struct EntryReference {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  // A cluster of its own rather than a part of a cluster of compressed data.
  bool whole_cluster = false;
  bool copied = false;
};

// What `entry` refers to and counts for. An entry that is unaligned counts
// only with `qemu_compatible`; one past the end of the file, or in an image
// with an external data file, never.
EntryReference ReferenceOf(const ImageModel& model, L2Entry entry,
                           bool qemu_compatible);

// Adds a finding to `sink` for everything that is wrong with entry `index` of
// `table` by itself. True if the entry is damaged so that it cannot be
// followed: what it named is lost or elsewhere.
bool JudgeL2Entry(const ImageModel& model, const L2Table& table, uint64_t index,
                  L2Entry entry, FindingSink& sink);

}  // namespace qcow2::checker

#endif  // CHECKER_L2_ENTRY_JUDGE_H_
