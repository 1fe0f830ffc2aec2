#include "engine/format/luks_header.h"

#include <algorithm>
#include <functional>

#include "engine/format/byte_order.h"
#include "engine/format/test_bytes.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

// Numbers and names as `qemu-img create -o encrypt.format=luks` chose them:
// AES-256 in XTS mode, so 64 bytes of keys, and 504 sectors of key material
// from sector 8 on.
constexpr uint64_t kAreaLength = uint64_t{4040} * 512;

LuksHeader LikeQemuImg() {
  LuksHeader header;
  const auto set = [](auto& field, std::string_view text) {
    std::copy(text.begin(), text.end(), field.begin());
  };
  set(header.padded_cipher_name, "aes");
  set(header.padded_cipher_mode, "xts-plain64");
  set(header.padded_hash_name, "sha256");
  set(header.padded_uuid, "867cbcfb-1ace-4781-a00e-c922489be7c1");
  header.payload_sector = 4040;
  header.key_bytes = 64;
  header.master_key_iterations = 12291;
  for (uint32_t i = 0; i < kLuksKeySlots; ++i) {
    header.slots[i].key_material_sector = 8 + 504 * i;
  }
  header.slots[0].state = kLuksSlotActive;
  header.slots[0].iterations = 47906;
  return header;
}

// The first 112 bytes of the header that qemu-img wrote.
constexpr char kStartByQemuImg[] =
    "4c554b53babe0001"
    "6165730000000000000000000000000000000000000000000000000000000000"
    "7874732d706c61696e3634000000000000000000000000000000000000000000"
    "7368613235360000000000000000000000000000000000000000000000000000"
    "00000fc800000040";

TEST(LuksHeaderTest, DecodesWhatQemuImgWrote) {
  const LuksHeader header = LuksHeader::Decode(FromHex(kStartByQemuImg));
  EXPECT_EQ(header.magic, kLuksMagic);
  EXPECT_EQ(header.version, 1u);
  EXPECT_EQ(header.cipher_name(), "aes");
  EXPECT_EQ(header.cipher_mode(), "xts-plain64");
  EXPECT_EQ(header.hash_name(), "sha256");
  EXPECT_EQ(header.payload_sector, 4040u);
  EXPECT_EQ(header.key_bytes, 64u);
  // What was cut off reads as zeros.
  EXPECT_EQ(header.uuid(), "");
  EXPECT_EQ(header.slots[7].stripes, 0u);
}

TEST(LuksHeaderTest, EncodesWhatQemuImgWrote) {
  const auto encoded = LikeQemuImg().Encode();
  const auto start = FromHex(kStartByQemuImg);
  EXPECT_TRUE(std::equal(start.begin(), start.end(), encoded.begin()));
  EXPECT_EQ(LoadBe32(&encoded[164]), 12291u);
  EXPECT_EQ(LoadBe32(&encoded[208]), kLuksSlotActive);
  EXPECT_EQ(LoadBe32(&encoded[208 + 48 * 7 + 40]), 8u + 504 * 7);
  EXPECT_EQ(LoadBe32(&encoded[208 + 48 * 7 + 44]), 4000u);
}

TEST(LuksHeaderTest, RandomBytesRoundTripAtAnyLength) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    std::vector<std::byte> bytes = RandomBytes(random, random() % 600);
    const auto encoded = LuksHeader::Decode(bytes).Encode();
    bytes.resize(kLuksHeaderSize);
    ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), encoded.begin()));
  }
}

TEST(LuksHeaderTest, HealthyHeaderHasNoIssue) {
  const LuksHeader header = LikeQemuImg();
  EXPECT_EQ(header.uuid(), "867cbcfb-1ace-4781-a00e-c922489be7c1");
  EXPECT_EQ(LuksHeaderIssues(header), 0u);
  for (uint64_t i = 0; i < kLuksKeySlots; ++i) {
    EXPECT_EQ(LuksSlotIssues(header, i, kAreaLength), 0u) << i;
  }
}

TEST(LuksHeaderTest, HeaderVerdicts) {
  struct Case {
    const char* name;
    uint32_t issues;
    std::function<void(LuksHeader&)> damage;
  };
  const Case cases[] = {
      {"magic", kLuksBadMagic,
       [](LuksHeader& h) { h.magic[0] = std::byte{'l'}; }},
      {"version", kLuksBadVersion, [](LuksHeader& h) { h.version = 2; }},
      {"hash name without end", kLuksNameNotTerminated,
       [](LuksHeader& h) { h.padded_hash_name.fill('x'); }},
      {"no cipher name", kLuksNameEmpty,
       [](LuksHeader& h) { h.padded_cipher_name.fill('\0'); }},
      {"no key", kLuksNoKeyBytes, [](LuksHeader& h) { h.key_bytes = 0; }},
      {"long key", kLuksKeyTooLong, [](LuksHeader& h) { h.key_bytes = 513; }},
      {"digest", kLuksDigestIterationsZero,
       [](LuksHeader& h) { h.master_key_iterations = 0; }},
      {"payload", kLuksPayloadInHeader,
       [](LuksHeader& h) { h.payload_sector = 1; }},
      {"no slot", kLuksNoActiveSlot,
       [](LuksHeader& h) { h.slots[0].state = kLuksSlotInactive; }},
  };
  for (const Case& c : cases) {
    LuksHeader header = LikeQemuImg();
    c.damage(header);
    EXPECT_EQ(LuksHeaderIssues(header), c.issues) << c.name;
  }
}

TEST(LuksHeaderTest, SlotVerdicts) {
  struct Case {
    const char* name;
    uint64_t slot;
    uint32_t issues;
    std::function<void(LuksHeader&)> damage;
  };
  const Case cases[] = {
      {"state", 3, kLuksSlotBadState,
       [](LuksHeader& h) { h.slots[3].state = 1; }},
      {"stripes", 3, kLuksSlotBadStripes,
       [](LuksHeader& h) { h.slots[3].stripes = 3999; }},
      {"iterations", 0, kLuksSlotIterationsZero,
       [](LuksHeader& h) { h.slots[0].iterations = 0; }},
      {"in the header", 0, kLuksSlotInsideHeader,
       [](LuksHeader& h) { h.slots[0].key_material_sector = 1; }},
      {"last slot one sector on", 7,
       kLuksSlotOutsideArea | kLuksSlotInsidePayload,
       [](LuksHeader& h) { h.slots[7].key_material_sector = 3541; }},
      {"payload earlier", 7, kLuksSlotInsidePayload,
       [](LuksHeader& h) { h.payload_sector = 4000; }},
      {"overlap", 1, kLuksSlotOverlap,
       [](LuksHeader& h) { h.slots[2].key_material_sector = 1011; }},
      {"touching is no overlap", 1, 0,
       [](LuksHeader& h) { h.slots[2].key_material_sector = 1012; }},
      {"largest numbers", 1,
       kLuksSlotBadStripes | kLuksSlotOutsideArea | kLuksSlotInsidePayload,
       [](LuksHeader& h) {
         h.key_bytes = 0xffffffff;
         h.slots[1].stripes = 0xffffffff;
         h.slots[1].key_material_sector = 0xffffffff;
         for (uint32_t i : {0, 2, 3, 4, 5, 6, 7}) h.slots[i].stripes = 0;
       }},
  };
  for (const Case& c : cases) {
    LuksHeader header = LikeQemuImg();
    c.damage(header);
    EXPECT_EQ(LuksSlotIssues(header, c.slot, kAreaLength), c.issues) << c.name;
  }
}

}  // namespace
}  // namespace qcow2
