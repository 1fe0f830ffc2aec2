// Any bytes are an image to open and read as a whole with the engine: it ends,
// what cannot be read is an error that says something, zeros read as zeros, and
// the file stays as it is. Opened for writing, requests end as well, and the
// file grows no further than its disk has room.
//
// The input's last byte also chooses how the image is opened.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "engine/codec/sector_cipher.h"
#include "engine/image/image.h"
#include "engine/image/raw_disk.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "fuzz/fuzz_target.h"
#include "fuzz/image_mutator.h"
#include "tests/engine/read_everything.h"

namespace {

using qcow2::ForwardingFile;
using qcow2::Image;
using qcow2::ImageOptions;
using qcow2::MemoryFile;
using qcow2::RawDisk;

constexpr size_t kMaxInputBytes = size_t{256} << 10;
constexpr uint64_t kBackingBytes = 3000;
// A disk that is full there: tables may name clusters at any offset.
constexpr uint64_t kRoomBytes = uint64_t{16} << 20;
constexpr qcow2::ReadBudget kBudget = {
    .bytes = uint64_t{1} << 20, .extents = 256, .snapshots = 3};

class SmallDiskFile : public ForwardingFile {
 public:
  explicit SmallDiskFile(File& file) : ForwardingFile(file) {}

  absl::Status Pwrite(uint64_t offset,
                      std::span<const std::byte> data) override {
    if (offset > kRoomBytes || data.size() > kRoomBytes - offset) return Full();
    return ForwardingFile::Pwrite(offset, data);
  }
  absl::Status Truncate(uint64_t size) override {
    return size > kRoomBytes ? Full() : ForwardingFile::Truncate(size);
  }
  absl::Status Allocate(qcow2::ByteRange range) override {
    if (range.offset > kRoomBytes || range.length > kRoomBytes - range.offset) {
      return Full();
    }
    return ForwardingFile::Allocate(range);
  }

 private:
  static absl::Status Full() {
    return absl::ErrnoToStatus(ENOSPC, "no space left");
  }
};

ImageOptions ChooseOptions(uint8_t choice, MemoryFile& data_file) {
  ImageOptions options;
  options.writable = (choice & 1) != 0;
  options.salvage = (choice & 2) != 0 && !options.writable;
  if ((choice & 4) != 0) {
    options.l2_cache_bytes = 0;
    options.refcount_cache_bytes = 0;
  }
  if ((choice & 8) != 0) {
    options.backing =
        *RawDisk::Open(std::make_unique<MemoryFile>(std::vector<std::byte>(
                           kBackingBytes, std::byte{0xbb})),
                       /*writable=*/false);
  }
  options.pass_discard_other = (choice & 16) != 0;
  // For images that are encrypted or have their data elsewhere.
  options.data_file = std::make_unique<SmallDiskFile>(data_file);
  options.cipher =
      *qcow2::SectorCipher::CreateLegacyAes(std::as_bytes(std::span("word")));
  return options;
}

void CheckError(const absl::Status& status) {
  if (status.ok()) return;
  FUZZ_CHECK(!status.message().empty());
  FUZZ_CHECK(status.code() != absl::StatusCode::kInternal);
  FUZZ_CHECK(status.code() != absl::StatusCode::kUnknown);
}

// Some requests at the beginning, the end and between, by the bits of `choice`.
void Write(Image& image, uint8_t choice) {
  const uint64_t size = image.size_bytes();
  const std::vector<std::byte> data(1500, std::byte{0x77});
  for (int i = 0; i < 8; ++i) {
    const uint64_t at = size / 8 * static_cast<uint64_t>(i);
    const uint64_t length = std::min<uint64_t>(data.size(), size - at);
    switch ((choice >> 5) + i) {
      case 0:
      case 3:
      case 6:
        CheckError(image.Write(at, std::span(data).first(length)));
        break;
      case 1:
      case 7:
        CheckError(image.WriteZeroes(at, length, qcow2::ZeroMode::kUnmap));
        break;
      case 2:
      case 9:
        CheckError(image.Discard(at, size - at));
        break;
      case 4:
      case 11:
        CheckError(image.WriteZeroes(at, length, qcow2::ZeroMode::kKeep));
        break;
      default:
        CheckError(image.Flush());
    }
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size,
                                          size_t max_size, unsigned int seed) {
  return qcow2::fuzz::MutateImage(data, size, max_size, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > kMaxInputBytes) return 0;
  const auto input = qcow2::fuzz::InputBytes(data, size);
  const uint8_t choice = data[size - 1];
  MemoryFile file({input.begin(), input.end()});
  MemoryFile data_file({input.begin(), input.end()});
  ImageOptions options = ChooseOptions(choice, data_file);
  const bool writable = options.writable;
  absl::StatusOr<std::unique_ptr<Image>> image =
      Image::Open(std::make_unique<SmallDiskFile>(file), std::move(options));
  CheckError(image.status());
  if (!image.ok()) return 0;
  for (const absl::Status& error : ReadEverything(**image, kBudget).errors) {
    CheckError(error);
  }
  if (writable) Write(**image, choice);
  CheckError((*image)->Close());
  if (!writable) FUZZ_CHECK(std::ranges::equal(file.bytes(), input));
  return 0;
}
