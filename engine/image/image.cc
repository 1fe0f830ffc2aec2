#include "engine/image/image.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/image/bitmap_store.h"
#include "engine/image/serialized_file.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

constexpr uint64_t kMinCacheTables = 4;

std::unique_ptr<File> ForThreads(std::unique_ptr<File> file) {
  if (file == nullptr || file->concurrent()) return file;
  return std::make_unique<SerializedFile>(std::move(file));
}

absl::Status CheckParts(const File& file, const Header& header,
                        const ImageOptions& options) {
  if (options.salvage && options.writable) {
    return absl::InvalidArgumentError(
        "a damaged image can be read, not written");
  }
  if (options.metadata_only && options.writable) {
    return absl::InvalidArgumentError(
        "an image opened for its metadata can be read, not written");
  }
  if (header.crypt_method != kCryptNone && options.cipher == nullptr &&
      !options.metadata_only) {
    return absl::FailedPreconditionError(absl::StrCat(
        file.name(), ": the image is encrypted and needs its passphrase"));
  }
  if (header.has_external_data_file() && options.data_file == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(file.name(), ": the image needs its external data file"));
  }
  return absl::OkStatus();
}

MetadataOptions MetadataOptionsFor(const ImageOptions& options,
                                   const Header& header,
                                   const Geometry& geometry) {
  const auto tables = [&](uint64_t bytes) {
    return std::max(kMinCacheTables, bytes >> geometry.cluster_bits());
  };
  MetadataOptions metadata;
  metadata.writable = options.writable;
  metadata.l2_cache_tables =
      std::min(tables(options.l2_cache_bytes),
               std::max<uint64_t>(kMinCacheTables, header.l1_size));
  metadata.refcount_cache_tables = tables(options.refcount_cache_bytes);
  metadata.lazy_refcounts =
      header.version >= 3 &&
      options.lazy_refcounts.value_or(
          (header.compatible_features & kCompatibleLazyRefcounts) != 0);
  metadata.pass_discard_request = options.pass_discard_request;
  metadata.pass_discard_snapshot = options.pass_discard_snapshot;
  metadata.pass_discard_other = options.pass_discard_other;
  metadata.overlap_check = options.overlap_check;
  metadata.salvage = options.salvage;
  return metadata;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Image>> Image::Open(std::unique_ptr<File> file,
                                                   ImageOptions options) {
  ASSIGN_OR_RETURN(HeaderArea area, ReadHeaderArea(*file));
  const Header header = area.header;
  RETURN_IF_ERROR(CheckParts(*file, header, options));
  ASSIGN_OR_RETURN(const Geometry geometry, GeometryOf(header));
  std::unique_ptr<Image> image(new Image());
  ImageCore& core = image->core_;
  image->name_ = file->name();
  core.file = ForThreads(std::move(file));
  if (header.has_external_data_file()) {
    core.data_file = ForThreads(std::move(options.data_file));
  }
  core.backing = std::move(options.backing);
  core.cipher = std::move(options.cipher);
  core.cipher_by_host_offset = header.crypt_method == kCryptLuks;
  core.metadata_only = options.metadata_only;
  core.writable = options.writable;
  core.size_bytes = header.size;
  core.cache_clean_interval = options.cache_clean_interval;
  ClusterReaderSetup setup;
  setup.whole_clusters = options.salvage;
  setup.file = core.file.get();
  setup.data_file = core.data_file.get();
  setup.cipher = core.cipher.get();
  setup.cipher_by_host_offset = core.cipher_by_host_offset;
  setup.compression = header.compression_type == kCompressionZstd
                          ? CompressionType::kZstd
                          : CompressionType::kDeflate;
  core.reader = std::make_unique<ClusterReader>(geometry, setup);
  MutexLock held(&core.mutex);
  core.last_clean = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(
      core.metadata,
      Metadata::Load(*core.file, std::move(area),
                     MetadataOptionsFor(options, header, geometry)));
  core.metadata->set_data_file(core.data_file.get());
  if (core.writable && HasConsistentBitmaps(*core.metadata)) {
    core.bitmaps = std::make_unique<BitmapTracker>(*core.metadata);
  }
  return image;
}

Image::~Image() {
  if (core_.metadata != nullptr) Close().IgnoreError();
}

std::string Image::name() const { return name_; }
uint64_t Image::size_bytes() const { return core_.size_bytes.load(); }
bool Image::writable() const { return core_.writable; }

absl::Status Image::CheckRange(uint64_t offset, uint64_t length) const {
  if (closed_.load()) {
    return absl::FailedPreconditionError(
        absl::StrCat(name_, ": the image is closed"));
  }
  const uint64_t size = size_bytes();
  if (offset <= size && length <= size - offset) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat(
      name_, ": the range at offset ", offset, " of length ", length,
      " ends past the end of the disk, which has ", size, " bytes"));
}

absl::Status Image::CheckWrite(uint64_t offset, uint64_t length) const {
  RETURN_IF_ERROR(CheckRange(offset, length));
  if (core_.writable) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(name_, ": the image was opened read-only"));
}

void Image::CleanCaches() {
  if (core_.cache_clean_interval.count() == 0) return;
  const auto now = std::chrono::steady_clock::now();
  MutexLock held(&core_.mutex);
  if (now - core_.last_clean < core_.cache_clean_interval) return;
  core_.last_clean = now;
  core_.metadata->DropUnusedTables();
}

absl::Status Image::Read(uint64_t offset, std::span<std::byte> buffer) {
  RETURN_IF_ERROR(CheckRange(offset, buffer.size()));
  CleanCaches();
  const RangeLock::Holder holder(core_.ranges, offset, offset + buffer.size(),
                                 RangeLock::Mode::kShared);
  return ReadGuest(core_, nullptr, offset, buffer);
}

absl::Status Image::Readv(uint64_t offset,
                          std::span<const std::span<std::byte>> buffers) {
  for (const std::span<std::byte> buffer : buffers) {
    RETURN_IF_ERROR(Read(offset, buffer));
    offset += buffer.size();
  }
  return absl::OkStatus();
}

absl::StatusOr<MappedExtent> Image::Map(uint64_t offset, uint64_t max_length) {
  RETURN_IF_ERROR(CheckRange(offset, 0));
  const uint64_t length = std::min(max_length, size_bytes() - offset);
  if (length == 0) return MappedExtent();
  MutexLock held(&core_.mutex);
  core_.metadata->TrimTables();
  return MapExtent(*core_.metadata, core_.metadata->l1(), offset, length);
}

absl::StatusOr<GuestExtent> Image::ExtentAt(uint64_t offset,
                                            uint64_t max_length) {
  ASSIGN_OR_RETURN(const MappedExtent extent, Map(offset, max_length));
  switch (extent.kind) {
    case MappedKind::kHost:
    case MappedKind::kCompressed:
      return GuestExtent{GuestExtentKind::kData, extent.length_bytes};
    case MappedKind::kZeros:
      return GuestExtent{GuestExtentKind::kZeros, extent.length_bytes};
    case MappedKind::kUnallocated:
      break;
  }
  return GuestExtent{GuestExtentKind::kUnallocated, extent.length_bytes};
}

absl::Status Image::Write(uint64_t offset, std::span<const std::byte> data) {
  RETURN_IF_ERROR(CheckWrite(offset, data.size()));
  CleanCaches();
  return WriteGuest(core_, offset, data);
}

absl::Status Image::Writev(
    uint64_t offset, std::span<const std::span<const std::byte>> buffers) {
  std::vector<std::byte> joined;
  for (const std::span<const std::byte> buffer : buffers) {
    joined.insert(joined.end(), buffer.begin(), buffer.end());
  }
  return Write(offset, joined);
}

absl::Status Image::WriteZeroes(uint64_t offset, uint64_t length,
                                ZeroMode mode) {
  RETURN_IF_ERROR(CheckWrite(offset, length));
  return ZeroGuest(core_, offset, length, mode);
}

absl::Status Image::Discard(uint64_t offset, uint64_t length) {
  RETURN_IF_ERROR(CheckWrite(offset, length));
  return DiscardGuest(core_, offset, length);
}

absl::Status Image::WriteCompressed(uint64_t offset,
                                    std::span<const std::byte> compressed) {
  RETURN_IF_ERROR(CheckWrite(offset, 1));
  return WriteCompressedGuest(core_, offset, compressed);
}

absl::Status Image::Flush() {
  RETURN_IF_ERROR(CheckRange(0, 0));
  MutexLock held(&core_.mutex);
  return core_.metadata->Flush();
}

absl::Status Image::Close() {
  if (closed_.exchange(true)) return absl::OkStatus();
  const ExclusiveUse everything(core_);
  const absl::Status stored =
      core_.bitmaps == nullptr ? absl::OkStatus() : core_.bitmaps->Store();
  const absl::Status status = core_.metadata->Close();
  core_.file->Unlock();
  return status.ok() ? stored : status;
}

const Geometry& Image::geometry() const { return core_.metadata->geometry(); }

HeaderArea Image::header_area() const {
  MutexLock held(&core_.mutex);
  return core_.metadata->area();
}

}  // namespace qcow2
