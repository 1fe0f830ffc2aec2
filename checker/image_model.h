// What the passes know of the image under check and share with each other:
// the decoded header and the tables found so far, each with where it lies.
//
// Values only. Filled by the header, snapshot, bitmap and LUKS passes; read by
// all others.
#ifndef CHECKER_IMAGE_MODEL_H_
#define CHECKER_IMAGE_MODEL_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checker/finding.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/geometry.h"
#include "engine/format/header.h"
#include "engine/format/luks_extension.h"

namespace qcow2::checker {

// A stretch of the file that belongs to one metadata structure. Regions are
// cluster aligned at their start unless the damage is just that.
struct MetadataRegion {
  Owner owner = kOwnerHeader;
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  // Which one of its kind: the snapshot's or bitmap's index, the refcount
  // block's table index; 0 where there is only one.
  uint64_t index = 0;
  // References it stands for; more than 1 where one structure is named twice.
  uint64_t references = 1;
  // It claims to go on behind the end of the file, where `length_bytes` ends.
  bool goes_on_past_end = false;
};

// One L1 table: the active one or a snapshot's.
struct L1Table {
  bool active = false;
  uint64_t snapshot_index = 0;  // when not active
  std::string snapshot_name;    // empty for the active table
  std::string snapshot_id;
  uint64_t offset_bytes = 0;
  uint64_t entries = 0;
  // The virtual size it maps, in bytes; guest offsets beyond are VM state.
  uint64_t disk_size_bytes = 0;
};

struct ImageModel {
  std::string path;
  uint64_t file_size_bytes = 0;
  Header header;
  // Absent when the header does not allow to find anything else.
  std::optional<Geometry> geometry;
  bool external_data_file = false;
  bool raw_external_data = false;
  // Bytes of the external data file, when it could be opened.
  std::optional<uint64_t> data_file_size_bytes;
  bool encrypted = false;
  // As header and extensions have them; empty: no backing file, no word about
  // its format.
  std::string backing_file;
  std::string backing_format;
  // What the header extensions say, where they are there and can be read.
  std::optional<std::string> data_file_name;
  std::optional<BitmapExtension> bitmap_extension;
  std::optional<LuksExtension> luks_extension;
  std::vector<L1Table> l1_tables;       // the active one first, if usable
  std::vector<MetadataRegion> regions;  // but for L2 tables
  // Of bitmaps that nothing vouches for any more: their clusters are leaked,
  // but it is known what they were.
  std::vector<MetadataRegion> stale_regions;
  // Where the refcount table can be read: its entries (8 bytes each).
  uint64_t refcount_table_offset_bytes = 0;
  uint64_t refcount_table_entries = 0;
  // The refcounts cannot be found or their width is not known: nothing can be
  // said of any count. (An image without a refcount table has counts: zeros.)
  bool refcounts_unknown = false;
  uint64_t snapshot_count = 0;
  uint64_t bitmap_count = 0;
  // Something that names clusters could not be read or followed, so that what
  // looks leaked may be the rest of guest data.
  bool references_incomplete = false;

  // The index in l1_tables of the snapshot that is `index` in its table, if it
  // is there.
  std::optional<uint32_t> L1TableOfSnapshot(uint64_t index) const {
    const auto found =
        std::lower_bound(l1_tables.begin(), l1_tables.end(), index,
                         [](const L1Table& table, uint64_t wanted) {
                           return table.active || table.snapshot_index < wanted;
                         });
    if (found == l1_tables.end() || found->snapshot_index != index) {
      return std::nullopt;
    }
    return static_cast<uint32_t>(found - l1_tables.begin());
  }
  // Clusters the file reaches into (the last one may be partial).
  uint64_t FileClusters() const {
    return geometry->ClustersFor(file_size_bytes);
  }
  // Whether a region reaches past the end of the file by a cluster or more,
  // the measure `qemu-img check` uses.
  bool ReachesPastEnd(uint64_t offset_bytes, uint64_t length_bytes) const {
    if (length_bytes > ~uint64_t{0} - offset_bytes) return true;
    return offset_bytes + length_bytes >=
           FileEndBytes() + geometry->cluster_size();
  }
  // The length of the file in whole sectors: what QEMU takes it for.
  uint64_t FileEndBytes() const { return (file_size_bytes + 511) / 512 * 512; }
};

}  // namespace qcow2::checker

#endif  // CHECKER_IMAGE_MODEL_H_
