// The yardstick of the benchmark: the least work any checker must do. Reads
// the header, every L1 table, then every distinct L2 table and refcount block
// once, in file order, one pread a table on one thread, and byte-swaps every
// entry. It checks nothing and trusts the image: run it on images made by
// make_images.py only.
//
// Prints the bytes read and the sum of all entries (so that the work cannot be
// optimised away).
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "engine/format/byte_order.h"

namespace qcow2 {
namespace {

// Bits 9-55 of an L1 entry; bits 9-63 of a refcount table entry.
constexpr uint64_t kL1OffsetMask = 0x00fffffffffffe00;
constexpr uint64_t kRefcountTableOffsetMask = 0xfffffffffffffe00;

// What the loop needs of the header.
struct Header {
  uint64_t cluster_size = 0;
  uint64_t l1_entries = 0;
  uint64_t l1_offset = 0;
  uint64_t refcount_table_offset = 0;
  uint64_t refcount_table_entries = 0;
  uint64_t snapshots = 0;
  uint64_t snapshots_offset = 0;
  uint32_t refcount_bits = 16;
};

// The image, the buffer tables are read into, and the totals.
class Loop {
 public:
  explicit Loop(int fd) : fd_(fd) {}

  // Reads exactly `length` bytes at `offset`, zeros past the end of the file.
  // The result holds until the next call.
  const std::byte* Read(uint64_t offset, size_t length) {
    if (buffer_.size() < length) buffer_.resize(length);
    const ssize_t got =
        pread(fd_, buffer_.data(), length, static_cast<off_t>(offset));
    if (got < 0) {
      std::perror("pread");
      std::exit(1);
    }
    std::fill(buffer_.begin() + got,
              buffer_.begin() + static_cast<ptrdiff_t>(length), std::byte{0});
    bytes_ += length;
    return buffer_.data();
  }

  void Add(uint64_t sum) { sum_ += sum; }
  uint64_t bytes() const { return bytes_; }
  uint64_t sum() const { return sum_; }

 private:
  int fd_;
  std::vector<std::byte> buffer_;
  uint64_t bytes_ = 0;
  uint64_t sum_ = 0;
};

Header ReadHeader(Loop& loop) {
  const std::byte* bytes = loop.Read(0, 512);
  Header header;
  header.cluster_size = uint64_t{1} << LoadBe32(bytes + 20);
  header.l1_entries = LoadBe32(bytes + 36);
  header.l1_offset = LoadBe64(bytes + 40);
  header.refcount_table_offset = LoadBe64(bytes + 48);
  header.refcount_table_entries =
      LoadBe32(bytes + 56) * header.cluster_size / 8;
  header.snapshots = LoadBe32(bytes + 60);
  header.snapshots_offset = LoadBe64(bytes + 64);
  if (LoadBe32(bytes + 4) >= 3) {
    header.refcount_bits = 1u << LoadBe32(bytes + 96);
  }
  return header;
}

// Appends the tables named by the `entries` words at `offset`.
void CollectTables(Loop& loop, uint64_t offset, uint64_t entries, uint64_t mask,
                   std::vector<uint64_t>& tables) {
  const std::byte* bytes = loop.Read(offset, entries * 8);
  for (uint64_t i = 0; i < entries; ++i) {
    const uint64_t table = LoadBe64(bytes + i * 8) & mask;
    if (table != 0) tables.push_back(table);
  }
}

void CollectSnapshotTables(Loop& loop, const Header& header,
                           std::vector<uint64_t>& tables) {
  uint64_t offset = header.snapshots_offset;
  for (uint64_t i = 0; i < header.snapshots; ++i) {
    const std::byte* entry = loop.Read(offset, 40);
    const uint64_t l1_offset = LoadBe64(entry);
    const uint64_t l1_entries = LoadBe32(entry + 8);
    const uint64_t length = uint64_t{40} + LoadBe16(entry + 12) +
                            LoadBe16(entry + 14) + LoadBe32(entry + 36);
    CollectTables(loop, l1_offset, l1_entries, kL1OffsetMask, tables);
    offset += (length + 7) / 8 * 8;
  }
}

void SortDistinct(std::vector<uint64_t>& tables) {
  std::sort(tables.begin(), tables.end());
  tables.erase(std::unique(tables.begin(), tables.end()), tables.end());
}

uint64_t SumWords(const std::byte* bytes, uint64_t length) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < length; i += 8) sum += LoadBe64(bytes + i);
  return sum;
}

// Widths below 8 bits need no byte swap: their bytes are summed.
uint64_t SumCounts(const std::byte* bytes, uint64_t length, uint32_t bits) {
  if (bits == 64) return SumWords(bytes, length);
  uint64_t sum = 0;
  if (bits == 32) {
    for (uint64_t i = 0; i < length; i += 4) sum += LoadBe32(bytes + i);
  } else if (bits == 16) {
    for (uint64_t i = 0; i < length; i += 2) sum += LoadBe16(bytes + i);
  } else {
    for (uint64_t i = 0; i < length; ++i) {
      sum += std::to_integer<uint64_t>(bytes[i]);
    }
  }
  return sum;
}

void Run(Loop& loop) {
  const Header header = ReadHeader(loop);
  std::vector<uint64_t> l2_tables;
  CollectTables(loop, header.l1_offset, header.l1_entries, kL1OffsetMask,
                l2_tables);
  CollectSnapshotTables(loop, header, l2_tables);
  SortDistinct(l2_tables);
  for (const uint64_t offset : l2_tables) {
    loop.Add(
        SumWords(loop.Read(offset, header.cluster_size), header.cluster_size));
  }
  std::vector<uint64_t> blocks;
  CollectTables(loop, header.refcount_table_offset,
                header.refcount_table_entries, kRefcountTableOffsetMask,
                blocks);
  SortDistinct(blocks);
  for (const uint64_t offset : blocks) {
    loop.Add(SumCounts(loop.Read(offset, header.cluster_size),
                       header.cluster_size, header.refcount_bits));
  }
}

}  // namespace
}  // namespace qcow2

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: read_loop IMAGE\n");
    return 2;
  }
  const int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    std::perror(argv[1]);
    return 1;
  }
  qcow2::Loop loop(fd);
  qcow2::Run(loop);
  close(fd);
  std::printf("%llu bytes, sum %llu\n",
              static_cast<unsigned long long>(loop.bytes()),
              static_cast<unsigned long long>(loop.sum()));
  return 0;
}
