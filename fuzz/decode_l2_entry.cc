// Any words are an L2 entry that encodes back to the same words, in every
// geometry; its type and issues agree with each other. The first byte chooses
// the geometry.
#include <algorithm>
#include <array>

#include "engine/format/l1_entry.h"
#include "engine/format/l2_entry.h"
#include "engine/format/refcount_table_entry.h"
#include "fuzz/fuzz_target.h"

namespace {

void CheckCompressed(qcow2::L2Entry entry, const qcow2::Geometry& geometry) {
  const qcow2::CompressedDescriptor found = entry.compressed(geometry);
  FUZZ_CHECK(found.sectors >= 1);
  FUZZ_CHECK(found.sectors <= geometry.cluster_size() / 256);
  FUZZ_CHECK(found.length >= 1);
  FUZZ_CHECK((found.offset.value() + found.length) % 512 == 0);
  const auto again = qcow2::L2Entry::FromCompressed(found, geometry);
  FUZZ_CHECK(again.raw() == (entry.raw() & ~qcow2::kCopiedFlag));
}

void CheckEntry(const std::byte* bytes, const qcow2::Geometry& geometry,
                bool data_file) {
  const auto entry = qcow2::L2Entry::Decode(bytes, geometry);
  std::array<std::byte, 16> encoded;
  entry.Encode(encoded.data(), geometry);
  FUZZ_CHECK(
      std::equal(bytes, bytes + geometry.l2_entry_size(), encoded.begin()));
  const auto type = qcow2::TypeOf(entry, geometry, data_file);
  FUZZ_CHECK((type == qcow2::L2EntryType::kCompressed) ==
             entry.is_compressed());
  const uint32_t issues = qcow2::L2EntryIssues(entry, geometry, 3, data_file);
  if (entry.is_compressed()) {
    CheckCompressed(entry, geometry);
  } else if (issues == 0) {
    FUZZ_CHECK(geometry.IsAligned(entry.host_offset().value()));
    FUZZ_CHECK(entry.reserved_bits(geometry.extended_l2()) == 0);
  }
}

void CheckWord(const std::byte* bytes, const qcow2::Geometry& geometry) {
  std::array<std::byte, 8> encoded;
  const auto l1 = qcow2::L1Entry::Decode(bytes);
  l1.Encode(encoded.data());
  FUZZ_CHECK(std::equal(encoded.begin(), encoded.end(), bytes));
  qcow2::L1EntryIssues(l1, geometry);
  const auto refcount = qcow2::RefcountTableEntry::Decode(bytes);
  refcount.Encode(encoded.data());
  FUZZ_CHECK(std::equal(encoded.begin(), encoded.end(), bytes));
  qcow2::RefcountTableEntryIssues(refcount, geometry);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 17) return 0;
  const uint32_t cluster_bits = 9 + data[0] % 13;
  const bool extended = cluster_bits >= 14 && (data[0] & 0x80) != 0;
  const auto geometry = *qcow2::Geometry::Create(cluster_bits, 4, extended);
  const auto input = qcow2::fuzz::InputBytes(data + 1, size - 1);
  for (size_t at = 0; at + 16 <= input.size(); at += 8) {
    CheckEntry(&input[at], geometry, false);
    CheckEntry(&input[at], geometry, true);
    CheckWord(&input[at], geometry);
  }
  return 0;
}
