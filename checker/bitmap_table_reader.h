// The part of the bitmap pass that reads the bitmap tables.
#ifndef CHECKER_BITMAP_TABLE_READER_H_
#define CHECKER_BITMAP_TABLE_READER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checker/check_state.h"
#include "engine/format/bitmap_directory.h"
#include "engine/format/bitmap_table_entry.h"

namespace qcow2::checker {

// Location::field for a place that belongs to the bitmap called `name`.
std::string FieldForBitmap(std::string_view name);

// Reads bitmap tables one after the other. Work and memory are bounded for all
// of them together: sound tables lie apart and so are no longer than the file.
class BitmapTableReader {
 public:
  explicit BitmapTableReader(CheckState& state);

  // Judges the table of bitmap `index` and adds its region and those of its
  // data, if it can be found. Its data is held against the disk's size only
  // with `entry_valid`, and with options.deep.
  void Run(uint64_t index, const BitmapDirectoryEntry& entry, bool entry_valid);

 private:
  bool Locate(uint64_t index, const BitmapDirectoryEntry& entry);
  // Whether all tables together, with one of `bytes` more, may be sound.
  bool WithinBudget(uint64_t bytes);
  // Judges entries from `first` on, which `bytes` holds.
  void ReadEntries(uint64_t first, std::span<const std::byte> bytes);
  void ReadEntry(uint64_t table_index, BitmapTableEntry entry);
  // Adds a cluster of data to the run, or ends the run and begins another.
  void TakeData(uint64_t offset);
  void EndRun();
  void JudgeTail(const BitmapDirectoryEntry& entry);
  Finding About(Problem problem, uint64_t table_index) const;

  CheckState& state_;
  uint64_t bytes_left_;
  uint64_t regions_left_;
  bool gave_up_reading_ = false;
  bool gave_up_collecting_ = false;
  // Of the bitmap being read.
  uint64_t index_ = 0;
  std::string name_;
  uint64_t table_offset_ = 0;
  MetadataRegion run_;
  // The last entry that says anything, and its index.
  BitmapTableEntry last_entry_;
  uint64_t last_entry_index_ = 0;
};

}  // namespace qcow2::checker

#endif  // CHECKER_BITMAP_TABLE_READER_H_
