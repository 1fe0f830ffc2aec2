#include "engine/codec/sector_cipher.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/codec/openssl_handles.h"
#include "engine/format/test_bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::HasSubstr;

using Bytes = std::vector<std::byte>;

// The plaintext of IEEE 1619's longer test vectors: 00 to ff, twice.
Bytes CountingSector() {
  Bytes sector(kCipherSectorSize);
  for (size_t i = 0; i < sector.size(); ++i) {
    sector[i] = static_cast<std::byte>(i);
  }
  return sector;
}

Bytes Key(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  return RandomBytes(random, size);
}

std::unique_ptr<SectorCipher> Cipher(const SectorCipherSpec& spec,
                                     std::span<const std::byte> key) {
  auto cipher = SectorCipher::Create(spec, key);
  EXPECT_TRUE(cipher.ok()) << cipher.status();
  return cipher.ok() ? *std::move(cipher) : nullptr;
}

SectorCipherSpec Spec(CipherMode mode, IvGenerator generator,
                      size_t key_bytes) {
  return {mode, generator,
          generator == IvGenerator::kEssiv ? "sha256" : std::string(),
          key_bytes};
}

std::vector<SectorCipherSpec> AllSpecs() {
  std::vector<SectorCipherSpec> specs;
  for (IvGenerator generator :
       {IvGenerator::kPlain, IvGenerator::kPlain64, IvGenerator::kEssiv}) {
    for (size_t aes_bytes : {16, 24, 32}) {
      specs.push_back(Spec(CipherMode::kCbc, generator, aes_bytes));
      specs.push_back(Spec(CipherMode::kXts, generator, 2 * aes_bytes));
    }
  }
  return specs;
}

// A sector's number, its key and the ends of what the counting sector becomes.
struct KnownAnswer {
  const char* source;
  SectorCipherSpec spec;
  const char* key;
  uint64_t sector;
  const char* first_block;
  const char* last_block;
};

// The last block depends on all 31 steps from tweak to tweak, and on all blocks
// before it in CBC mode.
const std::array<KnownAnswer, 4> kKnownAnswers = {{
    {"IEEE 1619 vector 4",
     {CipherMode::kXts, IvGenerator::kPlain64, "", 32},
     "2718281828459045235360287471352631415926535897932384626433832795",
     0,
     "27a7479befa1d476489f308cd4cfa6e2",
     "0a282df920147beabe421ee5319d0568"},
    {"IEEE 1619 vector 10",
     {CipherMode::kXts, IvGenerator::kPlain64, "", 64},
     "2718281828459045235360287471352662497757247093699959574966967627"
     "3141592653589793238462643383279502884197169399375105820974944592",
     0xff,
     "1c3b3a102f770386e4836c99e370cf9b",
     "c4f36ffda9fcea70b9c6e693e148c151"},
    {"IEEE 1619 vector 14",
     {CipherMode::kXts, IvGenerator::kPlain64, "", 64},
     "2718281828459045235360287471352662497757247093699959574966967627"
     "3141592653589793238462643383279502884197169399375105820974944592",
     0xffffffffff,
     "64497e5a831e4a932c09be3e5393376d",
     "d609d273ad5b0d59631c531f6a0a57b9"},
    {"Python's cryptography",
     {CipherMode::kCbc, IvGenerator::kEssiv, "sha256", 32},
     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     0x123456789a,
     "97be7e93b5e5a78d4148c8997838ac2c",
     "243096f9a5da121acf470359a4a7f996"},
}};

TEST(SectorCipherTest, GivesKnownAnswers) {
  for (const KnownAnswer& known : kKnownAnswers) {
    const auto cipher = Cipher(known.spec, FromHex(known.key));
    Bytes sector = CountingSector();
    ASSERT_TRUE(cipher->Encrypt(known.sector, sector).ok());
    EXPECT_EQ(Bytes(sector.begin(), sector.begin() + 16),
              FromHex(known.first_block))
        << known.source;
    EXPECT_EQ(Bytes(sector.end() - 16, sector.end()), FromHex(known.last_block))
        << known.source;
    ASSERT_TRUE(cipher->Decrypt(known.sector, sector).ok());
    EXPECT_EQ(sector, CountingSector()) << known.source;
  }
}

TEST(SectorCipherTest, LegacyKeyIsSixteenBytesOfThePassword) {
  const auto encrypted = [](std::string_view password) {
    auto cipher =
        SectorCipher::CreateLegacyAes(std::as_bytes(std::span(password)));
    Bytes sector = CountingSector();
    EXPECT_TRUE((*cipher)->Encrypt(0x123456789a, sector).ok());
    return sector;
  };
  const Bytes sector = encrypted("abc");
  EXPECT_EQ(Bytes(sector.begin(), sector.begin() + 16),
            FromHex("5068bf50a344e4a3dfba5c528354d13d"));
  EXPECT_EQ(Bytes(sector.end() - 16, sector.end()),
            FromHex("34423c6ee53cca97520dbfaae44d3a3f"));
  EXPECT_EQ(encrypted("sixteen letters!"), encrypted("sixteen letters! more"));
  EXPECT_NE(encrypted("abc"), encrypted("abd"));
}

// OpenSSL's own modes, sector by sector.
Bytes ByOpenSsl(const EVP_CIPHER* algorithm, const Bytes& key,
                uint64_t first_sector, Bytes data) {
  const CipherContext context(EVP_CIPHER_CTX_new());
  for (size_t at = 0; at < data.size(); at += kCipherSectorSize) {
    std::array<unsigned char, 16> vector = {};
    const uint64_t sector = first_sector + at / kCipherSectorSize;
    for (size_t i = 0; i < 8; ++i) {
      vector[i] = static_cast<unsigned char>(sector >> (8 * i));
    }
    EVP_EncryptInit_ex(context.get(), algorithm, nullptr, OpenSslInput(key),
                       vector.data());
    EVP_CIPHER_CTX_set_padding(context.get(), 0);
    const auto one = std::span(data).subspan(at, kCipherSectorSize);
    int length = 0;
    EVP_EncryptUpdate(context.get(), OpenSslOutput(one), &length,
                      OpenSslInput(one), kCipherSectorSize);
  }
  return data;
}

TEST(SectorCipherTest, AgreesWithTheModesOfOpenSsl) {
  struct Case {
    const EVP_CIPHER* algorithm;
    CipherMode mode;
    size_t key_bytes;
  };
  for (const Case& c : {Case{EVP_aes_128_xts(), CipherMode::kXts, 32},
                        Case{EVP_aes_256_xts(), CipherMode::kXts, 64},
                        Case{EVP_aes_128_cbc(), CipherMode::kCbc, 16},
                        Case{EVP_aes_192_cbc(), CipherMode::kCbc, 24},
                        Case{EVP_aes_256_cbc(), CipherMode::kCbc, 32}}) {
    const Bytes key = Key(c.key_bytes, 7);
    const auto cipher =
        Cipher(Spec(c.mode, IvGenerator::kPlain64, c.key_bytes), key);
    for (size_t sectors : {1, 7, 8, 9, 16, 31}) {
      const Bytes plain = Key(sectors * kCipherSectorSize, 8);
      Bytes data = plain;
      ASSERT_TRUE(cipher->Encrypt(0xfffffff9, data).ok());
      EXPECT_EQ(data, ByOpenSsl(c.algorithm, key, 0xfffffff9, plain))
          << sectors << " sectors, key of " << c.key_bytes;
    }
  }
}

TEST(SectorCipherTest, EverySpecRoundTripsAndIsItsOwn) {
  std::vector<Bytes> seen;
  for (const SectorCipherSpec& spec : AllSpecs()) {
    const auto cipher = Cipher(spec, Key(spec.key_bytes, 3));
    const Bytes plain = Key(11 * kCipherSectorSize, 4);
    Bytes data = plain;
    // A number that plain and plain64 see differently.
    ASSERT_TRUE(cipher->Encrypt(uint64_t{5} << 32, data).ok());
    EXPECT_EQ(std::count(seen.begin(), seen.end(), data), 0)
        << LuksCipherMode(spec);
    seen.push_back(data);
    ASSERT_TRUE(cipher->Decrypt(uint64_t{5} << 32, data).ok());
    EXPECT_EQ(data, plain) << LuksCipherMode(spec);
  }
}

TEST(SectorCipherTest, PlainSeesTheLow32BitsOnly) {
  for (IvGenerator generator : {IvGenerator::kPlain, IvGenerator::kPlain64}) {
    const auto cipher =
        Cipher(Spec(CipherMode::kXts, generator, 64), Key(64, 1));
    Bytes near = CountingSector();
    Bytes far = CountingSector();
    ASSERT_TRUE(cipher->Encrypt(9, near).ok());
    ASSERT_TRUE(cipher->Encrypt((uint64_t{1} << 32) + 9, far).ok());
    EXPECT_EQ(near == far, generator == IvGenerator::kPlain);
  }
}

// Sectors on their own, in any grouping, are what they are together.
TEST(SectorCipherTest, SectorsAreIndependent) {
  for (const SectorCipherSpec& spec : AllSpecs()) {
    const auto cipher = Cipher(spec, Key(spec.key_bytes, 3));
    Bytes together = Key(20 * kCipherSectorSize, 4);
    Bytes apart = together;
    ASSERT_TRUE(cipher->Encrypt(100, together).ok());
    for (size_t i = 0; i < 20; ++i) {
      ASSERT_TRUE(
          cipher
              ->Encrypt(100 + i, std::span(apart).subspan(i * kCipherSectorSize,
                                                          kCipherSectorSize))
              .ok());
    }
    EXPECT_EQ(together, apart) << LuksCipherMode(spec);
  }
}

TEST(SectorCipherTest, ServesSeveralThreadsAtOnce) {
  const auto cipher =
      Cipher(Spec(CipherMode::kXts, IvGenerator::kEssiv, 64), Key(64, 1));
  const Bytes plain = Key(64 * kCipherSectorSize, 2);
  Bytes expected = plain;
  ASSERT_TRUE(cipher->Encrypt(77, expected).ok());
  std::array<bool, 4> right = {};
  std::vector<std::thread> threads;
  threads.reserve(right.size());
  for (bool& mine : right) {
    threads.emplace_back([&] {
      mine = true;
      for (int i = 0; i < 200; ++i) {
        Bytes data = plain;
        mine = cipher->Encrypt(77, data).ok() && data == expected &&
               cipher->Decrypt(77, data).ok() && data == plain && mine;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(right, ::testing::Each(true));
}

TEST(SectorCipherTest, TakesWholeSectorsWithNumbersOnly) {
  const auto cipher =
      Cipher(Spec(CipherMode::kXts, IvGenerator::kPlain64, 64), Key(64, 1));
  Bytes data(2 * kCipherSectorSize);
  EXPECT_TRUE(cipher->Encrypt(0, {}).ok());
  EXPECT_EQ(cipher->Encrypt(0, std::span(data).first(511)).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(cipher->Decrypt(~uint64_t{0}, data).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(SectorCipherTest, KeyMustFit) {
  const Bytes key(64);
  for (size_t size : {0, 16, 32, 63}) {
    EXPECT_EQ(
        SectorCipher::Create(Spec(CipherMode::kXts, IvGenerator::kPlain64, 64),
                             std::span(key).first(size))
            .status()
            .code(),
        absl::StatusCode::kInvalidArgument);
  }
  // The specification itself asks for a key AES does not have.
  EXPECT_EQ(
      SectorCipher::Create(Spec(CipherMode::kCbc, IvGenerator::kPlain64, 20),
                           std::span(key).first(20))
          .status()
          .code(),
      absl::StatusCode::kInvalidArgument);
}

TEST(SectorCipherTest, EssivTakesHashesAsLongAsAKey) {
  const Bytes key(32);
  for (const char* hash : {"sha256", "md5"}) {
    EXPECT_TRUE(SectorCipher::Create(
                    {CipherMode::kCbc, IvGenerator::kEssiv, hash, 32}, key)
                    .ok())
        << hash;
  }
  for (const char* hash : {"sha1", "sha224", "sha512", "whirlpool", ""}) {
    EXPECT_EQ(SectorCipher::Create(
                  {CipherMode::kCbc, IvGenerator::kEssiv, hash, 32}, key)
                  .status()
                  .code(),
              absl::StatusCode::kUnimplemented)
        << hash;
  }
}

TEST(ParseLuksCipherTest, ReadsWhatItWrites) {
  for (const SectorCipherSpec& spec : AllSpecs()) {
    const auto parsed =
        ParseLuksCipher("aes", LuksCipherMode(spec), spec.key_bytes);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, spec);
  }
  EXPECT_EQ(LuksCipherMode(Spec(CipherMode::kCbc, IvGenerator::kEssiv, 32)),
            "cbc-essiv:sha256");
  EXPECT_EQ(*ParseLuksCipher("aes", "xts-plain64:sha1", 64),
            Spec(CipherMode::kXts, IvGenerator::kPlain64, 64));
}

TEST(ParseLuksCipherTest, NamesWhatItDoesNotKnow) {
  struct Case {
    const char* cipher;
    const char* mode;
    const char* named;
  };
  for (const Case& c : {Case{"serpent", "xts-plain64", "cipher \"serpent\""},
                        Case{"twofish", "xts-plain64", "cipher \"twofish\""},
                        Case{"a\nb", "xts-plain64", "cipher \"a?b\""},
                        Case{"aes", "ecb", "cipher mode \"ecb\""},
                        Case{"aes", "ecb-plain64", "cipher mode \"ecb\""},
                        Case{"aes", "ctr-plain", "cipher mode \"ctr\""},
                        Case{"aes", "", "cipher mode \"\""},
                        Case{"aes", "xts-benbi", "vectors \"benbi\""},
                        Case{"aes", "xts-", "vectors \"\""}}) {
    const absl::Status status = ParseLuksCipher(c.cipher, c.mode, 64).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << c.mode;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.named));
  }
}

TEST(ParseLuksCipherTest, DamageIsDamage) {
  EXPECT_EQ(ParseLuksCipher("aes", "xts", 64).status().code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(ParseLuksCipher("aes", "cbc-essiv", 32).status().code(),
            absl::StatusCode::kDataLoss);
  for (uint64_t key_bytes : {uint64_t{0}, uint64_t{16}, uint64_t{63},
                             uint64_t{128}, uint64_t{64} << 32}) {
    EXPECT_EQ(ParseLuksCipher("aes", "xts-plain64", key_bytes).status().code(),
              absl::StatusCode::kDataLoss);
  }
  EXPECT_EQ(ParseLuksCipher("aes", "cbc-plain64", 64).status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace qcow2
