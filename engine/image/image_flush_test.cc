// What is stored when, where the tests of crashes do not look: in images with
// an external data file, after a flush that failed, and in the header.
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/format/header.h"
#include "engine/image/create.h"
#include "engine/image/header_area.h"
#include "engine/image/image.h"
#include "engine/image/image_core.h"
#include "engine/mutex.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

constexpr uint64_t kCluster = 4096;

// What was done to an image and its data file, in order.
struct Call {
  enum class Kind { kWriteImage, kFlushImage, kWriteData, kFlushData };
  Kind kind;
  uint64_t offset = 0;
};
using Kind = Call::Kind;

struct Log {
  std::vector<Call> calls;
  bool fail_flushes = false;

  // The place of the first call of that kind from `from` on; the number of
  // calls if there is none.
  size_t Find(Kind kind, size_t from = 0) const {
    const auto found = std::find_if(
        calls.begin() + static_cast<ptrdiff_t>(std::min(from, calls.size())),
        calls.end(), [&](const Call& call) { return call.kind == kind; });
    return static_cast<size_t>(found - calls.begin());
  }
  size_t FindWriteTo(uint64_t offset) const {
    const auto found =
        std::find_if(calls.begin(), calls.end(), [&](const Call& call) {
          return call.kind == Kind::kWriteImage && call.offset == offset;
        });
    return static_cast<size_t>(found - calls.begin());
  }
};

class LoggedFile : public ForwardingFile {
 public:
  LoggedFile(File& target, bool is_data, Log& log)
      : ForwardingFile(target), is_data_(is_data), log_(log) {}

  absl::Status Pwrite(uint64_t offset,
                      std::span<const std::byte> data) override {
    log_.calls.push_back(
        {is_data_ ? Kind::kWriteData : Kind::kWriteImage, offset});
    return ForwardingFile::Pwrite(offset, data);
  }
  absl::Status Flush() override {
    log_.calls.push_back({is_data_ ? Kind::kFlushData : Kind::kFlushImage});
    if (log_.fail_flushes) return absl::ErrnoToStatus(EIO, "flush");
    return ForwardingFile::Flush();
  }

 private:
  const bool is_data_;
  Log& log_;
};

class ImageFlushTest : public testing::Test {
 protected:
  void Create(bool with_data_file) {
    CreateOptions create;
    create.cluster_bits = 12;
    create.virtual_size = 16 * kCluster;
    if (with_data_file) create.data_file = "data";
    ASSERT_EQ(
        CreateImage(file_, with_data_file ? &data_file_ : nullptr, create),
        absl::OkStatus());
    with_data_file_ = with_data_file;
  }

  std::unique_ptr<Image> Open() {
    ImageOptions options;
    options.writable = true;
    if (with_data_file_) {
      options.data_file = std::make_unique<LoggedFile>(data_file_, true, log_);
    }
    auto image = Image::Open(std::make_unique<LoggedFile>(file_, false, log_),
                             std::move(options));
    EXPECT_EQ(image.status(), absl::OkStatus());
    return *std::move(image);
  }

  static absl::Status WriteCluster(Image& image) {
    return image.Write(0, std::vector<std::byte>(kCluster, std::byte{7}));
  }

  uint64_t AutoclearFeatures() const {
    return ReadHeaderArea(file_)->header.autoclear_features;
  }

  MemoryFile file_;
  MemoryFile data_file_;
  bool with_data_file_ = false;
  Log log_;
};

TEST_F(ImageFlushTest, TheDataFileIsFlushedBeforeWhatMapsIt) {
  Create(/*with_data_file=*/true);
  const auto image = Open();
  ASSERT_EQ(WriteCluster(*image), absl::OkStatus());
  ASSERT_EQ(image->Flush(), absl::OkStatus());
  const uint64_t l2_table = [&] {
    MutexLock held(&image->core().mutex);
    return image->core().metadata->l1_entry(0).l2_offset().value();
  }();
  const size_t mapped = log_.FindWriteTo(l2_table);
  ASSERT_LT(mapped, log_.calls.size());
  const size_t written = log_.Find(Kind::kWriteData);
  EXPECT_LT(written, mapped);
  EXPECT_LT(log_.Find(Kind::kFlushData, written), mapped);
}

TEST_F(ImageFlushTest, TheDataFileIsFlushedWithoutAnyChangeOfTheImage) {
  Create(/*with_data_file=*/true);
  const auto image = Open();
  ASSERT_EQ(WriteCluster(*image), absl::OkStatus());
  ASSERT_EQ(image->Flush(), absl::OkStatus());
  log_.calls.clear();
  ASSERT_EQ(WriteCluster(*image), absl::OkStatus());
  ASSERT_EQ(image->Flush(), absl::OkStatus());
  EXPECT_EQ(log_.Find(Kind::kWriteImage), log_.calls.size());
  EXPECT_LT(log_.Find(Kind::kFlushData), log_.calls.size());
}

// The file outgrows its refcount table, which moves.
TEST_F(ImageFlushTest, WhatTheHeaderNamesIsStoredBefore) {
  CreateOptions create;
  create.cluster_bits = 9;
  create.refcount_bits = 64;
  create.virtual_size = 4 << 20;
  ASSERT_EQ(CreateImage(file_, nullptr, create), absl::OkStatus());
  const auto image = Open();
  const auto table = image->header_area().header.refcount_table_offset;
  ASSERT_EQ(image->Write(0, std::vector<std::byte>(3 << 20, std::byte{7})),
            absl::OkStatus());
  ASSERT_EQ(image->Close(), absl::OkStatus());
  EXPECT_NE(image->header_area().header.refcount_table_offset, table);
  size_t headers = 0;
  for (size_t i = 1; i < log_.calls.size(); ++i) {
    if (log_.calls[i].kind != Kind::kWriteImage || log_.calls[i].offset != 0) {
      continue;
    }
    ++headers;
    EXPECT_EQ(log_.calls[i - 1].kind, Kind::kFlushImage) << "call " << i;
  }
  EXPECT_GT(headers, 0u);
}

TEST_F(ImageFlushTest, TheDirtyBitIsOnUntilLateRefcountsAreStored) {
  CreateOptions create;
  create.cluster_bits = 12;
  create.virtual_size = 16 * kCluster;
  create.lazy_refcounts = true;
  ASSERT_EQ(CreateImage(file_, nullptr, create), absl::OkStatus());
  const auto dirty = [&] {
    return ReadHeaderArea(file_)->header.has_incompatible(kIncompatibleDirty);
  };
  const auto image = Open();
  EXPECT_FALSE(dirty());
  ASSERT_EQ(WriteCluster(*image), absl::OkStatus());
  ASSERT_EQ(image->Flush(), absl::OkStatus());
  EXPECT_TRUE(dirty());
  log_.calls.clear();
  ASSERT_EQ(image->Close(), absl::OkStatus());
  EXPECT_FALSE(dirty());
  // The counts, and then the header alone.
  const size_t header = log_.FindWriteTo(0);
  EXPECT_LT(log_.Find(Kind::kWriteImage), header);
  EXPECT_EQ(log_.Find(Kind::kWriteImage, header + 1), log_.calls.size());
}

TEST_F(ImageFlushTest, AFlushThatFailedIsDoneAgain) {
  Create(/*with_data_file=*/false);
  const auto image = Open();
  ASSERT_EQ(WriteCluster(*image), absl::OkStatus());
  ASSERT_EQ(image->Flush(), absl::OkStatus());
  ASSERT_EQ(WriteCluster(*image), absl::OkStatus());
  log_.fail_flushes = true;
  EXPECT_FALSE(image->Flush().ok());
  log_ = {};
  EXPECT_EQ(image->Flush(), absl::OkStatus());
  EXPECT_LT(log_.Find(Kind::kFlushImage), log_.calls.size());
}

TEST_F(ImageFlushTest, UnknownAutoclearBitsGoWithTheFirstChange) {
  Create(/*with_data_file=*/false);
  file_.mutable_bytes()[90] = std::byte{1};
  constexpr uint64_t kUnknown = uint64_t{1} << 40;
  ASSERT_EQ(AutoclearFeatures(), kUnknown);
  ASSERT_EQ(Open()->Close(), absl::OkStatus());
  EXPECT_EQ(AutoclearFeatures(), kUnknown);
  const auto image = Open();
  ASSERT_EQ(WriteCluster(*image), absl::OkStatus());
  ASSERT_EQ(image->Close(), absl::OkStatus());
  EXPECT_EQ(AutoclearFeatures(), 0);
}

}  // namespace
}  // namespace qcow2
