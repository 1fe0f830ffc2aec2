#include "tests/hostile/sparse_image.h"

#include <algorithm>
#include <fstream>
#include <utility>
#include <vector>

#include "engine/format/byte_order.h"
#include "engine/format/geometry.h"
#include "engine/format/header_extension.h"
#include "engine/status_macros.h"

namespace qcow2::hostile {
namespace {

constexpr uint64_t kPieceWords = 8192;

}  // namespace

absl::StatusOr<SparseImage> SparseImage::Create(const std::string& path,
                                                uint32_t cluster_bits) {
  std::ofstream(path, std::ios::binary | std::ios::trunc).close();
  ASSIGN_OR_RETURN(std::unique_ptr<PosixFile> file,
                   PosixFile::Open(path, {.writable = true}));
  SparseImage image(std::move(file));
  image.header.cluster_bits = cluster_bits;
  return image;
}

void SparseImage::SetL1(uint64_t cluster, uint64_t entries,
                        const std::function<uint64_t(uint64_t)>& entry) {
  header.l1_table_offset = HostOffset(OffsetOf(cluster));
  header.l1_size = static_cast<uint32_t>(entries);
  const Geometry geometry =
      *Geometry::Create(header.cluster_bits, header.refcount_order, false);
  header.size = entries * geometry.l2_coverage();
  WriteWords(OffsetOf(cluster), entries, entry);
}

void SparseImage::SetRefcountTable(
    uint64_t cluster, uint64_t clusters,
    const std::function<uint64_t(uint64_t)>& entry) {
  header.refcount_table_offset = HostOffset(OffsetOf(cluster));
  header.refcount_table_clusters = static_cast<uint32_t>(clusters);
  WriteWords(OffsetOf(cluster), clusters * cluster_size() / 8, entry);
}

void SparseImage::AddExtension(uint32_t type, std::span<const std::byte> data) {
  const std::vector<std::byte> bytes = EncodeHeaderExtension(type, data);
  Write(extensions_end_, bytes);
  extensions_end_ += bytes.size();
}

void SparseImage::Write(uint64_t offset, std::span<const std::byte> bytes) {
  status_.Update(file_->Pwrite(offset, bytes));
}

void SparseImage::WriteWords(uint64_t offset, uint64_t count,
                             const std::function<uint64_t(uint64_t)>& word) {
  std::vector<std::byte> piece;
  for (uint64_t first = 0; first < count; first += kPieceWords) {
    const uint64_t words = std::min(kPieceWords, count - first);
    piece.assign(words * 8, std::byte{0});
    bool all_zero = true;
    for (uint64_t i = 0; i < words; ++i) {
      const uint64_t value = word(first + i);
      StoreBe64(&piece[i * 8], value);
      all_zero = all_zero && value == 0;
    }
    if (!all_zero) Write(offset + first * 8, piece);
  }
}

void SparseImage::Fill(uint64_t offset, uint64_t length, std::byte byte) {
  const std::vector<std::byte> piece(
      std::min<uint64_t>(length, kPieceWords * 8), byte);
  for (uint64_t done = 0; done < length; done += piece.size()) {
    Write(offset + done, std::span(piece).first(
                             std::min<uint64_t>(piece.size(), length - done)));
  }
}

absl::Status SparseImage::Finish(uint64_t file_size) {
  Write(0, header.Encode());
  if (!status_.ok()) return status_;
  ASSIGN_OR_RETURN(const uint64_t written, file_->Size());
  return file_->Truncate(std::max(file_size, written));
}

}  // namespace qcow2::hostile
