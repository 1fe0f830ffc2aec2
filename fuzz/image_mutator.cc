#include "fuzz/image_mutator.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "engine/format/byte_order.h"
#include "engine/format/header.h"

// libFuzzer's own mutation of bytes; replay_main.cc has one for other builds.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace qcow2::fuzz {
namespace {

constexpr uint32_t kTypicalClusterBits = 9;
// Places within an image are 8 bytes; less than that is no image.
constexpr size_t kWordBytes = 8;

struct Field {
  size_t offset;
  size_t bytes;
};
constexpr Field kHeaderFields[] = {
    {0, 4},  {4, 4},  {8, 8},  {16, 4},  {20, 4},  {24, 8}, {32, 4},
    {36, 4}, {40, 8}, {48, 8}, {56, 4},  {60, 4},  {64, 8}, {72, 8},
    {80, 8}, {88, 8}, {96, 4}, {100, 4}, {104, 1}, {105, 1}};

class Mutation {
 public:
  Mutation(uint8_t* data, size_t size, size_t max_size, uint32_t seed)
      : data_(data), size_(size), max_size_(max_size), random_(seed) {
    header_ = Header::Decode(std::as_bytes(std::span(data, size)));
    cluster_bits_ = header_.cluster_bits >= 9 && header_.cluster_bits <= 21
                        ? header_.cluster_bits
                        : kTypicalClusterBits;
  }

  size_t Run();

 private:
  uint64_t Below(uint64_t end) { return end == 0 ? 0 : random_() % end; }
  uint64_t cluster_size() const { return uint64_t{1} << cluster_bits_; }
  uint64_t Clusters() const { return size_ / cluster_size() + 1; }
  uint64_t Load(uint64_t offset) const {
    return LoadBe64(reinterpret_cast<const std::byte*>(data_ + offset));
  }
  void Store(uint64_t offset, uint64_t value) {
    StoreBe64(reinterpret_cast<std::byte*>(data_ + offset), value);
  }

  void MutateField();
  void MutateWord(uint64_t table_offset, uint64_t table_bytes);
  void MutateL2();
  void MutateRefcountBlock();
  void MutateCluster();
  void MutateLength();
  void MutateOptions() { data_[size_ - 1] = static_cast<uint8_t>(random_()); }
  // The word `offset` names, 0 if it is not in the file.
  uint64_t Followed(uint64_t offset);
  uint64_t NewWord(uint64_t old);
  uint64_t HostOffsetOfSomeCluster();

  uint8_t* const data_;
  size_t size_;
  const size_t max_size_;
  std::mt19937_64 random_;
  Header header_;
  uint32_t cluster_bits_;
};

uint64_t Mutation::HostOffsetOfSomeCluster() {
  switch (Below(8)) {
    case 0:  // Just past the end, or just not.
      return (Clusters() - 2 + Below(4)) * cluster_size();
    case 1:  // In another part of the reference map.
      return Below(uint64_t{1} << 17) * cluster_size();
    case 2:  // Anywhere that an entry can name.
      return (random_() & ((uint64_t{1} << 56) - 1)) / cluster_size() *
             cluster_size();
    default:
      return Below(Clusters()) * cluster_size();
  }
}

uint64_t Mutation::NewWord(uint64_t old) {
  switch (Below(10)) {
    case 0:
      return old ^ uint64_t { 1 } << Below(64);
    case 1:
      return old ^ uint64_t { 1 } << 63;  // COPIED
    case 2:
      return old ^ uint64_t { 1 } << 62;  // compressed
    case 3:
      return old ^ 1;  // zero flag
    case 4:
      return old + (Below(2) == 0 ? cluster_size() : -cluster_size());
    case 5:
      return old + Below(cluster_size());
    case 6:
      return Below(4) == 0 ? ~uint64_t{0} : 0;
    case 7:
      return random_() >> Below(64);
    default:
      return HostOffsetOfSomeCluster() | (Below(2) << 63);
  }
}

void Mutation::MutateField() {
  const Field& field = kHeaderFields[Below(std::size(kHeaderFields))];
  if (field.bytes == 0 || field.offset + field.bytes > size_) return;
  const uint32_t bits = static_cast<uint32_t>(field.bytes * 8);
  const uint64_t max = ~uint64_t{0} >> (64 - bits);
  uint64_t old = 0;
  for (size_t i = 0; i < field.bytes; ++i) {
    old = old << 8 | data_[field.offset + i];
  }
  const std::array<uint64_t, 8> values = {0,
                                          1,
                                          max - Below(2),
                                          uint64_t{1} << (bits - 1),
                                          old + 1,
                                          old - 1,
                                          old ^ uint64_t{1} << Below(bits),
                                          Below(Clusters()) * cluster_size()};
  uint64_t value = values[Below(values.size())];
  for (size_t i = field.bytes; i-- > 0; value >>= 8) {
    data_[field.offset + i] = static_cast<uint8_t>(value);
  }
}

// Changes one word of a table, or makes it the same as another one of it.
void Mutation::MutateWord(uint64_t table_offset, uint64_t table_bytes) {
  if (table_offset >= size_) return;
  const uint64_t words =
      std::min<uint64_t>(table_bytes, size_ - table_offset) / kWordBytes;
  if (words == 0) return;
  const uint64_t at = table_offset + Below(words) * kWordBytes;
  if (Below(4) == 0) {
    Store(at, Load(table_offset + Below(words) * kWordBytes));
  } else {
    Store(at, NewWord(Load(at)));
  }
}

uint64_t Mutation::Followed(uint64_t offset) {
  if (size_ < kWordBytes || offset > size_ - kWordBytes) return 0;
  return Load(offset) & 0x00ff'ffff'ffff'fe00;
}

void Mutation::MutateL2() {
  const uint64_t l1 = header_.l1_table_offset.value();
  if (l1 > size_) return;
  const uint64_t entries = std::min<uint64_t>(header_.l1_size, 64);
  MutateWord(Followed(l1 + Below(entries) * kWordBytes), cluster_size());
}

void Mutation::MutateRefcountBlock() {
  const uint64_t table = header_.refcount_table_offset.value();
  if (table > size_) return;
  const uint64_t block = Followed(table + Below(2) * kWordBytes);
  if (block >= size_) return;
  // Counts may be narrower than a byte: single bytes are as good as any.
  const uint64_t bytes = std::min<uint64_t>(cluster_size(), size_ - block);
  data_[block + Below(std::min<uint64_t>(bytes, 128))] =
      static_cast<uint8_t>(Below(2) == 0 ? Below(4) : random_());
}

// A cluster that was overwritten: with another one, or with one byte.
void Mutation::MutateCluster() {
  const uint64_t whole = size_ / cluster_size();
  if (whole == 0) return;
  uint8_t* const to = data_ + Below(whole) * cluster_size();
  const uint8_t* const from = data_ + Below(whole) * cluster_size();
  if (Below(2) == 0) {
    std::memmove(to, from, cluster_size());
  } else {
    std::memset(to, Below(2) == 0 ? 0 : static_cast<int>(Below(256)),
                cluster_size());
  }
}

void Mutation::MutateLength() {
  const size_t size =
      Below(2) == 0 ? Below(size_ + 1) : size_ + Below(4) * cluster_size();
  const size_t bounded = std::min(size, max_size_);
  if (bounded > size_) std::memset(data_ + size_, 0, bounded - size_);
  size_ = std::max<size_t>(bounded, 1);
}

size_t Mutation::Run() {
  if (size_ < kWordBytes) return LLVMFuzzerMutate(data_, size_, max_size_);
  for (uint64_t left = 1 + Below(3); left > 0; --left) {
    switch (Below(12)) {
      case 0:
        size_ = LLVMFuzzerMutate(data_, size_, max_size_);
        break;
      case 1:
      case 2:
        MutateField();
        break;
      case 3:
        MutateWord(header_.l1_table_offset.value(),
                   std::min<uint64_t>(header_.l1_size, 512) * kWordBytes);
        break;
      case 4:
      case 5:
        MutateL2();
        break;
      case 6:
        MutateWord(header_.refcount_table_offset.value(), cluster_size());
        break;
      case 7:
        MutateRefcountBlock();
        break;
      case 8:
        MutateWord(header_.snapshots_offset.value(), cluster_size());
        break;
      case 9:
        MutateWord(0, size_);
        break;
      case 10:
        MutateCluster();
        break;
      default:
        MutateLength();
        break;
    }
    if (size_ < kWordBytes) return size_;
  }
  if (Below(4) == 0) MutateOptions();
  return size_;
}

}  // namespace

size_t MutateImage(uint8_t* data, size_t size, size_t max_size, uint32_t seed) {
  return Mutation(data, size, max_size, seed).Run();
}

}  // namespace qcow2::fuzz
