// BitmapTracker: keeps the dirty bitmaps of an image up to date while it is
// written.
//
// The first change of the disk marks the bitmaps that record as in use, on
// stable storage, so that nobody takes them for complete should the program end
// without storing them. From then on what changes gathers in memory, only what
// is new; Store adds it to the bitmaps of the image and takes the mark off.
//
// Bitmaps that do not record, or are in use already, stay as they are. One that
// records and cannot be used (its type, flags, extra data or size are none that
// are known here) is marked, and its bits stay as they are.
//
// One thread at a time; ImageCore::mutex is held. Writes flags in the bitmap
// directory, and what BitmapChange writes.
#ifndef ENGINE_IMAGE_BITMAP_TRACKER_H_
#define ENGINE_IMAGE_BITMAP_TRACKER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "engine/image/bitmap_store.h"
#include "engine/image/dirty_bits.h"
#include "engine/image/metadata.h"

namespace qcow2 {

class BitmapTracker {
 public:
  // `metadata` must outlive it and be open for writing.
  explicit BitmapTracker(Metadata& metadata);

  // To be called before the guest's bytes [offset, offset + length) change;
  // what lies behind the disk's end (VM state) is no part of it. An error means
  // that they must not change. A directory that cannot be understood is given
  // up as a whole: the header's bitmaps bit is cleared, which says that no
  // bitmap of the image is up to date.
  absl::Status Note(uint64_t offset, uint64_t length);
  // Stores the bitmaps and takes off the mark. Before that all that was written
  // to the disk is on stable storage. Nothing may be writing meanwhile.
  absl::Status Store();
  // What the bitmap of that name has recorded and was not stored; null if that
  // is nothing.
  const DirtyBits* Unstored(std::string_view name) const;

 private:
  struct Tracked {
    size_t index;  // in the directory
    DirtyBits dirty;
  };

  absl::Status Load();
  absl::Status Start();
  absl::Status MarkInUse();
  void Reset();

  Metadata& metadata_;
  // What was done since the last Store.
  bool loaded_ = false;
  bool started_ = false;
  // As it is once the bitmaps are marked.
  BitmapDirectory directory_;
  std::vector<size_t> to_mark_;
  std::vector<Tracked> tracked_;
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_BITMAP_TRACKER_H_
