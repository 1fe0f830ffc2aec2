// Image: an open qcow2 image, read and written like a disk.
//
//   ASSIGN_OR_RETURN(auto file, PosixFile::Open(path, {.writable = true}));
//   ImageOptions options;
//   options.writable = true;
//   ASSIGN_OR_RETURN(auto image, Image::Open(std::move(file),
//   std::move(options))); RETURN_IF_ERROR(image->Write(0, bytes));
//   RETURN_IF_ERROR(image->Close());
//
// What was written is safe once Flush or Close returned OK; a crash before that
// leaves what the last flush had, and at worst leaked clusters. Opening one
// layer is all this does: image_chain.h finds backing and data files by name.
#ifndef ENGINE_IMAGE_IMAGE_H_
#define ENGINE_IMAGE_IMAGE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/codec/sector_cipher.h"
#include "engine/format/geometry.h"
#include "engine/image/guest_disk.h"
#include "engine/image/image_core.h"
#include "engine/image/overlap_guard.h"
#include "engine/storage/file.h"

namespace qcow2 {

// How an open image works. Caches are in bytes; what they hold at least is four
// tables each.
struct ImageTuning {
  // "lazy-refcounts": on or off for this run, or as the image says.
  std::optional<bool> lazy_refcounts;
  // "pass-discard-request", "-snapshot", "-other": whether the bytes of
  // clusters that become free are given back to the file system.
  bool pass_discard_request = true;
  bool pass_discard_snapshot = true;
  bool pass_discard_other = false;
  // "overlap-check": classes of metadata no write may hit.
  uint32_t overlap_check = kOverlapCached;
  // "l2-cache-size", "refcount-cache-size"; "cache-size" is their sum. The
  // first is cut to what the whole disk needs.
  uint64_t l2_cache_bytes = uint64_t{32} << 20;
  uint64_t refcount_cache_bytes = uint64_t{4} << 20;
  // "cache-clean-interval": tables unused for that long are dropped; 0: never.
  std::chrono::seconds cache_clean_interval{600};
  // Read what is intact of a damaged image: its snapshot table is not needed,
  // and what the file ends before is DataLoss instead of zeros. Only without
  // writing.
  bool salvage = false;
  // For what the metadata tells alone: an encrypted image needs no cipher, and
  // guest data cannot be read. Only without writing.
  bool metadata_only = false;
};

// How one image is opened.
struct ImageOptions : ImageTuning {
  bool writable = false;
  // The disk below, where the image names a backing file; what is not allocated
  // reads as zeros without it.
  std::shared_ptr<GuestDisk> backing;
  // The external data file, for an image that has one.
  std::unique_ptr<File> data_file;
  // The cipher the image's passphrase gave, for an encrypted image.
  std::unique_ptr<SectorCipher> cipher;
};

class Image : public GuestDisk {
 public:
  // Opens the image in `file`, which is locked by then. InvalidArgument or
  // DataLoss, naming structure, offset and value, for what is no usable image;
  // Unimplemented, with their names, for unknown incompatible features;
  // FailedPrecondition to write an image that is dirty or corrupt, for an
  // encrypted image without cipher, or a missing data file.
  static absl::StatusOr<std::unique_ptr<Image>> Open(std::unique_ptr<File> file,
                                                     ImageOptions options);
  // Closes the image if that was not done; errors are lost then.
  ~Image() override;
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  std::string name() const override;
  uint64_t size_bytes() const override;
  bool writable() const override;
  GuestDisk* backing() const override { return core_.backing.get(); }
  absl::Status Read(uint64_t offset, std::span<std::byte> buffer) override;
  absl::StatusOr<GuestExtent> ExtentAt(uint64_t offset,
                                       uint64_t max_length) override;
  absl::Status Write(uint64_t offset, std::span<const std::byte> data) override;
  absl::Status WriteZeroes(uint64_t offset, uint64_t length,
                           ZeroMode mode) override;
  absl::Status Discard(uint64_t offset, uint64_t length) override;
  absl::Status Flush() override;

  // Several buffers, one after the other from `offset` on.
  absl::Status Readv(uint64_t offset,
                     std::span<const std::span<std::byte>> buffers);
  absl::Status Writev(uint64_t offset,
                      std::span<const std::span<const std::byte>> buffers);

  // Stores one cluster, which `compressed` decompresses to by the image's
  // compression type, at the cluster-aligned `offset`. It must be shorter than
  // a cluster. FailedPrecondition with encryption or a data file.
  absl::Status WriteCompressed(uint64_t offset,
                               std::span<const std::byte> compressed);

  // The extent at `offset` with its place in the file.
  absl::StatusOr<MappedExtent> Map(uint64_t offset, uint64_t max_length);

  // Flushes, stores the dirty bitmaps, clears the dirty bit and ends the use of
  // the image. Everything else returns FailedPrecondition afterwards; a second
  // Close does nothing.
  absl::Status Close();

  const Geometry& geometry() const;
  // The header, extensions and backing name as they are now.
  HeaderArea header_area() const;
  // The parts, for the engine's other rooms.
  ImageCore& core() { return core_; }

 private:
  Image() = default;
  absl::Status CheckRange(uint64_t offset, uint64_t length) const;
  absl::Status CheckWrite(uint64_t offset, uint64_t length) const;
  void CleanCaches();

  mutable ImageCore core_;
  std::string name_;
  std::atomic<bool> closed_ = false;
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_IMAGE_H_
