// Makes an image the new one, or the old one, from a journal that was committed
// and verified. Writes to the image only.
#ifndef REPAIR_JOURNAL_APPLIER_H_
#define REPAIR_JOURNAL_APPLIER_H_

#include "absl/status/status.h"
#include "engine/storage/file.h"
#include "repair/journal/journal_reader.h"

namespace qcow2::repair {

enum class Direction { kToNew, kToOld };

// In this order: the corrupt bit is set where the header has it; the length
// grows; every record but that of the image's header is written; the length
// shrinks; the header is written. Between these everything is flushed, and at
// the end. `front` has a header and a seal.
//
// Everything is written even where the image reads right already: after a flush
// has failed, what is read need not be what is stored.
absl::Status ApplyJournal(File& image, const File& journal,
                          const JournalFront& front, Direction direction);

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_APPLIER_H_
