// OverlayFile: another File with changes on top that stay in memory, or in a
// scratch file when they become many. A repair plans and proves its writes on
// one before the image sees any of them.
//
// The file underneath is only ever read.
#ifndef ENGINE_STORAGE_OVERLAY_FILE_H_
#define ENGINE_STORAGE_OVERLAY_FILE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"

namespace qcow2 {

class OverlayFile : public File {
 public:
  // Changes are kept in pieces of this many bytes: whoever writes one byte
  // pays for (and finds in DirtyRanges) this much.
  static constexpr uint64_t kGranule = 4096;

  // Where changes go that are more than memory shall hold.
  struct Spill {
    // An empty file of the overlay's own, which must outlive it.
    File& scratch;
    // Bytes of changes kept in memory.
    uint64_t memory_max = uint64_t{16} << 20;
  };

  // `base` must outlive the overlay and not change meanwhile.
  static absl::StatusOr<std::unique_ptr<OverlayFile>> Create(const File& base);
  static absl::StatusOr<std::unique_ptr<OverlayFile>> Create(
      const File& base, const Spill& spill);

  std::string name() const override { return base_.name(); }
  absl::StatusOr<uint64_t> Size() const override { return size_; }
  absl::StatusOr<size_t> Pread(uint64_t offset,
                               std::span<std::byte> buffer) const override;

  // Fails only when reading the rest of a granule from the base does, or the
  // scratch file does, and then changes nothing past the part already written.
  absl::Status Pwrite(uint64_t offset,
                      std::span<const std::byte> data) override;

  // Nothing to do: an overlay is never stable.
  absl::Status Flush() override { return absl::OkStatus(); }

  absl::Status Truncate(uint64_t size) override;
  absl::Status PunchHole(ByteRange range) override;
  absl::StatusOr<ByteRange> NextData(uint64_t offset) const override;
  void Advise(Access access, ByteRange range) const override;

  // Nobody else can reach an overlay: always OK. Lock the base instead.
  absl::Status Lock(LockRequest /*request*/) override {
    return absl::OkStatus();
  }
  void Unlock() override {}

  // Everything that may read differently from the base, in whole granules (the
  // last one cut off at the end of the file), ascending, neighbours merged.
  // Where the overlay is longer than the base and was not written, it reads as
  // zeros and is not listed; where it was made shorter and longer again, it is.
  std::vector<ByteRange> DirtyRanges() const;

  // Whether `range` meets any of DirtyRanges, without making the list.
  bool IsDirty(ByteRange range) const;

  // How often bytes were written or punched out: whether somebody did so since.
  uint64_t writes() const { return writes_; }

  // Forgets all changes: it reads as the base does, and is as long.
  void Clear();

 private:
  using Granule = std::array<std::byte, kGranule>;

  // A stretch whose bytes all come from one place.
  struct Segment {
    enum class Source { kGranule, kScratch, kZeros, kBase };
    Source source;
    uint64_t end;
    const Granule* granule = nullptr;  // Only of kGranule.
    uint64_t scratch_offset = 0;       // Only of kScratch.
  };

  // Granules one after the other, here and in the scratch file.
  struct SpilledRun {
    uint64_t count;
    uint64_t scratch_offset;  // Of the first.
  };

  OverlayFile(const File& base, uint64_t size, File* scratch,
              uint64_t granules_max)
      : base_(base),
        scratch_(scratch),
        granules_max_(granules_max),
        size_(size),
        base_size_(size),
        base_end_(size) {}

  // The stretch `offset` is in, from there on. It may end past size_.
  Segment SegmentAt(uint64_t offset) const;

  // What there is in a segment at `offset`, all of `buffer` long.
  absl::Status ReadSegment(const Segment& segment, uint64_t offset,
                           std::span<std::byte> buffer) const;

  // Whether what the segment at `offset` reads as may differ from the base.
  bool IsChange(const Segment& segment, uint64_t offset) const {
    return segment.source == Segment::Source::kGranule ||
           segment.source == Segment::Source::kScratch ||
           (segment.source == Segment::Source::kZeros && offset < base_size_);
  }

  // The changed granule number `index`, made from what it reads as by now. It
  // must not be in the scratch file.
  absl::StatusOr<Granule*> ChangedGranule(uint64_t index);
  absl::Status WriteWithinGranule(uint64_t offset,
                                  std::span<const std::byte> data);
  absl::Status ZeroWithinGranule(uint64_t offset, uint64_t length);

  // Makes [begin, end), multiples of kGranule, read as zeros.
  void ZeroGranules(uint64_t begin, uint64_t end);

  // Forgets the changed granules from number `begin` to before `end`.
  void DropGranules(uint64_t begin, uint64_t end);

  // The run the granule number `index` is in, or end().
  std::map<uint64_t, SpilledRun>::const_iterator FindSpilled(
      uint64_t index) const;

  // Makes `index` the beginning of a run if it is inside of one.
  void SplitSpilled(uint64_t index);

  // Sees to it that there is room in memory for one granule more: when there
  // is none, all of them go to the scratch file.
  absl::Status MakeRoom();
  absl::Status SpillRun(uint64_t first, std::span<const std::byte> granules);

  const File& base_;
  File* const scratch_;  // Null: everything stays in memory.
  const uint64_t granules_max_;
  uint64_t writes_ = 0;
  uint64_t size_;
  const uint64_t base_size_;
  // Up to here the base is to be seen. Falls with the smallest size there was.
  uint64_t base_end_;
  // Changed granules by offset / kGranule. They come before zeros_.
  std::map<uint64_t, std::unique_ptr<Granule>> granules_;
  // Those in the scratch file, by the number of the first in a run. None of
  // them is in granules_ as well; they come before zeros_, too. Once there they
  // stay there, so that reading never has to move anything.
  std::map<uint64_t, SpilledRun> spilled_;
  uint64_t scratch_end_ = 0;
  // Stretches of whole granules that read as zeros: begin to end, in bytes,
  // disjoint and not touching.
  std::map<uint64_t, uint64_t> zeros_;
};

}  // namespace qcow2

#endif  // ENGINE_STORAGE_OVERLAY_FILE_H_
