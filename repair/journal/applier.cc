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

}  // namespace

absl::Status ApplyJournal(File& image, const File& journal,
                          const JournalFront& front, Direction direction) {
  const bool to_new = direction == Direction::kToNew;
  const uint64_t old_size = front.header->old_size;
  const uint64_t new_size = front.header->new_size;
  const uint64_t size = to_new ? new_size : old_size;
  const uint64_t size_before = to_new ? old_size : new_size;
  EntryReader entries(journal, *front.header, front.seal);
  // The first entry is the header's record: EntryReader sees to it.
  ASSIGN_OR_RETURN(const Entry* entry, entries.Next());
  const Sides header = SidesOf(*entry, direction);
  const std::vector<std::byte> final_header(header.to.begin(), header.to.end());
  RETURN_IF_ERROR(SetCorruptBit(image, header.from));
  // Even if it has that length already, like everything else. A block device
  // never gets here, its length is the same in both images.
  if (size > size_before) RETURN_IF_ERROR(image.Truncate(size));
  while (true) {
    ASSIGN_OR_RETURN(entry, entries.Next());
    if (entry == nullptr) break;
    const std::span<const std::byte> bytes = SidesOf(*entry, direction).to;
    if (!bytes.empty()) {
      RETURN_IF_ERROR(image.Pwrite(entry->header.offset, bytes));
    }
  }
  if (size < size_before) RETURN_IF_ERROR(image.Truncate(size));
  RETURN_IF_ERROR(image.Flush());
  RETURN_IF_ERROR(image.Pwrite(0, final_header));
  return image.Flush();
}

}  // namespace qcow2::repair
