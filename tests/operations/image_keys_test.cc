// Passphrases that come and go, with crashes and faults at every point: those
// that stay always open the image, and a slot that is in use always opens.
#include "engine/operations/image_keys.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/codec/luks.h"
#include "engine/codec/luks_create.h"
#include "engine/format/header.h"
#include "engine/image/create.h"
#include "engine/image/header_area.h"
#include "engine/image/image.h"
#include "engine/image/luks_in_image.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"
#include "repair/journal/simulated_disk.h"
#include "tests/engine/soundness.h"
#include "tests/operations/scene.h"

namespace qcow2 {
namespace {

using repair::CallFault;
using repair::SimulatedDisk;
using Bytes = std::vector<std::byte>;

constexpr uint64_t kDiskBytes = uint64_t{64} << 10;
constexpr uint32_t kIterations = 1000;

Secret Word(const std::string& text) { return Secret::FromText(text); }

LuksAddOptions Quickly() {
  LuksAddOptions options;
  options.derivation.iterations = kIterations;
  return options;
}

// An image that "stays" (slot 0) and "goes" (slot 1) open.
Bytes MakeImage() {
  LuksCreateOptions luks;
  luks.derivation.iterations = kIterations;
  auto made = CreateLuks(luks, Word("stays"));
  EXPECT_EQ(made.status(), absl::OkStatus());
  CreateOptions options;
  options.cluster_bits = 12;
  options.virtual_size = kDiskBytes;
  options.crypt_method = kCryptLuks;
  options.luks_area = made->area;
  MemoryFile file;
  EXPECT_EQ(CreateImage(file, nullptr, options), absl::OkStatus());
  ImageOptions open;
  open.writable = true;
  open.cipher = std::move(made->cipher);
  auto image =
      Image::Open(std::make_unique<ForwardingFile>(file), std::move(open));
  EXPECT_EQ(image.status(), absl::OkStatus());
  EXPECT_EQ((*image)->Write(0, MixedContents(kDiskBytes, 1)), absl::OkStatus());
  EXPECT_EQ((*image)->Close(), absl::OkStatus());
  EXPECT_EQ(AddImageKey(file, Word("stays"), Word("goes"), Quickly()).value(),
            1u);
  return {file.bytes().begin(), file.bytes().end()};
}

absl::StatusOr<OpenedLuks> Unlock(const File& file, const Secret& secret) {
  const auto area = ReadHeaderArea(file);
  EXPECT_EQ(area.status(), absl::OkStatus());
  return OpenLuks(*LuksAreaOf(file, *area), secret);
}

// Whether `word` opens the image, whose disk then is what it was.
bool Opens(MemoryFile& file, const std::string& word) {
  absl::StatusOr<OpenedLuks> opened = Unlock(file, Word(word));
  if (!opened.ok()) {
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kPermissionDenied);
    return false;
  }
  ImageOptions options;
  options.cipher = std::move(opened->cipher);
  auto image =
      Image::Open(std::make_unique<ForwardingFile>(file), std::move(options));
  EXPECT_EQ(image.status(), absl::OkStatus());
  Bytes disk(kDiskBytes);
  EXPECT_EQ((*image)->Read(0, disk), absl::OkStatus());
  EXPECT_TRUE(disk == MixedContents(kDiskBytes, 1));
  return true;
}

// A change of the keys, and which word it is about.
struct KeyCase {
  std::string name;
  std::string word;
  bool opens_before;
  std::function<absl::Status(File&)> change;

  friend std::ostream& operator<<(std::ostream& out, const KeyCase& c) {
    return out << c.name;
  }
};

class ImageKeysTest : public testing::TestWithParam<KeyCase> {
 protected:
  // A slot in use opens with the word it is for.
  void ExpectSlotsOpen(MemoryFile& file) {
    const auto header = ReadImageKeys(file);
    ASSERT_EQ(header.status(), absl::OkStatus());
    EXPECT_TRUE(header->slots[0].active());
    const bool opens = Opens(file, GetParam().word);
    const size_t slot = GetParam().opens_before ? 1 : 2;
    EXPECT_EQ(opens, header->slots[slot].active());
  }
  void ExpectSound(MemoryFile& file) {
    EXPECT_TRUE(Opens(file, "stays"));
    ExpectSlotsOpen(file);
    EXPECT_EQ(FindingsOf(CheckFile(file)), "");
  }

  const Bytes created_ = MakeImage();
};

TEST_P(ImageKeysTest, CrashLeavesTheOldKeysOrTheNewOnes) {
  SimulatedDisk disk(created_);
  disk.KeepSectorsWhole();
  ASSERT_EQ(GetParam().change(disk.image()), absl::OkStatus());
  MemoryFile finished(disk.image_contents());
  EXPECT_EQ(Opens(finished, GetParam().word), !GetParam().opens_before);
  AtEveryCrash(disk, 0, 6,
               [&](MemoryFile& image, size_t) { ExpectSound(image); });
}

TEST_P(ImageKeysTest, FaultLeavesTheOldKeysOrTheNewOnes) {
  AtEveryFault(created_, [&](SimulatedDisk& disk, const CallFault& fault) {
    disk.FailCalls(fault);
    const absl::Status changed = GetParam().change(disk.image());
    EXPECT_EQ(changed.ok(), !disk.Failed());
    SCOPED_TRACE(testing::Message() << changed);
    MemoryFile file(disk.image_contents());
    ExpectSound(file);
  });
}

std::vector<KeyCase> Cases() {
  return {
      {"Add", "comes", false,
       [](File& file) {
         return AddImageKey(file, Word("stays"), Word("comes"), Quickly())
             .status();
       }},
      {"RemoveSlot", "goes", true,
       [](File& file) { return RemoveImageKeySlot(file, 1); }},
      {"RemovePassphrase", "goes", true,
       [](File& file) {
         return RemoveImagePassphrase(file, Word("goes")).status();
       }},
  };
}

INSTANTIATE_TEST_SUITE_P(Changes, ImageKeysTest, testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.name; });

TEST(ImageKeys, NothingOfARemovedKeyStays) {
  const Bytes before = MakeImage();
  MemoryFile file(before);
  const LuksKeySlot slot = ReadImageKeys(file)->slots[1];
  ASSERT_EQ(RemoveImageKeySlot(file, 1), absl::OkStatus());
  const auto area = ReadHeaderArea(file);
  Bytes then(4000);
  Bytes now(4000);
  const uint64_t material = uint64_t{slot.key_material_sector} * 512;
  ASSERT_EQ(LuksAreaOf(file, *area)->read(material, now), absl::OkStatus());
  MemoryFile old(before);
  ASSERT_EQ(LuksAreaOf(old, *area)->read(material, then), absl::OkStatus());
  // No sector is what it was.
  for (size_t at = 0; at + 512 <= now.size(); at += 512) {
    EXPECT_FALSE(std::equal(now.begin() + static_cast<ptrdiff_t>(at),
                            now.begin() + static_cast<ptrdiff_t>(at) + 512,
                            then.begin() + static_cast<ptrdiff_t>(at)));
  }
  const LuksKeySlot removed = ReadImageKeys(file)->slots[1];
  EXPECT_EQ(removed.iterations, 0u);
  EXPECT_NE(removed.salt, slot.salt);
}

// Sets bits of a header's features.
void SetFeatures(MemoryFile& file, uint64_t offset, std::byte last_byte) {
  ASSERT_EQ(file.Pwrite(offset + 7, std::vector{last_byte}), absl::OkStatus());
}

TEST(ImageKeys, ACorruptImageIsOnlyRead) {
  MemoryFile file(MakeImage());
  SetFeatures(file, 72, std::byte{2});
  const Bytes before(file.bytes().begin(), file.bytes().end());
  EXPECT_EQ(ReadImageKeys(file).status(), absl::OkStatus());
  EXPECT_EQ(AddImageKey(file, Word("stays"), Word("comes"), Quickly())
                .status()
                .code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(RemoveImageKeySlot(file, 1).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(std::ranges::equal(file.bytes(), before));
}

TEST(ImageKeys, UnknownAutoclearBitsAreCleared) {
  MemoryFile file(MakeImage());
  SetFeatures(file, 88, std::byte{0x40});
  EXPECT_EQ(RemoveImageKeySlot(file, 7).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadHeaderArea(file)->header.autoclear_features, 0x40u);
  EXPECT_EQ(RemoveImageKeySlot(file, 1), absl::OkStatus());
  EXPECT_EQ(ReadHeaderArea(file)->header.autoclear_features, 0u);
  EXPECT_TRUE(Opens(file, "stays"));
}

}  // namespace
}  // namespace qcow2
