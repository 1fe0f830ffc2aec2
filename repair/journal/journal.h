// What committing, recovering and undoing a repair have in common: which image
// it is about, where the journal is, and what state it is in.
//
// Values only. docs/journal.md draws the file and tells the protocol.
#ifndef REPAIR_JOURNAL_JOURNAL_H_
#define REPAIR_JOURNAL_JOURNAL_H_

#include <cstdint>
#include <string>

#include "repair/journal/directory.h"

namespace qcow2::repair {

// The image as the system knows it.
struct ImageIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  // A block device keeps its length and has no inode that would outlast a
  // restart of the machine: only its contents tell whether it is the same. So
  // it is with an image on a server.
  bool is_block_device = false;

  friend bool operator==(const ImageIdentity&, const ImageIdentity&) = default;
};

// Where the journal of an image is. Both names are in the one folder, since a
// journal becomes the undo file by being renamed.
struct JournalPlace {
  Directory& directory;
  std::string journal_name;
  std::string undo_name;
};

// The names used for an image called `image_name` unless others are asked for.
inline std::string DefaultJournalName(const std::string& image_name) {
  return image_name + ".fsck-journal";
}
inline std::string DefaultUndoName(const std::string& image_name) {
  return image_name + ".fsck-undo";
}

// How far the transaction in a journal has come.
enum class JournalState {
  kNone,        // There is no journal.
  kIncomplete,  // Written in part: the image was not touched.
  kCommitted,   // The image is the old one, the new one or in between.
  kApplied,     // The image is the new one. An undo file is in this state.
  kUndoing,     // As kCommitted, on the way back to the old image.
  kUndone,      // The image is the old one again.
};

// Which of the two images the file is now.
enum class ImageState {
  kOld,      // As before the repair, bit for bit.
  kNew,      // As planned, bit for bit.
  kPending,  // In between. The journal is there and the next run finishes it.
};

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_JOURNAL_H_
