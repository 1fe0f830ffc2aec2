#include "engine/image/image_chain.h"

#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engine/codec/luks_create.h"
#include "engine/format/header_extension.h"
#include "engine/image/create.h"
#include "engine/storage/posix_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr uint64_t kDiskBytes = uint64_t{1} << 20;
constexpr uint64_t kClusterBytes = uint64_t{64} << 10;

// Disks in a folder of their own.
class ImageChainTest : public ::testing::Test {
 protected:
  ImageChainTest() {
    folder_ = ::testing::TempDir() + "image_chain_" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
  }
  ~ImageChainTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const {
    return folder_ + "/" + name;
  }

  std::unique_ptr<PosixFile> NewFile(const std::string& name) const {
    std::ofstream(Path(name)).close();
    return *PosixFile::Open(Path(name), {.writable = true});
  }

  void Create(const std::string& name, const CreateOptions& options) const {
    const std::unique_ptr<PosixFile> file = NewFile(name);
    std::unique_ptr<PosixFile> data_file;
    if (!options.data_file.empty()) data_file = NewFile(options.data_file);
    ASSERT_EQ(CreateImage(*file, data_file.get(), options), absl::OkStatus());
  }

  // An image over `backing`; none if that is empty.
  void CreateOver(const std::string& name, const std::string& backing,
                  const std::string& format = "qcow2",
                  uint64_t bytes = kDiskBytes) const {
    CreateOptions options;
    options.virtual_size = bytes;
    options.backing_file = backing;
    if (!backing.empty()) options.backing_format = format;
    Create(name, options);
  }

  void CreateRaw(const std::string& name, uint64_t bytes, char fill) const {
    std::ofstream file(Path(name));
    file << std::string(bytes, fill);
  }

  void Write(const std::string& name, uint64_t offset, char fill) const {
    ChainOptions options;
    options.writable = true;
    const auto image = OpenImage(Path(name), options);
    ASSERT_TRUE(image.ok()) << image.status();
    const std::vector<std::byte> bytes(kClusterBytes,
                                       static_cast<std::byte>(fill));
    ASSERT_EQ((*image)->Write(offset, bytes), absl::OkStatus());
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
  }

  static char ByteAt(GuestDisk& disk, uint64_t offset) {
    std::byte byte{0xee};
    EXPECT_EQ(disk.Read(offset, {&byte, 1}), absl::OkStatus());
    return static_cast<char>(byte);
  }

  absl::Status OpenError(const std::string& name,
                         const ChainOptions& options = {}) const {
    return OpenImage(Path(name), options).status();
  }

  std::string folder_;
};

TEST_F(ImageChainTest, EachLayerIsSeenThroughThoseAbove) {
  CreateRaw("base.raw", kDiskBytes, 'r');
  CreateOver("middle", "base.raw", "raw");
  CreateOver("top", Path("middle"));
  Write("middle", kClusterBytes, 'm');
  Write("top", 2 * kClusterBytes, 't');
  const auto top = OpenImage(Path("top"), {});
  ASSERT_TRUE(top.ok()) << top.status();
  EXPECT_EQ(ByteAt(**top, 0), 'r');
  EXPECT_EQ(ByteAt(**top, kClusterBytes), 'm');
  EXPECT_EQ(ByteAt(**top, 2 * kClusterBytes), 't');
}

TEST_F(ImageChainTest, AShorterBackingFileReadsAsZerosPastItsEnd) {
  CreateRaw("base.raw", 1000, 'r');
  CreateOver("top", "base.raw", "raw");
  const auto top = OpenImage(Path("top"), {});
  ASSERT_TRUE(top.ok()) << top.status();
  std::vector<std::byte> bytes(kDiskBytes);
  ASSERT_EQ((*top)->Read(0, bytes), absl::OkStatus());
  EXPECT_EQ(bytes[999], std::byte{'r'});
  bytes.erase(bytes.begin(), bytes.begin() + 1000);
  EXPECT_THAT(bytes, Each(std::byte{0}));
}

TEST_F(ImageChainTest, WithoutItsBackingFileAnImageShowsItsOwnBytesOnly) {
  CreateOver("top", "not-there");
  EXPECT_TRUE(absl::IsNotFound(OpenError("top")));
  EXPECT_THAT(std::string(OpenError("top").message()), HasSubstr("/top'"));
  ChainOptions options;
  options.backing = NamedFilePolicy::kNone;
  const auto top = OpenImage(Path("top"), options);
  ASSERT_TRUE(top.ok()) << top.status();
  EXPECT_EQ(ByteAt(**top, 0), '\0');
}

TEST_F(ImageChainTest, ABackingFileOfUnknownFormatIsProbed) {
  CreateRaw("base.raw", kDiskBytes, 'r');
  CreateOver("middle", "base.raw", "");
  CreateOver("top", "middle", "");
  const auto top = OpenImage(Path("top"), {});
  ASSERT_TRUE(top.ok()) << top.status();
  EXPECT_EQ(ByteAt(**top, 5), 'r');
}

TEST_F(ImageChainTest, ACycleIsFoundWhateverItsNames) {
  CreateOver("one", "./two");
  CreateOver("two", Path("three"));
  ASSERT_EQ(link(Path("one").c_str(), Path("three").c_str()), 0);
  for (const char* const name : {"one", "two", "three"}) {
    const absl::Status status = OpenError(name);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("cycle"));
  }
  CreateOver("itself", "itself");
  EXPECT_THAT(std::string(OpenError("itself").message()), HasSubstr("cycle"));
}

TEST_F(ImageChainTest, AChainThatIsTooLongIsRefused) {
  CreateOver("0", "");
  for (size_t i = 1; i <= kMaxChainImages; ++i) {
    CreateOver(std::to_string(i), std::to_string(i - 1));
  }
  const std::string top = std::to_string(kMaxChainImages);
  EXPECT_THAT(std::string(OpenError(top).message()),
              HasSubstr("more than 999 images below it"));
  EXPECT_EQ(OpenError(std::to_string(kMaxChainImages - 1)), absl::OkStatus());
}

TEST_F(ImageChainTest, ALongChainIsRead) {
  constexpr int kImages = 80;
  CreateOver("0", "");
  Write("0", 0, 'b');
  for (int i = 1; i < kImages; ++i) {
    CreateOver(std::to_string(i), std::to_string(i - 1));
  }
  const auto top = OpenImage(Path(std::to_string(kImages - 1)), {});
  ASSERT_TRUE(top.ok()) << top.status();
  EXPECT_EQ(ByteAt(**top, 1), 'b');
}

TEST_F(ImageChainTest, NamesAndFormatsThatCannotBeReadAreNamed) {
  CreateOver("remote", "nbd://host/disk", "raw");
  EXPECT_TRUE(absl::IsUnimplemented(OpenError("remote")));
  EXPECT_THAT(std::string(OpenError("remote").message()),
              HasSubstr("nbd://host/disk"));
  CreateOver("other", "base", "vdi");
  EXPECT_TRUE(absl::IsUnimplemented(OpenError("other")));
  EXPECT_THAT(std::string(OpenError("other").message()), HasSubstr("'vdi'"));
}

TEST_F(ImageChainTest, AFifoIsNoBackingFile) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  CreateOver("top", "fifo", "raw");
  EXPECT_TRUE(absl::IsInvalidArgument(OpenError("top")));
}

TEST_F(ImageChainTest, TheDataFileIsFoundBesideTheImage) {
  CreateOptions create;
  create.virtual_size = kDiskBytes;
  create.data_file = "data";
  Create("image", create);
  Write("image", 3 * kClusterBytes, 'd');
  const auto image = OpenImage(Path("image"), {});
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(ByteAt(**image, 3 * kClusterBytes), 'd');
  const auto data = PosixFile::Open(Path("data"));
  std::byte byte{};
  ASSERT_EQ(*(*data)->Pread(3 * kClusterBytes, {&byte, 1}), 1u);
  EXPECT_EQ(byte, std::byte{'d'});
}

TEST_F(ImageChainTest, PoliciesDecideWhichFilesAreOpened) {
  std::filesystem::create_directory(Path("elsewhere"));
  CreateOptions create;
  create.virtual_size = kDiskBytes;
  create.data_file = "elsewhere/data";
  Create("image", create);
  CreateRaw("elsewhere/base", kDiskBytes, 'b');
  CreateOver("top", "elsewhere/base", "raw");
  EXPECT_EQ(OpenError("image"), absl::OkStatus());
  EXPECT_EQ(OpenError("top"), absl::OkStatus());
  ChainOptions options;
  options.data_file = NamedFilePolicy::kSameDirectory;
  EXPECT_TRUE(absl::IsPermissionDenied(OpenError("image", options)));
  EXPECT_EQ(OpenError("top", options), absl::OkStatus());
  options = {};
  options.backing = NamedFilePolicy::kSameDirectory;
  EXPECT_EQ(OpenError("image", options), absl::OkStatus());
  EXPECT_TRUE(absl::IsPermissionDenied(OpenError("top", options)));
}

TEST_F(ImageChainTest, AnImageIsNotItsOwnDataFile) {
  CreateOptions create;
  create.virtual_size = kDiskBytes;
  create.data_file = "data";
  Create("image", create);
  std::filesystem::remove(Path("data"));
  ASSERT_EQ(link(Path("image").c_str(), Path("data").c_str()), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(OpenError("image")));
}

TEST_F(ImageChainTest, AWriterKeepsOthersAwayFromAllTheChain) {
  CreateOver("base", "");
  CreateOver("top", "base");
  ChainOptions writable;
  writable.writable = true;
  const auto writer = OpenImage(Path("top"), writable);
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_TRUE(absl::IsUnavailable(OpenError("top", writable)));
  EXPECT_TRUE(absl::IsUnavailable(OpenError("top")));
  EXPECT_TRUE(absl::IsUnavailable(OpenError("base", writable)));
  EXPECT_EQ(OpenError("base"), absl::OkStatus());
  ChainOptions shared;
  shared.force_share = true;
  EXPECT_EQ(OpenError("top", shared), absl::OkStatus());
  shared.writable = true;
  EXPECT_TRUE(absl::IsInvalidArgument(OpenError("top", shared)));
}

TEST_F(ImageChainTest, OnlyTheTopIsWritableUnlessAskedFor) {
  CreateOver("base", "");
  CreateOver("top", "base");
  ChainOptions options;
  options.writable = true;
  {
    const auto image = OpenImage(Path("top"), options);
    ASSERT_TRUE(image.ok()) << image.status();
    EXPECT_FALSE((*image)->core().backing->writable());
  }
  options.writable_backing = true;
  const auto image = OpenImage(Path("top"), options);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_TRUE((*image)->core().backing->writable());
}

TEST_F(ImageChainTest, EncryptedImagesAskForTheirPassphrase) {
  CreateOptions create;
  create.virtual_size = kDiskBytes;
  create.crypt_method = kCryptAes;
  Create("image", create);
  EXPECT_TRUE(absl::IsFailedPrecondition(OpenError("image")));
  std::string asked_for;
  ChainOptions options;
  options.writable = true;
  options.passphrase = [&](const std::string& path) -> absl::StatusOr<Secret> {
    asked_for = path;
    return Secret::FromText("open sesame");
  };
  {
    const auto image = OpenImage(Path("image"), options);
    ASSERT_TRUE(image.ok()) << image.status();
    EXPECT_EQ(asked_for, Path("image"));
    const std::vector<std::byte> bytes(512, std::byte{'s'});
    ASSERT_EQ((*image)->Write(512, bytes), absl::OkStatus());
  }
  const auto image = OpenImage(Path("image"), options);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(ByteAt(**image, 700), 's');
}

TEST_F(ImageChainTest, AWrongPassphraseIsSaidToBeWrong) {
  const Secret right = Secret::FromText("open sesame");
  LuksCreateOptions luks;
  luks.derivation.iterations = 1000;
  auto made = CreateLuks(luks, right);
  ASSERT_TRUE(made.ok()) << made.status();
  CreateOptions create;
  create.virtual_size = kDiskBytes;
  create.crypt_method = kCryptLuks;
  create.luks_area = made->area;
  Create("image", create);
  std::string text = "open barley";
  ChainOptions options;
  options.writable = true;
  options.passphrase = [&](const std::string&) -> absl::StatusOr<Secret> {
    return Secret::FromText(text);
  };
  const absl::Status refused = OpenError("image", options);
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr(Path("image")));
  text = "open sesame";
  const auto image = OpenImage(Path("image"), options);
  ASSERT_TRUE(image.ok()) << image.status();
  const std::vector<std::byte> bytes(512, std::byte{'s'});
  ASSERT_EQ((*image)->Write(512, bytes), absl::OkStatus());
  EXPECT_EQ(ByteAt(**image, 700), 's');
}

TEST_F(ImageChainTest, ADiskIsAnImageOrRaw) {
  CreateRaw("raw", kClusterBytes, 'x');
  CreateOver("image", "");
  const auto raw = OpenDisk(Path("raw"), DiskFormat::kAuto, {});
  ASSERT_TRUE(raw.ok()) << raw.status();
  EXPECT_EQ((*raw)->size_bytes(), kClusterBytes);
  const auto image = OpenDisk(Path("image"), DiskFormat::kAuto, {});
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ((*image)->size_bytes(), kDiskBytes);
  const auto bytes = OpenDisk(Path("image"), DiskFormat::kRaw, {});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(ByteAt(**bytes, 0), 'Q');
  EXPECT_TRUE(absl::IsInvalidArgument(
      OpenDisk(Path("raw"), DiskFormat::kQcow2, {}).status()));
}

TEST_F(ImageChainTest, ARawDiskIsNotWrittenByGuess) {
  CreateRaw("raw", kClusterBytes, 'x');
  ChainOptions options;
  options.writable = true;
  EXPECT_TRUE(absl::IsFailedPrecondition(
      OpenDisk(Path("raw"), DiskFormat::kAuto, options).status()));
  const auto raw = OpenDisk(Path("raw"), DiskFormat::kRaw, options);
  ASSERT_TRUE(raw.ok()) << raw.status();
  EXPECT_TRUE((*raw)->writable());
}

}  // namespace
}  // namespace qcow2
