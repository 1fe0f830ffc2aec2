// Any bytes are a script of requests to an image that the engine created: all
// of them do to the disk, and to its snapshots, what they do to a flat buffer,
// and in the end the checker finds nothing at all.
//
// The first byte chooses the kind of image, then three bytes are a request: its
// kind, and a number that decides the rest of it.
#include <algorithm>
#include <cstdio>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checker/check.h"
#include "engine/image/bitmaps.h"
#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/image/resize.h"
#include "engine/image/snapshot_disk.h"
#include "engine/image/snapshots.h"
#include "engine/storage/memory_file.h"
#include "fuzz/fuzz_target.h"
#include "tests/engine/disk_model.h"
#include "tests/engine/variants.h"

namespace {

using qcow2::DiskModel;
using qcow2::EngineVariant;
using qcow2::Image;
using qcow2::MemoryFile;
using Bytes = std::vector<std::byte>;

constexpr size_t kRequestBytes = 3;
constexpr size_t kMaxRequests = 100;
constexpr size_t kMaxSnapshots = 6;
constexpr uint64_t kMaxDiskBytes = uint64_t{96} << 10;

// Says which status it was before it ends the program.
void Expect(const absl::Status& status, const std::string& request) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n", request.c_str(), status.ToString().c_str());
  FUZZ_CHECK(status.ok());
}

class Script {
 public:
  explicit Script(const EngineVariant& variant)
      : variant_(variant), model_(SizeOf(variant), 0) {
    qcow2::CreateOptions create = variant_.create;
    create.virtual_size = model_.bytes().size();
    Expect(CreateImage(file_, nullptr, create), "create");
    Open();
  }

  void Do(uint8_t kind, uint16_t number);
  void Finish();

 private:
  static uint64_t SizeOf(const EngineVariant& variant) {
    return std::min(variant.create.virtual_size, kMaxDiskBytes + 512);
  }

  void Open();
  void Reopen();
  void CheckSound() const;
  void CheckSnapshots();
  void TakeSnapshot(uint16_t number);
  void ApplySnapshot(uint16_t number);
  void DeleteSnapshot(uint16_t number);
  void Resize(uint16_t number);
  void ChangeBitmaps(uint16_t number);
  // What the image may refuse. True if it was done.
  static bool Done(const absl::Status& status, const std::string& request);

  const EngineVariant& variant_;
  MemoryFile file_;
  MemoryFile no_data_file_;
  DiskModel model_;
  std::unique_ptr<Image> image_;
  std::map<std::string, Bytes> snapshots_;
};

void Script::Open() {
  qcow2::ImageOptions options;
  options.writable = true;
  // Small caches, so that tables leave and come back.
  options.l2_cache_bytes = 0;
  options.refcount_cache_bytes = 0;
  options.pass_discard_other = true;
  auto image = variant_.Open(file_, no_data_file_, std::move(options));
  Expect(image.status(), "open");
  image_ = *std::move(image);
}

void Script::CheckSound() const {
  qcow2::checker::CheckOptions options;
  options.jobs = 1;
  const auto report = qcow2::checker::CheckImage(file_, "image", options);
  for (const auto& finding : report.problems) {
    std::fprintf(stderr, "%s\n", DescribeFinding(finding).c_str());
  }
  for (const auto& finding : report.warnings) {
    std::fprintf(stderr, "%s\n", DescribeFinding(finding).c_str());
  }
  FUZZ_CHECK(report.status == qcow2::checker::CheckStatus::kClean);
  FUZZ_CHECK(report.warnings.empty());
}

void Script::Reopen() {
  Expect(image_->Close(), "close");
  image_.reset();
  CheckSound();
  Open();
  Expect(model_.Compare(*image_), "reopened");
}

void Script::CheckSnapshots() {
  FUZZ_CHECK(ListSnapshots(image_->core()).size() == snapshots_.size());
  for (const auto& [name, bytes] : snapshots_) {
    const auto disk = qcow2::SnapshotDisk::Open(image_->core(), name);
    Expect(disk.status(), "open snapshot " + name);
    FUZZ_CHECK((*disk)->size_bytes() == bytes.size());
    Bytes read(bytes.size());
    Expect((*disk)->Read(0, read), "read snapshot " + name);
    FUZZ_CHECK(read == bytes);
  }
}

bool Script::Done(const absl::Status& status, const std::string& request) {
  switch (status.code()) {
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kResourceExhausted:
      return false;
    default:
      Expect(status, request);
      return true;
  }
}

void Script::TakeSnapshot(uint16_t number) {
  const std::string name = "n" + std::to_string(number);
  if (snapshots_.size() >= kMaxSnapshots || snapshots_.contains(name)) return;
  const auto taken = CreateSnapshot(image_->core(), {.name = name});
  if (Done(taken.status(), "snapshot")) snapshots_[name] = model_.bytes();
}

void Script::ApplySnapshot(uint16_t number) {
  if (snapshots_.empty()) return;
  const auto which = std::next(
      snapshots_.begin(), static_cast<ptrdiff_t>(number % snapshots_.size()));
  if (Done(qcow2::ApplySnapshot(image_->core(), which->first), "apply")) {
    model_.bytes() = which->second;
  }
  Expect(model_.Compare(*image_), "applied");
}

void Script::DeleteSnapshot(uint16_t number) {
  if (snapshots_.empty()) return;
  const auto which = std::next(
      snapshots_.begin(), static_cast<ptrdiff_t>(number % snapshots_.size()));
  if (Done(qcow2::DeleteSnapshot(image_->core(), which->first), "delete")) {
    snapshots_.erase(which);
  }
}

void Script::Resize(uint16_t number) {
  const uint64_t size = (1 + number % (kMaxDiskBytes / 512)) * 512;
  qcow2::ResizeOptions options;
  options.allow_shrink = true;
  if (Done(ResizeImage(*image_, size, options), "resize")) {
    model_.bytes().resize(size);
  }
  FUZZ_CHECK(image_->size_bytes() == model_.bytes().size());
  Expect(model_.Compare(*image_), "resized");
}

void Script::ChangeBitmaps(uint16_t number) {
  const std::string name = "b" + std::to_string(number % 4);
  const auto listed = ListBitmaps(image_->core());
  Expect(listed.status(), "list bitmaps");
  const bool there = std::ranges::any_of(
      *listed, [&name](const auto& bitmap) { return bitmap.name == name; });
  if (!there) {
    const uint64_t granularity = uint64_t{512} << (number / 4 % 5);
    Done(AddBitmap(image_->core(),
                   {.name = name, .granularity_bytes = granularity}),
         "add bitmap");
  } else if (number / 4 % 3 == 0) {
    Done(RemoveBitmap(image_->core(), name), "remove bitmap");
  } else if (number / 4 % 3 == 1) {
    Done(ClearBitmap(image_->core(), name), "clear bitmap");
  } else {
    Done(DisableBitmap(image_->core(), name), "disable bitmap");
  }
}

void Script::Do(uint8_t kind, uint16_t number) {
  switch (kind % 16) {
    case 0:
      return TakeSnapshot(number);
    case 1:
      return ApplySnapshot(number);
    case 2:
      return DeleteSnapshot(number);
    case 3:
      return Resize(number);
    case 4:
      return ChangeBitmaps(number);
    case 5:
      return number % 4 == 0 ? Reopen() : CheckSnapshots();
    default:
      model_.random().seed(kind * 65536u + number);
      Expect(model_.Step(*image_), model_.last());
  }
}

void Script::Finish() {
  Expect(model_.Compare(*image_), "in the end");
  CheckSnapshots();
  Reopen();
  CheckSnapshots();
  Expect(image_->Close(), "close");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<EngineVariant> variants = qcow2::SmallVariants();
  if (size == 0) return 0;
  Script script(variants[data[0] % variants.size()]);
  const size_t end = std::min(size, 1 + kMaxRequests * kRequestBytes);
  for (size_t at = 1; at + kRequestBytes <= end; at += kRequestBytes) {
    script.Do(data[at],
              static_cast<uint16_t>(data[at + 1] * 256 + data[at + 2]));
  }
  script.Finish();
  return 0;
}
