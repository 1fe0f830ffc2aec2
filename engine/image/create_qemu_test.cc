// New images next to those that qemu-img makes with the same options: it says
// the same of both, finds ours clean, reads the same from both and can go on
// writing to ours.
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "engine/format/header_extension.h"
#include "engine/format/luks_extension.h"
#include "engine/image/create.h"
#include "engine/image/header_area.h"
#include "engine/storage/posix_file.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/differential/qemu_img.h"
#include "tests/engine/soundness.h"

namespace qcow2 {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

// The value of qemu-img's -o that says the same as `options`. The data file is
// called like the image.
std::string QemuOptions(const CreateOptions& options, const std::string& image,
                        const std::string& folder) {
  const char* const preallocations[] = {"off", "metadata", "falloc", "full"};
  const auto on = [](bool value) { return value ? "on" : "off"; };
  std::string text =
      std::string("compat=") + (options.version == 2 ? "0.10" : "1.1") +
      ",cluster_size=" + std::to_string(1u << options.cluster_bits) +
      ",refcount_bits=" + std::to_string(options.refcount_bits) +
      ",lazy_refcounts=" + on(options.lazy_refcounts) +
      ",extended_l2=" + on(options.extended_l2) + ",preallocation=" +
      preallocations[static_cast<int>(options.preallocation)];
  if (options.compression_type == CompressionType::kZstd) {
    text += ",compression_type=zstd";
  }
  if (!options.backing_file.empty()) {
    text += ",backing_file=" + options.backing_file +
            ",backing_fmt=" + options.backing_format;
  }
  if (!options.data_file.empty()) {
    text += ",data_file=" + folder + "/" + image + ".data";
    text += std::string(",data_file_raw=") + on(options.data_file_raw);
  }
  if (options.crypt_method != kCryptNone) {
    text += ",encrypt.key-secret=s,encrypt.format=";
    text += options.crypt_method == kCryptAes ? "aes" : "luks";
    // As little work for a key as QEMU does.
    if (options.crypt_method == kCryptLuks) text += ",encrypt.iter-time=10";
  }
  return text;
}

std::unique_ptr<PosixFile> NewFile(const std::string& path) {
  std::ofstream(path, std::ios::binary).flush();
  auto file = PosixFile::Open(path, {.writable = true});
  EXPECT_TRUE(file.ok()) << file.status();
  return file.ok() ? *std::move(file) : nullptr;
}

std::string Complaints(const std::string& path) {
  const auto file = PosixFile::Open(path);
  if (!file.ok()) return file.status().ToString();
  return FindingsOf(CheckFile(**file));
}

class CreateQemuTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HaveQemuImg()) GTEST_SKIP() << "qemu-img is not installed";
    folder_ = testing::TempDir() + "/create_XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }

  void TearDown() override { Run("rm -rf '" + folder_ + "'"); }

  // What a command says; the test fails if it does.
  std::string Run(const std::string& command) {
    std::string output;
    EXPECT_EQ(
        RunCommand("cd '" + folder_ + "' && " + command + " 2>&1", &output), 0)
        << command << "\n"
        << output;
    return output;
  }

  std::string Path(const std::string& name) const {
    return folder_ + "/" + name;
  }

  // What a command of QEMU's must be told to open `image`.
  static std::string Opening(const CreateOptions& options,
                             const std::string& image) {
    std::string text = "--image-opts driver=qcow2,file.filename=" + image;
    if (options.crypt_method != kCryptNone) {
      text += ",encrypt.key-secret=s,encrypt.format=";
      text += options.crypt_method == kCryptAes ? "aes" : "luks";
      text = "--object secret,id=s,data=xyzzy " + text;
    }
    return text;
  }

  // What qemu-img says of an image, less what is of the file itself.
  nlohmann::json Info(const CreateOptions& options, const std::string& image) {
    auto info = nlohmann::json::parse(
        Run("qemu-img info --output=json " + Opening(options, image)));
    info.erase("filename");
    info.erase("actual-size");
    nlohmann::json& data = info["format-specific"]["data"];
    if (data.contains("data-file")) {
      EXPECT_EQ(data["data-file"], Path(image + ".data"));
      data.erase("data-file");
    }
    return info;
  }

  // The LUKS area of an image of qemu-img's: the same passphrase opens ours.
  std::vector<std::byte> LuksAreaOf(const std::string& image) {
    const auto file = *PosixFile::Open(Path(image));
    const auto area = ReadHeaderArea(*file);
    EXPECT_TRUE(area.ok()) << area.status();
    const LuksExtension luks =
        LuksExtension::Decode(area->Find(kExtensionLuks)->data);
    std::vector<std::byte> bytes(luks.length);
    EXPECT_TRUE(ReadZeroFilled(*file, luks.offset.value(), bytes).ok());
    return bytes;
  }

  void CreateTheirs(const CreateOptions& options) {
    const std::string create =
        "qemu-img create -q -f qcow2 " +
        std::string(options.crypt_method == kCryptNone
                        ? ""
                        : "--object secret,id=s,data=xyzzy ") +
        "-o " + QemuOptions(options, "theirs", folder_) + " theirs " +
        std::to_string(options.virtual_size);
    // Where a key takes it no time that it can measure, qemu-img gives up.
    Run("for attempt in 1 2 3 4 5 6 7 8 9; do " + create +
        " && exit 0; done; exit 1");
  }

  void CreateOurs(CreateOptions options) {
    const auto file = NewFile(Path("ours"));
    std::unique_ptr<PosixFile> data_file;
    if (!options.data_file.empty()) {
      options.data_file = Path("ours.data");
      data_file = NewFile(options.data_file);
    }
    const absl::Status status = CreateImage(*file, data_file.get(), options);
    ASSERT_TRUE(status.ok()) << status;
  }

  void CreateBoth(CreateOptions options) {
    CreateTheirs(options);
    if (options.crypt_method == kCryptLuks) {
      options.luks_area = LuksAreaOf("theirs");
    }
    CreateOurs(options);
  }

  void ExpectWritable(const CreateOptions& options) {
    Run("qemu-io " + Opening(options, "ours") +
        " -c 'write -P 0x11 1000000 100000'"
        " -c 'read -P 0x11 1000000 100000'");
    ExpectClean(options);
  }

  void ExpectClean(const CreateOptions& options) {
    Run("qemu-img check " + Opening(options, "ours"));
    EXPECT_EQ(Complaints(Path("ours")), "");
  }

  void ExpectAlike(const CreateOptions& options) {
    ASSERT_NO_FATAL_FAILURE(CreateBoth(options));
    EXPECT_EQ(Info(options, "ours"), Info(options, "theirs"));
    ExpectClean(options);
    if (options.virtual_size >= 2 * kMiB) ExpectWritable(options);
  }

  std::string folder_;
};

// Every cluster size three times, each time with other values of the other
// options, which turn at steps of their own. (create_test has all geometries.)
std::vector<CreateOptions> Matrix() {
  std::vector<CreateOptions> matrix;
  for (uint32_t i = 0; i < 39; ++i) {
    CreateOptions options;
    options.virtual_size = (i % 5 + 2) * kMiB + i % 3 * uint64_t{512};
    options.cluster_bits = kMinClusterBits + i % 13;
    options.version = i % 4 == 1 ? 2 : 3;
    options.preallocation = static_cast<Preallocation>(i / 3 % 4);
    if (i % 11 == 5) options.crypt_method = kCryptAes;
    if (options.version == 3) {
      options.refcount_bits = 1u << i % 7;
      options.lazy_refcounts = i % 5 == 2;
      options.extended_l2 =
          options.cluster_bits >= kMinExtendedL2ClusterBits && i % 3 != 0;
      if (i % 3 == 1) options.compression_type = CompressionType::kZstd;
      if (i % 4 == 3) options.data_file = "data";
      // QEMU 7.2 reads zeros from a raw data file with extended L2 entries.
      options.data_file_raw =
          i % 8 == 3 && !options.extended_l2 && !options.data_file.empty();
    }
    const bool may_have_backing_file =
        !options.data_file_raw &&
        (options.preallocation == Preallocation::kOff || options.extended_l2);
    if (i % 2 == 0 && may_have_backing_file) {
      options.backing_file = "base.raw";
      options.backing_format = "raw";
    }
    matrix.push_back(options);
  }
  return matrix;
}

TEST_F(CreateQemuTest, SaysTheSameOfOursAndItsOwn) {
  Run("head -c 1500000 /dev/urandom > base.raw && truncate -s 6M base.raw");
  for (const CreateOptions& options : Matrix()) {
    SCOPED_TRACE(QemuOptions(options, "image", folder_) + " " +
                 std::to_string(options.virtual_size));
    ExpectAlike(options);
    if (HasFatalFailure()) return;
  }
}

TEST_F(CreateQemuTest, EmptyDisk) { ExpectAlike({}); }

// One area in several images, because QEMU takes seconds to make one.
TEST_F(CreateQemuTest, LuksArea) {
  CreateOptions options;
  options.virtual_size = 2 * kMiB;
  options.crypt_method = kCryptLuks;
  ExpectAlike(options);
  options.luks_area = LuksAreaOf("theirs");
  options.cluster_bits = 9;
  options.version = 2;
  ASSERT_NO_FATAL_FAILURE(CreateOurs(options));
  ExpectWritable(options);
  options.cluster_bits = 15;
  options.version = 3;
  options.extended_l2 = true;
  options.preallocation = Preallocation::kFalloc;
  ASSERT_NO_FATAL_FAILURE(CreateOurs(options));
  ExpectWritable(options);
}

TEST_F(CreateQemuTest, HeadersAreEqual) {
  for (const uint32_t version : {2u, 3u}) {
    for (const uint32_t cluster_bits : {9u, 12u, 13u, 16u, 21u}) {
      CreateOptions options;
      options.version = version;
      options.virtual_size = 10 * kMiB;
      options.cluster_bits = cluster_bits;
      ASSERT_NO_FATAL_FAILURE(CreateBoth(options));
      // Up to the L1 table and all its entries, which are zeros.
      const std::string length = std::to_string(
          PosixFile::Open(Path("theirs")).value()->Size().value());
      Run("cmp -n " + length + " ours theirs");
    }
  }
}

TEST_F(CreateQemuTest, ReadsTheSame) {
  Run("head -c 1500000 /dev/urandom > base.raw");
  CreateOptions options;
  options.virtual_size = 2 * kMiB;
  options.backing_file = "base.raw";
  options.backing_format = "raw";
  options.extended_l2 = true;
  options.preallocation = Preallocation::kFull;
  ASSERT_NO_FATAL_FAILURE(CreateBoth(options));
  Run("qemu-img compare -f qcow2 -F qcow2 ours theirs");
  Run("qemu-img compare -f qcow2 -F raw ours base.raw");
}

TEST_F(CreateQemuTest, RawDataFileIsTheDisk) {
  CreateOptions options;
  options.virtual_size = 2 * kMiB;
  options.data_file = "data";
  options.data_file_raw = true;
  for (const bool extended_l2 : {false, true}) {
    options.extended_l2 = extended_l2;
    ASSERT_NO_FATAL_FAILURE(CreateBoth(options));
    Run("head -c 1500000 /dev/urandom | dd of=ours.data conv=notrunc");
    Run("qemu-img compare -f qcow2 -F raw ours ours.data");
    ExpectClean(options);
  }
}

TEST_F(CreateQemuTest, SpaceIsThereWhenReservedOrWritten) {
  for (const Preallocation preallocation :
       {Preallocation::kMetadata, Preallocation::kFalloc,
        Preallocation::kFull}) {
    CreateOptions options;
    options.virtual_size = 20 * kMiB;
    options.preallocation = preallocation;
    ASSERT_NO_FATAL_FAILURE(CreateBoth(options));
    const uint64_t bytes = *(*PosixFile::Open(Path("ours")))->AllocatedBytes();
    if (preallocation == Preallocation::kMetadata) {
      EXPECT_LT(bytes, 2 * kMiB);
    } else {
      EXPECT_GE(bytes, 20 * kMiB);
    }
  }
}

// Tables of several MiB: more than is in memory at a time.
TEST_F(CreateQemuTest, LongTables) {
  struct Large {
    uint64_t virtual_size;
    uint32_t cluster_bits;
    uint32_t refcount_bits;
  };
  // 2^20 clusters with counts of 8 MiB, and 4.7 million with those of 1.1 MiB.
  for (const Large& large :
       {Large{uint64_t{64} << 30, 16, 64}, Large{uint64_t{9} << 28, 9, 2}}) {
    CreateOptions options;
    options.virtual_size = large.virtual_size;
    options.cluster_bits = large.cluster_bits;
    options.refcount_bits = large.refcount_bits;
    options.preallocation = Preallocation::kMetadata;
    const auto file = NewFile(Path("ours"));
    ASSERT_TRUE(CreateImage(*file, nullptr, options).ok());
    ExpectClean(options);
  }
}

}  // namespace
}  // namespace qcow2
