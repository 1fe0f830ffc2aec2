#include "repair/steps.h"

#include "repair/bitmap_step.h"
#include "repair/copied_step.h"
#include "repair/data_file_bit_step.h"
#include "repair/extension_step.h"
#include "repair/header_bits_step.h"
#include "repair/header_step.h"
#include "repair/l1_entry_step.h"
#include "repair/l2_entry_step.h"
#include "repair/overlap_step.h"
#include "repair/refcount_step.h"
#include "repair/refcount_structure_step.h"
#include "repair/snapshot_step.h"

namespace qcow2::repair {
namespace {

// What has to be right before something else can be judged comes first: where
// the tables are, what they say, whose clusters are whose, and only then how
// often each is referred to.
constexpr Step kAllSteps[] = {
    {"data file bit", MendDataFileBit},
    {"header", MendHeaderFields},
    {"header extensions", MendHeaderExtensions},
    {"snapshot table", MendSnapshotTable},
    {"bitmaps", MendBitmaps},
    {"L1 entries", MendL1Entries, /*settles_past_end=*/true},
    {"L2 entries", MendL2Entries, /*settles_past_end=*/true},
    {"overlaps", SeparateOverlaps},
    {"refcount structures", MendRefcountStructures},
    {"refcounts", MendRefcounts},
    {"COPIED flags", MendCopiedFlags},
    {"header bits", ClearHeaderBits},
};

constexpr Step kLeakSteps[] = {
    {"COPIED flags of leaks", SetCopiedOfLeaks},
    {"leaks", FreeLeaks},
};

}  // namespace

std::span<const Step> StepsOf(Mode mode) {
  if (mode == Mode::kLeaks) return kLeakSteps;
  return kAllSteps;
}

}  // namespace qcow2::repair
