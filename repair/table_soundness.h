// Whether the tables of an image are right, by what a check found.
//
// Pure, no I/O.
#ifndef REPAIR_TABLE_SOUNDNESS_H_
#define REPAIR_TABLE_SOUNDNESS_H_

#include "checker/report.h"

namespace qcow2::repair {

// The check came to its end, could read everything and lists all it found.
bool SawEverything(const checker::CheckReport& report);

// It did, and found neither corruption nor leak but for the corrupt bit and
// what concerns other files.
bool TablesAreSound(const checker::CheckReport& report);

}  // namespace qcow2::repair

#endif  // REPAIR_TABLE_SOUNDNESS_H_
