// The passes of a check, in the order they run. Each is a function over the
// state of the check; none writes to the image, and none gives up because an
// earlier one found damage.
#ifndef CHECKER_PASSES_H_
#define CHECKER_PASSES_H_

#include "checker/check_state.h"

namespace qcow2::checker {

// Decodes the header and its extensions and judges every field. Fills
// model.header, model.geometry (absent when the cluster size is not known),
// the active L1 table, the refcount table's place, the regions of the header,
// active L1 table and refcount table, the feature flags, and the summary.
// A header that cannot be used is diagnosed: what the file is instead, whether
// a qcow2 image goes on behind the first cluster. False: nothing else can be
// checked.
bool RunHeaderPass(CheckState& state);

// Reads the snapshot table. Adds its region, every snapshot's L1 table (to
// model.l1_tables and, as regions, kOwnerInactiveL1) and model.snapshot_count.
void RunSnapshotPass(CheckState& state);

// Reads the bitmap directory and tables when the autoclear bit vouches for
// them. Adds the regions of directory, tables and data clusters.
void RunBitmapPass(CheckState& state);

// Judges the LUKS header and adds its region.
void RunLuksPass(CheckState& state);

// Looks at the files the image names: external data file (sets
// model.data_file_size_bytes) and backing file; the whole chain with --deep.
void RunOtherFilesPass(CheckState& state);

}  // namespace qcow2::checker

#endif  // CHECKER_PASSES_H_
