#include "repair/view_edit.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "engine/status_macros.h"

namespace qcow2::repair {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

}  // namespace

absl::Status WriteL1Entry(File& view, uint64_t table, uint64_t index,
                          L1Entry entry) {
  std::array<std::byte, kL1EntrySize> bytes;
  entry.Encode(bytes.data());
  return view.Pwrite(table + index * kL1EntrySize, bytes);
}

absl::Status WriteL2Entry(File& view, const Geometry& geometry, uint64_t table,
                          uint64_t index, L2Entry entry) {
  std::array<std::byte, 16> bytes;
  const uint64_t size = geometry.l2_entry_size();
  entry.Encode(bytes.data(), geometry);
  return view.Pwrite(table + index * size, std::span(bytes).first(size));
}

absl::Status WriteRefcountTableEntry(File& view, uint64_t table, uint64_t index,
                                     RefcountTableEntry entry) {
  std::array<std::byte, kRefcountTableEntrySize> bytes;
  entry.Encode(bytes.data());
  return view.Pwrite(table + index * kRefcountTableEntrySize, bytes);
}

absl::Status WriteHeader(File& view, const Header& header) {
  return view.Pwrite(0, header.Encode());
}

absl::Status CopyBytes(File& view, uint64_t from, uint64_t to,
                       uint64_t length) {
  std::vector<std::byte> piece;
  for (uint64_t done = 0; done < length; done += piece.size()) {
    piece.resize(std::min(kPieceBytes, length - done));
    RETURN_IF_ERROR(ReadZeroFilled(view, from + done, piece));
    RETURN_IF_ERROR(view.Pwrite(to + done, piece));
  }
  return absl::OkStatus();
}

absl::Status WriteZeros(File& view, uint64_t offset, uint64_t length) {
  const std::vector<std::byte> zeros(std::min(kPieceBytes, length));
  for (uint64_t done = 0; done < length;) {
    const uint64_t count = std::min<uint64_t>(zeros.size(), length - done);
    RETURN_IF_ERROR(view.Pwrite(offset + done, std::span(zeros).first(count)));
    done += count;
  }
  return absl::OkStatus();
}

}  // namespace qcow2::repair
