// Reads all guest bytes of an image, disk and snapshots, cluster by
// cluster, the way QEMU would: what tests hold a repair against.
//
// For tests only. Written apart from repair/, slow and simple; where qemu-img
// can read an image it is the second opinion.
#ifndef TESTS_REPAIR_GUEST_READER_H_
#define TESTS_REPAIR_GUEST_READER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/storage/file.h"

namespace qcow2 {

// A cluster, or with extended L2 entries a subcluster.
struct GuestUnit {
  enum class State { kData, kZeros, kUnallocated, kUnreadable };
  State state = State::kUnallocated;
  // Of kData: as stored, that is still encrypted where the image is.
  std::vector<std::byte> bytes;

  friend bool operator==(const GuestUnit&, const GuestUnit&) = default;
};

// The active disk (id and name empty) or a snapshot, VM state included.
struct GuestDisk {
  std::string id;
  std::string name;
  uint64_t l1_offset_bytes = 0;
  uint64_t size_bytes = 0;
  // Of it, what its L1 table can map.
  uint64_t mapped_bytes = 0;
  uint64_t unit_bytes = 0;
  // Guest bytes an L1 entry maps. VM state begins with the first entry that
  // maps nothing of the disk; what lies between is nobody's.
  uint64_t window_bytes = 0;
  bool has_backing = false;
  // By index; those not listed are unallocated. Without a backing file what
  // reads as zeros is not listed, whatever it is.
  std::map<uint64_t, GuestUnit> units;
};

// All disks of an image, the active one first. Empty if its header cannot be
// used. `data_file`: the external data file's bytes, if there is one.
std::vector<GuestDisk> ReadGuestDisks(const File& image,
                                      std::span<const std::byte> data_file);
std::vector<GuestDisk> ReadGuestDisks(const std::vector<std::byte>& image,
                                      std::span<const std::byte> data_file);

// A guest range that reads otherwise than it should.
struct WrongRange {
  std::string snapshot;  // name, or else ID; empty for the active disk
  // The name the same snapshot has now, which may have been damaged or mended.
  std::string snapshot_now;
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  // What it reads instead: "zeros", "other data", "nothing" (unreadable).
  std::string reads;

  friend bool operator==(const WrongRange&, const WrongRange&) = default;
};

// Where `actual` reads otherwise than `expected`; what is unreadable there may
// be anything, and so may be VM state that was none. Adjoining ranges that read
// alike are one. Of a disk that is not there any more nothing reads as it
// should, and with `actual` empty (no header) nothing at all.
std::vector<WrongRange> CompareDisks(const std::vector<GuestDisk>& expected,
                                     const std::vector<GuestDisk>& actual);

// Where the bytes of a disk without its VM state, as another reader has them,
// differ from `disk`: the first place in words, or nothing. What is unreadable
// is passed over.
std::string FirstDifference(const GuestDisk& disk,
                            std::span<const std::byte> bytes);

uint64_t BytesIn(const std::vector<WrongRange>& ranges);
// "0x1000+0x2000 of snapshot \"a\" reads zeros".
std::string Describe(const WrongRange& range);

}  // namespace qcow2

#endif  // TESTS_REPAIR_GUEST_READER_H_
