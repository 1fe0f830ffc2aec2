#include "engine/codec/luks.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "engine/codec/luks_create.h"
#include "engine/codec/test_luks_area.h"
#include "engine/format/byte_order.h"
#include "engine/format/test_bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::HasSubstr;

using Bytes = std::vector<std::byte>;

constexpr uint64_t kSlots = 208;

Secret Passphrase() { return Secret::FromText("open sesame"); }

NewLuks Made(const LuksCreateOptions& options = QuickLuks()) {
  auto made = CreateLuks(options, Passphrase());
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message());
}

// What opening `area` with the passphrase says, once the number at `offset` is
// `value`.
absl::Status OpenWith(const Bytes& area, uint64_t offset, uint32_t value,
                      const LuksLimits& limits = {}) {
  Bytes damaged = area;
  StoreBe32(&damaged[offset], value);
  return OpenLuks(AreaOf(damaged), Passphrase(), limits).status();
}

// The same with a text.
absl::Status OpenWithText(const Bytes& area, uint64_t offset,
                          std::string_view text) {
  Bytes damaged = area;
  const auto bytes = std::as_bytes(std::span(text));
  std::copy(bytes.begin(), bytes.end(),
            damaged.begin() + static_cast<ptrdiff_t>(offset));
  return OpenLuks(AreaOf(damaged), Passphrase()).status();
}

std::vector<LuksCreateOptions> Varieties() {
  std::vector<LuksCreateOptions> all;
  for (const char* hash :
       {"sha1", "sha256", "sha512", "sha224", "sha384", "ripemd160", "md5"}) {
    all.push_back(QuickLuks());
    all.back().hash = hash;
  }
  for (IvGenerator generator :
       {IvGenerator::kPlain, IvGenerator::kPlain64, IvGenerator::kEssiv}) {
    const std::string hash = generator == IvGenerator::kEssiv ? "sha256" : "";
    for (size_t aes_bytes : {16, 24, 32}) {
      all.push_back(QuickLuks());
      all.back().cipher = {CipherMode::kCbc, generator, hash, aes_bytes};
      all.push_back(QuickLuks());
      all.back().cipher = {CipherMode::kXts, generator, hash, 2 * aes_bytes};
    }
  }
  return all;
}

TEST(LuksTest, OpensWhatItMadeInAllVarieties) {
  for (const LuksCreateOptions& options : Varieties()) {
    const NewLuks made = Made(options);
    const auto opened = OpenLuks(AreaOf(made.area), Passphrase());
    ASSERT_TRUE(opened.ok())
        << opened.status() << options.hash << LuksCipherMode(options.cipher);
    EXPECT_EQ(opened->slot, 0u);
    // Both ciphers have the same key.
    std::mt19937 random(1);
    const Bytes plain = RandomBytes(random, 4096);
    Bytes data = plain;
    ASSERT_TRUE(made.cipher->Encrypt(99, data).ok());
    EXPECT_NE(data, plain);
    ASSERT_TRUE(opened->cipher->Decrypt(99, data).ok());
    EXPECT_EQ(data, plain);
  }
}

TEST(LuksTest, LaysTheAreaOutAsQemuImgDoes) {
  const NewLuks made = Made();
  const auto header = ReadLuksHeader(AreaOf(made.area));
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->cipher_name(), "aes");
  EXPECT_EQ(header->cipher_mode(), "xts-plain64");
  EXPECT_EQ(header->hash_name(), "sha256");
  EXPECT_EQ(header->key_bytes, 64u);
  EXPECT_EQ(header->payload_sector, 4040u);
  EXPECT_EQ(made.area.size(), 4040u * 512);
  EXPECT_EQ(header->uuid().size(), 36u);
  EXPECT_EQ(header->uuid()[14], '4');
  EXPECT_EQ(LuksHeaderIssues(*header), 0u);
  for (uint64_t slot = 0; slot < kLuksKeySlots; ++slot) {
    EXPECT_EQ(header->slots[slot].active(), slot == 0);
    EXPECT_EQ(header->slots[slot].key_material_sector, 8 + 504 * slot);
    EXPECT_EQ(LuksSlotIssues(*header, slot, made.area.size()), 0u);
  }
}

TEST(LuksTest, NoTwoAreasShareAnything) {
  const NewLuks first = Made();
  const NewLuks second = Made();
  const auto a = UnlockLuks(AreaOf(first.area), Passphrase());
  const auto b = UnlockLuks(AreaOf(second.area), Passphrase());
  EXPECT_FALSE(std::equal(a->master_key.bytes().begin(),
                          a->master_key.bytes().end(),
                          b->master_key.bytes().begin()));
  EXPECT_NE(a->header.master_key_salt, b->header.master_key_salt);
  EXPECT_NE(a->header.slots[0].salt, b->header.slots[0].salt);
  EXPECT_NE(a->header.uuid(), b->header.uuid());
}

TEST(LuksTest, WrongPassphraseSaysSo) {
  const NewLuks made = Made();
  for (const char* wrong : {"open sesam", "open sesame\n", "Open sesame", ""}) {
    const absl::Status status =
        OpenLuks(AreaOf(made.area), Secret::FromText(wrong)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_THAT(MessageOf(status),
                HasSubstr("wrong passphrase: it opens none of the 1 active"));
  }
}

TEST(LuksTest, IterationsMayBeMeasured) {
  LuksCreateOptions options;
  options.derivation.time = std::chrono::milliseconds(10);
  const NewLuks made = Made(options);
  EXPECT_TRUE(OpenLuks(AreaOf(made.area), Passphrase()).ok());
  EXPECT_GE(ReadLuksHeader(AreaOf(made.area))->slots[0].iterations, 1000u);
}

TEST(LuksTest, RefusesToMakeWhatCannotBeHad) {
  const auto code = [](const LuksCreateOptions& options,
                       std::string_view passphrase) {
    return CreateLuks(options, Secret::FromText(passphrase)).status().code();
  };
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code(QuickLuks(), ""), kInvalid);
  EXPECT_EQ(code(QuickLuks(), std::string_view("a\0b", 3)), kInvalid);
  LuksCreateOptions options = QuickLuks();
  options.derivation.iterations = 999;
  EXPECT_EQ(code(options, "a"), kInvalid);
  options = QuickLuks();
  options.hash = "whirlpool";
  EXPECT_EQ(code(options, "a"), absl::StatusCode::kUnimplemented);
  options = QuickLuks();
  options.cipher.key_bytes = 20;
  EXPECT_EQ(code(options, "a"), kInvalid);
  options = QuickLuks();
  options.cipher = {CipherMode::kCbc, IvGenerator::kEssiv, "sha1", 32};
  EXPECT_EQ(code(options, "a"), absl::StatusCode::kUnimplemented);
}

TEST(LuksTest, DamagedFieldsAreNamed) {
  struct Case {
    uint64_t offset;
    uint32_t value;
    absl::StatusCode code;
    const char* message;
  };
  const Bytes area = Made().area;
  constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
  for (const Case& c :
       {Case{0, 0x4c554b54, kDataLoss, "magic"},
        Case{4, 0xbabe0002, kDataLoss, "version is not 1 (version 2"},
        Case{8, 0, kDataLoss, "a name is empty"},
        Case{72, 0, kDataLoss, "a name is empty"},
        Case{104, 1, kDataLoss, "payload offset lies inside it"},
        Case{108, 0, kDataLoss, "its key has no bytes"},
        Case{108, 1000, kDataLoss, "longer than any"},
        Case{108, 63, kDataLoss, "LUKS key of 63 bytes"},
        Case{112, 1, absl::StatusCode::kPermissionDenied, "wrong passphrase"},
        Case{132, 1, absl::StatusCode::kPermissionDenied, "wrong passphrase"},
        Case{164, 0, kDataLoss, "its digest has no iterations"},
        Case{164, 7, absl::StatusCode::kPermissionDenied, "wrong passphrase"},
        Case{kSlots, 0xdead, kDataLoss, "no LUKS key slot is active"},
        Case{kSlots, 7, kDataLoss, "no LUKS key slot is active"},
        Case{kSlots + 4, 0, kDataLoss, "slot 0 has no iterations"},
        Case{kSlots + 4, 1001, absl::StatusCode::kPermissionDenied, "wrong"},
        Case{kSlots + 8, 1, absl::StatusCode::kPermissionDenied, "wrong"},
        Case{kSlots + 40, 9, absl::StatusCode::kPermissionDenied, "wrong"},
        Case{kSlots + 40, 0xffffffff, kDataLoss, "past the LUKS area"},
        Case{kSlots + 44, 0, kDataLoss, "0 stripes, not 4000"},
        Case{kSlots + 44, 0xffffffff, kDataLoss, "4294967295 stripes"}}) {
    const absl::Status status = OpenWith(area, c.offset, c.value);
    EXPECT_EQ(status.code(), c.code) << c.offset << ": " << status;
    EXPECT_THAT(MessageOf(status), HasSubstr(c.message)) << c.offset;
  }
}

TEST(LuksTest, ForeignNamesAreNamed) {
  const Bytes area = Made().area;
  constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
  absl::Status status = OpenWithText(area, 8, "serpent");
  EXPECT_EQ(status.code(), kUnimplemented);
  EXPECT_THAT(MessageOf(status), HasSubstr("serpent"));
  status = OpenWithText(area, 40, std::string_view("ecb\0", 4));
  EXPECT_EQ(status.code(), kUnimplemented);
  EXPECT_THAT(MessageOf(status), HasSubstr("\"ecb\""));
  status = OpenWithText(area, 72, "whirlpool");
  EXPECT_EQ(status.code(), kUnimplemented);
  EXPECT_THAT(MessageOf(status), HasSubstr("\"whirlpool\""));
  status = OpenWithText(area, 40, std::string(32, 'x'));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(MessageOf(status), HasSubstr("a name fills its field"));
}

// A bit of nearly every byte. What still opens must have been changed where
// nothing depends on it.
TEST(LuksTest, EveryFlippedByteIsFoundOrHarmless) {
  const Bytes area = Made().area;
  for (size_t at = 0; at < kSlots + kLuksKeySlotSize; ++at) {
    Bytes damaged = area;
    damaged[at] ^= static_cast<std::byte>(1 << at % 8);
    const bool opens =
        OpenLuks(AreaOf(damaged), Passphrase(), {.max_derivation_cost = 5000})
            .ok();
    const bool behind_name = (at > 8 + 3 && at < 40) ||
                             (at > 40 + 11 && at < 72) ||
                             (at > 72 + 6 && at < 104);
    const bool irrelevant =
        behind_name || (at >= 104 && at < 108) || (at >= 168 && at < kSlots);
    EXPECT_TRUE(!opens || irrelevant) << at;
  }
}

TEST(LuksTest, DamagedKeyMaterialLosesTheKey) {
  Bytes area = Made().area;
  area[4096 + 100000] ^= std::byte{1};
  EXPECT_EQ(OpenLuks(AreaOf(area), Passphrase()).status().code(),
            absl::StatusCode::kPermissionDenied);
}

// These return at once, where hashing that often would take an hour.
TEST(LuksTest, TooMuchWorkIsNotDone) {
  const Bytes area = Made().area;
  for (uint64_t offset : {uint64_t{164}, kSlots + 4}) {
    const absl::Status status = OpenWith(area, offset, 0xffffffff);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_THAT(MessageOf(status), HasSubstr("4294967295"));
  }
  // 1000 iterations for 64 bytes of 32-byte digests and 1000 for the digest.
  EXPECT_TRUE(OpenLuks(AreaOf(area), Passphrase(), {3000}).ok());
  EXPECT_EQ(OpenLuks(AreaOf(area), Passphrase(), {2999}).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(LuksTest, OtherSlotsAreTriedPastADamagedOne) {
  Bytes area = Made().area;
  // The first slot moves to the last place; the first becomes nonsense.
  constexpr uint64_t kLast = kSlots + 7 * kLuksKeySlotSize;
  std::copy_n(area.begin() + kSlots, kLuksKeySlotSize, area.begin() + kLast);
  for (const auto& [field, value] :
       {std::pair{4, 0xffffffffu}, std::pair{40, 0x7fffffffu},
        std::pair{44, 3u}, std::pair{8, 1u}}) {
    Bytes damaged = area;
    StoreBe32(&damaged[kSlots + static_cast<uint64_t>(field)], value);
    const auto opened = OpenLuks(AreaOf(damaged), Passphrase());
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->slot, 7u);
  }
}

TEST(LuksTest, AreaThatIsCutShort) {
  Bytes area = Made().area;
  for (size_t size : {size_t{0}, size_t{591}}) {
    const Bytes cut(area.begin(), area.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_EQ(OpenLuks(AreaOf(cut), Passphrase()).status().code(),
              absl::StatusCode::kDataLoss);
  }
  area.resize(4096 + 255999);
  EXPECT_THAT(MessageOf(OpenLuks(AreaOf(area), Passphrase()).status()),
              HasSubstr("past the LUKS area of 260095 bytes"));
  // A length that the bytes do not live up to: reading fails.
  LuksArea longer = AreaOf(area);
  longer.length_bytes = std::numeric_limits<uint64_t>::max();
  EXPECT_THAT(MessageOf(OpenLuks(longer, Passphrase()).status()),
              HasSubstr("slot 0 fails: read past the area"));
}

}  // namespace
}  // namespace qcow2
