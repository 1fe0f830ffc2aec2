#include "engine/image/cluster_reader.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

namespace qcow2 {

absl::Status ClusterReader::Read(const MappedExtent& extent, uint64_t offset,
                                 std::span<std::byte> buffer) {
  switch (extent.kind) {
    case MappedKind::kHost:
      return ReadStored(extent.host_offset, offset, buffer);
    case MappedKind::kCompressed:
      return ReadCompressed(extent.compressed,
                            geometry_.OffsetInCluster(offset), buffer);
    case MappedKind::kUnallocated:
    case MappedKind::kZeros:
      break;
  }
  std::fill(buffer.begin(), buffer.end(), std::byte{0});
  return absl::OkStatus();
}

void ClusterReader::ForgetDecompressed() {
  for (Slot& slot : slots_) {
    MutexLock held(&slot.mutex);
    slot.of = {};
  }
}

absl::Status ClusterReader::ReadFile(uint64_t host_offset,
                                     std::span<std::byte> buffer) const {
  const File& file =
      setup_.data_file != nullptr ? *setup_.data_file : *setup_.file;
  if (!setup_.whole_clusters) return ReadZeroFilled(file, host_offset, buffer);
  ASSIGN_OR_RETURN(const size_t got, file.Pread(host_offset, buffer));
  const uint64_t end = host_offset + buffer.size();
  const uint64_t last_cluster = end - 1 - geometry_.OffsetInCluster(end - 1);
  if (got < buffer.size()) {
    // The last cluster of a file may be cut short.
    ASSIGN_OR_RETURN(const uint64_t size, file.Size());
    if (last_cluster >= size) {
      return absl::DataLossError(absl::StrCat(
          file.name(), ": the data cluster at 0x", absl::Hex(last_cluster),
          " lies past the end of the file"));
    }
  }
  std::fill(buffer.begin() + static_cast<ptrdiff_t>(got), buffer.end(),
            std::byte{0});
  return absl::OkStatus();
}

absl::Status ClusterReader::ReadStored(uint64_t host_offset,
                                       uint64_t guest_offset,
                                       std::span<std::byte> buffer) const {
  if (setup_.cipher == nullptr) return ReadFile(host_offset, buffer);
  const uint64_t skip = host_offset % kCipherSectorSize;
  if (skip == 0 && buffer.size() % kCipherSectorSize == 0) {
    return ReadSectors(host_offset, guest_offset, buffer);
  }
  // Only whole sectors can be decrypted.
  const uint64_t whole =
      (skip + buffer.size() + kCipherSectorSize - 1) / kCipherSectorSize;
  std::vector<std::byte> sectors(whole * kCipherSectorSize);
  RETURN_IF_ERROR(
      ReadSectors(host_offset - skip, guest_offset - skip, sectors));
  std::copy_n(sectors.begin() + static_cast<ptrdiff_t>(skip), buffer.size(),
              buffer.begin());
  return absl::OkStatus();
}

absl::Status ClusterReader::ReadSectors(uint64_t host_offset,
                                        uint64_t guest_offset,
                                        std::span<std::byte> buffer) const {
  RETURN_IF_ERROR(ReadFile(host_offset, buffer));
  const uint64_t first =
      setup_.cipher_by_host_offset ? host_offset : guest_offset;
  return setup_.cipher->Decrypt(first / kCipherSectorSize, buffer);
}

absl::Status ClusterReader::Decompress(const CompressedDescriptor& where,
                                       Slot& slot) {
  slot.of = {};
  slot.stored.resize(where.length);
  slot.cluster.resize(geometry_.cluster_size());
  // The last sector may reach past the end of the file.
  RETURN_IF_ERROR(
      ReadZeroFilled(*setup_.file, where.offset.value(), slot.stored));
  const absl::Status status = slot.decompressor.InflateExactly(
      setup_.compression, slot.stored, slot.cluster);
  if (!status.ok()) {
    return absl::Status(
        status.code(),
        absl::StrCat(setup_.file->name(), ": compressed cluster at 0x",
                     absl::Hex(where.offset.value()), ": ", status.message()));
  }
  slot.of = where;
  return absl::OkStatus();
}

absl::Status ClusterReader::ReadCompressed(const CompressedDescriptor& where,
                                           uint64_t in_cluster,
                                           std::span<std::byte> buffer) {
  Slot& slot = slots_[(where.offset.value() >> 9) % kSlots];
  MutexLock held(&slot.mutex);
  if (!(slot.of == where) || where.length == 0) {
    RETURN_IF_ERROR(Decompress(where, slot));
  }
  std::copy_n(slot.cluster.begin() + static_cast<ptrdiff_t>(in_cluster),
              buffer.size(), buffer.begin());
  return absl::OkStatus();
}

}  // namespace qcow2
