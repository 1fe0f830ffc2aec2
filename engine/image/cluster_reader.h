// ClusterReader: fetches the bytes of mapped extents: as stored, decrypted, or
// decompressed.
//
// Reads the image's file and its data file; knows nothing of backing disks.
#ifndef ENGINE_IMAGE_CLUSTER_READER_H_
#define ENGINE_IMAGE_CLUSTER_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "engine/codec/compression_type.h"
#include "engine/codec/inflate.h"
#include "engine/codec/sector_cipher.h"
#include "engine/format/geometry.h"
#include "engine/image/mapping.h"
#include "engine/mutex.h"
#include "engine/storage/file.h"

namespace qcow2 {

// What the bytes of an image go through.
struct ClusterReaderSetup {
  const File* file = nullptr;  // compressed data, and data without the next
  const File* data_file = nullptr;       // may be null
  const SectorCipher* cipher = nullptr;  // may be null
  bool cipher_by_host_offset = false;    // LUKS; else by guest offset
  CompressionType compression = CompressionType::kDeflate;
  // Clusters that begin past the end of their file are DataLoss, not zeros.
  bool whole_clusters = false;
};

// Several threads may use it at once.
class ClusterReader {
 public:
  // What `setup` points to must outlive the reader.
  ClusterReader(const Geometry& geometry, const ClusterReaderSetup& setup)
      : geometry_(geometry), setup_(setup) {}

  // Fills `buffer` with the guest's bytes from `offset` on, which `extent` says
  // where to find. REQUIRES: the extent is stored or reads as zeros, and is at
  // least as long as the buffer.
  absl::Status Read(const MappedExtent& extent, uint64_t offset,
                    std::span<std::byte> buffer);
  // To be called when compressed data was written: what lay there before is
  // not kept any longer.
  void ForgetDecompressed();

 private:
  // One cluster decompressed last, by the offset of its data. Several, so that
  // threads do not take turns.
  struct Slot {
    Mutex mutex;
    CompressedDescriptor of ABSL_GUARDED_BY(mutex);
    std::vector<std::byte> cluster ABSL_GUARDED_BY(mutex);
    std::vector<std::byte> stored ABSL_GUARDED_BY(mutex);
    Decompressor decompressor ABSL_GUARDED_BY(mutex);
  };
  static constexpr size_t kSlots = 8;

  // What the file has there, zeros past its end.
  absl::Status ReadFile(uint64_t host_offset,
                        std::span<std::byte> buffer) const;
  absl::Status ReadStored(uint64_t host_offset, uint64_t guest_offset,
                          std::span<std::byte> buffer) const;
  absl::Status ReadSectors(uint64_t host_offset, uint64_t guest_offset,
                           std::span<std::byte> buffer) const;
  absl::Status ReadCompressed(const CompressedDescriptor& where,
                              uint64_t in_cluster, std::span<std::byte> buffer);
  absl::Status Decompress(const CompressedDescriptor& where, Slot& slot)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(slot.mutex);

  const Geometry geometry_;
  const ClusterReaderSetup setup_;
  Slot slots_[kSlots];
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_CLUSTER_READER_H_
