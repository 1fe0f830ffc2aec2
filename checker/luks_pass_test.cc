#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "checker/passes.h"
#include "checker/test_image.h"
#include "engine/format/header_extension.h"
#include "engine/format/luks_header.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kArea = 8;

// An image with a LUKS area of 64 KiB and one key slot in use.
struct LuksImage {
  TestImage image;
  LuksHeader luks;
  LuksExtension pointer;
  bool with_pointer = true;

  LuksImage() {
    image.header.crypt_method = kCryptLuks;
    image.Truncate(image.OffsetOf(kArea + 40));
    pointer = {HostOffset(image.OffsetOf(kArea)), 0x20000};
    Name(luks.padded_cipher_name, "aes");
    Name(luks.padded_cipher_mode, "xts-plain64");
    Name(luks.padded_hash_name, "sha256");
    luks.payload_sector = 256;
    luks.key_bytes = 1;
    luks.master_key_digest[0] = std::byte{1};
    luks.master_key_salt[0] = std::byte{1};
    luks.master_key_iterations = 1000;
    for (uint32_t i = 0; i < kLuksKeySlots; ++i) {
      luks.slots[i].key_material_sector = 8 + 8 * i;
    }
    luks.slots[0].state = kLuksSlotActive;
    luks.slots[0].iterations = 1000;
    luks.slots[0].salt[0] = std::byte{1};
    image.WriteText(image.OffsetOf(kArea) + uint64_t{8} * 512 + 3999, "k");
  }

  template <size_t N>
  static void Name(std::array<char, N>& field, std::string_view name) {
    std::copy(name.begin(), name.end(), field.begin());
  }

  PassRun Check() {
    image.Write(image.OffsetOf(kArea), luks.Encode());
    if (with_pointer) image.AddExtension(kExtensionLuks, pointer.Encode());
    CheckOptions options;
    options.deep = true;
    return PassRun(
        image.file(),
        [](CheckState& state) {
          if (RunHeaderPass(state)) RunLuksPass(state);
        },
        options);
  }
};

TEST(LuksPassTest, SoundHeader) {
  const PassRun run = LuksImage().Check();
  EXPECT_THAT(run.Codes(), IsEmpty());
  EXPECT_EQ(run.state().model.regions.back().owner, kOwnerLuksHeader);
  EXPECT_EQ(run.state().model.regions.back().length_bytes, 0x20000);
  EXPECT_TRUE(run.state().model.encrypted);
  EXPECT_EQ(run.state().summary.encryption, "luks");
}

struct LuksCase {
  std::string name;
  std::function<void(LuksImage&)> damage;
  std::string code;
  std::string message;
};

class LuksCaseTest : public ::testing::TestWithParam<LuksCase> {};

TEST_P(LuksCaseTest, IsTheOnlyFinding) {
  LuksImage luks;
  GetParam().damage(luks);
  const PassRun run = luks.Check();
  EXPECT_THAT(run.Codes(), ElementsAre(GetParam().code));
  const auto finding = run.Only(*FindProblem(GetParam().code));
  ASSERT_TRUE(finding);
  EXPECT_EQ(DescribeFinding(*finding), GetParam().message);
}

std::vector<LuksCase> LuksCases() {
  return {
      {"Missing", [](LuksImage& l) { l.with_pointer = false; },
       "luks-pointer-missing",
       "crypt_method is LUKS, but the header extension that locates the LUKS "
       "header is missing"},
      {"Unexpected", [](LuksImage& l) { l.image.header.crypt_method = 0; },
       "luks-unexpected",
       "there is a LUKS header extension, but crypt_method is 0"},
      {"Unaligned", [](LuksImage& l) { l.pointer.offset = HostOffset(0x8200); },
       "luks-pointer",
       "the LUKS header at 0x8200, 131072 bytes long, is not cluster aligned"},
      {"Zero", [](LuksImage& l) { l.pointer.offset = HostOffset(0); },
       "luks-pointer",
       "the LUKS header at 0x0, 131072 bytes long, is where the image's own "
       "header is"},
      {"PastEnd", [](LuksImage& l) { l.pointer.offset = HostOffset(0x80000); },
       "luks-pointer",
       "the LUKS header at 0x80000, 131072 bytes long, reaches past the end of "
       "the file"},
      {"Magic", [](LuksImage& l) { l.luks.magic[0] = std::byte{0}; },
       "luks-magic",
       "the LUKS header at 0x8000 does not start with LUKS's magic"},
      {"Version", [](LuksImage& l) { l.luks.version = 2; }, "luks-magic",
       "the LUKS header at 0x8000 is of version 2, not of version 1"},
      {"NoName", [](LuksImage& l) { l.luks.padded_cipher_name = {}; },
       "luks-magic",
       "the LUKS header at 0x8000 does not name its cipher, mode and hash"},
      {"Iterations", [](LuksImage& l) { l.luks.master_key_iterations = 0; },
       "luks-digest",
       "the LUKS header at 0x8000: the master key digest has 0 iterations"},
      {"DigestZero", [](LuksImage& l) { l.luks.master_key_digest = {}; },
       "luks-digest", "the LUKS header at 0x8000: the digest is all zeros"},
      {"Hash",
       [](LuksImage& l) { LuksImage::Name(l.luks.padded_hash_name, "sha999"); },
       "luks-digest",
       "the LUKS header at 0x8000: the hash \"sha999\" is unknown"},
      {"SlotState", [](LuksImage& l) { l.luks.slots[3].state = 7; },
       "luks-key-slot",
       "LUKS header at 0x8000, key slot 3: it is neither active nor inactive"},
      {"SlotStripes", [](LuksImage& l) { l.luks.slots[7].stripes = 4; },
       "luks-key-slot",
       "LUKS header at 0x8000, key slot 7: it has 4 stripes, not 4000"},
      {"SlotOutside",
       [](LuksImage& l) { l.luks.slots[7].key_material_sector = 0xffffffff; },
       "luks-key-slot",
       "LUKS header at 0x8000, key slot 7: its key material lies outside the "
       "LUKS area"},
      {"SlotWiped",
       [](LuksImage& l) { l.luks.slots[0].key_material_sector = 72; },
       "luks-key-slot",
       "LUKS header at 0x8000, key slot 0: its key material is all zeros"},
      {"NoSlot",
       [](LuksImage& l) { l.luks.slots[0].state = kLuksSlotInactive; },
       "luks-key-slot",
       "LUKS header at 0x8000: no key slot is active: no password opens it"},
  };
}

INSTANTIATE_TEST_SUITE_P(AllRows, LuksCaseTest,
                         ::testing::ValuesIn(LuksCases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qcow2::checker
