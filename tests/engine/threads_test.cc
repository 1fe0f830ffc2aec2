// Several threads on one image, each with stripes of its own that share
// clusters with the other threads' stripes: nobody's bytes may get lost, nor be
// missing in a dirty bitmap.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "checker/check.h"
#include "engine/image/bitmaps.h"
#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/storage/posix_file.h"
#include "gtest/gtest.h"
#include "tests/engine/variants.h"

namespace qcow2 {
namespace {

constexpr uint64_t kThreads = 4;
constexpr int kSteps = 250;
constexpr size_t kSectorBytes = 512;

class ThreadsTest : public testing::TestWithParam<EngineVariant> {
 protected:
  std::unique_ptr<PosixFile> OpenFile(const std::string& name) {
    const std::string path =
        testing::TempDir() + "/" + GetParam().name + "." + name;
    if (std::FILE* made = std::fopen(path.c_str(), "ae")) std::fclose(made);
    auto file = PosixFile::Open(path, {.writable = true});
    EXPECT_EQ(file.status(), absl::OkStatus());
    return *std::move(file);
  }
};

// One thread's part: stripe `number` of every kThreads stripes.
class Worker {
 public:
  Worker(Image& image, uint64_t number, uint64_t stripe,
         std::vector<std::byte>& model)
      : image_(image),
        number_(number),
        stripe_(stripe),
        model_(model),
        random_(number) {}

  void Run() {
    for (int step = 0; step < kSteps && status_.ok(); ++step) Step();
  }
  const absl::Status& status() const { return status_; }

 private:
  void Step() {
    const uint64_t stripes = model_.size() / (stripe_ * kThreads);
    const uint64_t begin = (random_() % stripes * kThreads + number_) * stripe_;
    const uint64_t from = random_() % stripe_;
    const uint64_t length = 1 + random_() % (stripe_ - from);
    const auto piece = std::span(model_).subspan(begin + from, length);
    switch (random_() % 8) {
      case 0:
        status_ = image_.WriteZeroes(begin + from, length, ZeroMode::kUnmap);
        std::fill(piece.begin(), piece.end(), std::byte{0});
        return;
      case 1:
        status_ = image_.Flush();
        return;
      case 2:
      case 3:
        return Read(begin + from, piece);
      default:
        std::fill(piece.begin(), piece.end(),
                  static_cast<std::byte>(random_()));
        status_ = image_.Write(begin + from, piece);
    }
  }

  void Read(uint64_t offset, std::span<const std::byte> expected) {
    std::vector<std::byte> read(expected.size());
    status_ = image_.Read(offset, read);
    if (status_.ok() &&
        !std::equal(read.begin(), read.end(), expected.begin())) {
      status_ = absl::DataLossError("a thread read what it never wrote");
    }
  }

  Image& image_;
  const uint64_t number_;
  const uint64_t stripe_;
  std::vector<std::byte>& model_;
  std::mt19937_64 random_;
  absl::Status status_;
};

// The size of all sectors that have a byte set.
uint64_t BytesOfSetSectors(std::span<const std::byte> disk) {
  uint64_t bytes = 0;
  for (size_t at = 0; at < disk.size(); at += kSectorBytes) {
    const auto sector =
        disk.subspan(at, std::min<size_t>(kSectorBytes, disk.size() - at));
    if (std::any_of(sector.begin(), sector.end(),
                    [](std::byte byte) { return byte != std::byte{0}; })) {
      bytes += sector.size();
    }
  }
  return bytes;
}

TEST_P(ThreadsTest, KeepTheirBytes) {
  CreateOptions create = GetParam().create;
  const uint64_t cluster = uint64_t{1} << create.cluster_bits;
  // A stripe is no multiple of a cluster.
  const uint64_t stripe = cluster * 3 / 4 + 1;
  create.virtual_size = (stripe * kThreads * 16 + 511) / 512 * 512;
  auto file = OpenFile("qcow2");
  auto data_file = OpenFile("data");
  ASSERT_EQ(
      CreateImage(*file, create.data_file.empty() ? nullptr : data_file.get(),
                  create),
      absl::OkStatus());
  ImageOptions options;
  options.writable = true;
  options.l2_cache_bytes = 0;
  options.refcount_cache_bytes = 0;
  auto image = GetParam().Open(*file, *data_file, std::move(options));
  ASSERT_EQ(image.status(), absl::OkStatus());
  const bool recorded = create.version >= 3;
  if (recorded) {
    ASSERT_EQ(AddBitmap((*image)->core(), {.name = "recording",
                                           .granularity_bytes = kSectorBytes}),
              absl::OkStatus());
  }
  std::vector<std::byte> model(create.virtual_size);
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < kThreads; ++i) {
    workers.push_back(std::make_unique<Worker>(**image, i, stripe, model));
    threads.emplace_back([&worker = *workers.back()] { worker.Run(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& worker : workers) {
    EXPECT_EQ(worker->status(), absl::OkStatus());
  }
  std::vector<std::byte> read(model.size());
  ASSERT_EQ((*image)->Read(0, read), absl::OkStatus());
  EXPECT_TRUE(read == model);
  if (recorded) {
    const auto bitmaps = ListBitmaps((*image)->core());
    ASSERT_EQ(bitmaps.status(), absl::OkStatus());
    ASSERT_EQ(bitmaps->size(), 1u);
    EXPECT_GE(bitmaps->front().dirty_bytes, BytesOfSetSectors(model));
  }
  ASSERT_EQ((*image)->Close(), absl::OkStatus());
  const checker::CheckReport report =
      checker::CheckImage(*file, "image", checker::CheckOptions());
  EXPECT_EQ(report.counts.corruptions, 0u);
  EXPECT_EQ(report.counts.leaks, 0u);
}

std::vector<EngineVariant> Variants() {
  std::vector<EngineVariant> some;
  for (const EngineVariant& variant : EngineVariants()) {
    if (variant.create.cluster_bits <= 16) some.push_back(variant);
  }
  return some;
}

INSTANTIATE_TEST_SUITE_P(Variants, ThreadsTest, testing::ValuesIn(Variants()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qcow2
