#include "tests/engine/read_everything.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "engine/image/bitmaps.h"
#include "engine/image/mapping.h"
#include "engine/image/snapshot_disk.h"
#include "engine/image/snapshots.h"

namespace qcow2 {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{64} << 10;
constexpr size_t kMaxErrors = 1000;

// A disk, or a stretch of bytes like one.
struct Source {
  uint64_t size = 0;
  uint64_t cluster_size = 0;
  bool has_backing = false;
  std::function<absl::StatusOr<MappedExtent>(uint64_t offset, uint64_t length)>
      map;
  std::function<absl::Status(uint64_t offset, std::span<std::byte> buffer)>
      read;
};

class Reader {
 public:
  Reader(const ReadBudget& budget, ReadResult& result)
      : budget_(budget), result_(result) {}

  void ReadDisk(const Source& disk);
  // The beginning and the end of what has no map.
  void ReadEnds(const Source& source);
  void Note(const absl::Status& status) {
    if (!status.ok() && result_.errors.size() < kMaxErrors) {
      result_.errors.push_back(status);
    }
  }

 private:
  void ReadExtent(const Source& disk, uint64_t offset,
                  const MappedExtent& extent);
  void ReadPiece(const Source& disk, uint64_t offset, uint64_t length,
                 bool zeros);

  const ReadBudget& budget_;
  ReadResult& result_;
  uint64_t bytes_left_ = 0;
  std::vector<std::byte> buffer_;
};

void Reader::ReadPiece(const Source& disk, uint64_t offset, uint64_t length,
                       bool zeros) {
  buffer_.assign(length, std::byte{0xa5});
  const absl::Status status = disk.read(offset, buffer_);
  Note(status);
  if (!status.ok() || !zeros) return;
  const bool are = std::ranges::all_of(
      buffer_, [](std::byte byte) { return byte == std::byte{0}; });
  if (!are) {
    Note(absl::InternalError(
        absl::StrCat("zeros at ", offset, "+", length, " read otherwise")));
  }
}

void Reader::ReadExtent(const Source& disk, uint64_t offset,
                        const MappedExtent& extent) {
  const bool zeros =
      extent.kind == MappedKind::kZeros ||
      (extent.kind == MappedKind::kUnallocated && !disk.has_backing);
  uint64_t length = extent.length_bytes;
  if (zeros && length > 2 * kPieceBytes) {
    // There is nothing in between.
    ReadPiece(disk, offset + length - kPieceBytes, kPieceBytes, zeros);
    length = kPieceBytes;
  }
  while (length > 0) {
    const uint64_t piece = std::min(length, kPieceBytes);
    if (bytes_left_ < piece) {
      result_.complete = false;
      return;
    }
    bytes_left_ -= piece;
    ReadPiece(disk, offset, piece, zeros);
    offset += piece;
    length -= piece;
  }
}

void Reader::ReadDisk(const Source& disk) {
  bytes_left_ = budget_.bytes;
  uint64_t extents = 0;
  for (uint64_t at = 0; at < disk.size;) {
    if (++extents > budget_.extents) {
      result_.complete = false;
      return;
    }
    const absl::StatusOr<MappedExtent> extent = disk.map(at, disk.size - at);
    if (!extent.ok()) {
      Note(extent.status());
      // What cannot be mapped cannot be read either.
      const uint64_t length =
          std::min(disk.cluster_size - at % disk.cluster_size, disk.size - at);
      buffer_.resize(std::min(length, kPieceBytes));
      if (disk.read(at, buffer_).ok()) {
        Note(absl::InternalError(
            absl::StrCat("byte ", at, " has no place and can be read")));
      }
      at += length;
      continue;
    }
    if (extent->length_bytes == 0 || extent->length_bytes > disk.size - at) {
      Note(absl::InternalError(absl::StrCat(
          "an extent of ", extent->length_bytes, " bytes at ", at)));
      return;
    }
    ReadExtent(disk, at, *extent);
    at += extent->length_bytes;
  }
}

void Reader::ReadEnds(const Source& source) {
  if (source.size == 0) return;
  const uint64_t piece = std::min(source.size, kPieceBytes);
  ReadPiece(source, 0, piece, /*zeros=*/false);
  ReadPiece(source, source.size - piece, piece, /*zeros=*/false);
}

void ReadSnapshot(Image& image, const SnapshotEntry& entry, Reader& reader) {
  const auto opened = SnapshotDisk::Open(image.core(), entry.id);
  if (!opened.ok()) return reader.Note(opened.status());
  SnapshotDisk& disk = **opened;
  const uint64_t cluster = image.geometry().cluster_size();
  const bool has_backing = disk.backing() != nullptr;
  reader.ReadDisk({.size = disk.size_bytes(),
                   .cluster_size = cluster,
                   .has_backing = has_backing,
                   .map = std::bind_front(&SnapshotDisk::Map, &disk),
                   .read = std::bind_front(&SnapshotDisk::Read, &disk)});
  reader.ReadEnds({.size = disk.entry().vm_state_size(),
                   .cluster_size = cluster,
                   .has_backing = has_backing,
                   .map = {},
                   .read = std::bind_front(&SnapshotDisk::ReadVmState, &disk)});
}

}  // namespace

ReadResult ReadEverything(Image& image, const ReadBudget& budget) {
  ReadResult result;
  Reader reader(budget, result);
  reader.ReadDisk({.size = image.size_bytes(),
                   .cluster_size = image.geometry().cluster_size(),
                   .has_backing = image.backing() != nullptr,
                   .map = std::bind_front(&Image::Map, &image),
                   .read = std::bind_front(&Image::Read, &image)});
  uint64_t snapshots = 0;
  for (const SnapshotEntry& entry : ListSnapshots(image.core())) {
    if (++snapshots > budget.snapshots) {
      result.complete = false;
      break;
    }
    ReadSnapshot(image, entry, reader);
  }
  reader.Note(ListBitmaps(image.core()).status());
  return result;
}

}  // namespace qcow2
