#include "repair/journal/applier.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/status_macros.h"
#include "repair/journal/corrupt_bit.h"

namespace qcow2::repair {
namespace {

struct Sides {
  std::span<const std::byte> from;
  std::span<const std::byte> to;
};

Sides SidesOf(const Entry& entry, Direction direction) {
  return direction == Direction::kToNew
             ? Sides{entry.old_bytes, entry.new_bytes}
             : Sides{entry.new_bytes, entry.old_bytes};
}

absl::Status SetCorruptBit(File& image,
                           std::span<const std::byte> from_header) {
  if (!HasPlaceForCorruptBit(from_header)) return absl::OkStatus();
  const std::array<std::byte, 1> marked = {from_header[kCorruptBitOffset] |
                                           kCorruptBit};
  RETURN_IF_ERROR(image.Pwrite(kCorruptBitOffset, marked));
  return image.Flush();
}

// Growing must come before the records, shrinking after them.
absl::Status Grow(File& image, uint64_t size) {
  ASSIGN_OR_RETURN(const uint64_t current, image.Size());
  return current < size ? image.Truncate(size) : absl::OkStatus();
}

absl::Status Shrink(File& image, uint64_t size) {
  ASSIGN_OR_RETURN(const uint64_t current, image.Size());
  return current > size ? image.Truncate(size) : absl::OkStatus();
}

}  // namespace

absl::Status ApplyJournal(File& image, const File& journal,
                          const JournalFront& front, Direction direction) {
  const uint64_t size = direction == Direction::kToNew ? front.header->new_size
                                                       : front.header->old_size;
  EntryReader entries(journal, *front.header, front.seal);
  // The first entry is the header's record: EntryReader sees to it.
  ASSIGN_OR_RETURN(const Entry* entry, entries.Next());
  const Sides header = SidesOf(*entry, direction);
  const std::vector<std::byte> final_header(header.to.begin(), header.to.end());
  RETURN_IF_ERROR(SetCorruptBit(image, header.from));
  RETURN_IF_ERROR(Grow(image, size));
  while (true) {
    ASSIGN_OR_RETURN(entry, entries.Next());
    if (entry == nullptr) break;
    const std::span<const std::byte> bytes = SidesOf(*entry, direction).to;
    if (!bytes.empty()) {
      RETURN_IF_ERROR(image.Pwrite(entry->header.offset, bytes));
    }
  }
  RETURN_IF_ERROR(Shrink(image, size));
  RETURN_IF_ERROR(image.Flush());
  RETURN_IF_ERROR(image.Pwrite(0, final_header));
  return image.Flush();
}

}  // namespace qcow2::repair
