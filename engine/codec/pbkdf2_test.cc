#include "engine/codec/pbkdf2.h"

#include <string_view>
#include <vector>

#include "engine/format/test_bytes.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

std::span<const std::byte> Text(std::string_view text) {
  return std::as_bytes(std::span(text));
}

TEST(Pbkdf2Test, GivesKnownAnswers) {
  struct Case {
    const char* hash;
    uint32_t iterations;
    const char* passphrase;
    const char* salt;
    const char* key;
  };
  // The first is of RFC 6070, the second its longest moved to SHA-256.
  for (const Case& c :
       {Case{"sha1", 2, "password", "salt",
             "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"},
        Case{"sha256", 4096, "passwordPASSWORDpassword",
             "saltSALTsaltSALTsaltSALTsaltSALTsalt",
             "348c89dbcbd32b2f32d814b8116e84cf2b17347ebc1800181c4e2a1fb8dd53e1"
             "c635518c7dac47e9"},
        Case{"sha512", 1, "password", "salt",
             "867f70cf1ade02cff3752599a3a53dc4"}}) {
    const std::vector<std::byte> expected = FromHex(c.key);
    std::vector<std::byte> key(expected.size());
    ASSERT_TRUE(DeriveKey(*CryptoHash::Named(c.hash), Text(c.passphrase),
                          Text(c.salt), c.iterations, key)
                    .ok());
    EXPECT_EQ(key, expected) << c.hash;
  }
}

TEST(Pbkdf2Test, EmptyPassphraseIsOneOfItsOwn) {
  const CryptoHash hash = *CryptoHash::Named("sha256");
  std::vector<std::byte> empty(32);
  std::vector<std::byte> other(32);
  ASSERT_TRUE(DeriveKey(hash, {}, Text("salt"), 1, empty).ok());
  ASSERT_TRUE(DeriveKey(hash, Text("a"), Text("salt"), 1, other).ok());
  EXPECT_NE(empty, other);
}

TEST(Pbkdf2Test, IterationsMustBeCountable) {
  const CryptoHash hash = *CryptoHash::Named("sha256");
  std::vector<std::byte> key(32);
  for (uint32_t iterations : {0u, 0x80000000u, 0xffffffffu}) {
    EXPECT_EQ(DeriveKey(hash, Text("a"), Text("b"), iterations, key).code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(Pbkdf2Test, CostCountsBlocks) {
  EXPECT_EQ(DerivationCost(*CryptoHash::Named("sha256"), 1000, 64), 2000u);
  EXPECT_EQ(DerivationCost(*CryptoHash::Named("sha1"), 1000, 64), 4000u);
  EXPECT_EQ(DerivationCost(*CryptoHash::Named("sha512"), 1000, 20), 1000u);
  EXPECT_EQ(DerivationCost(*CryptoHash::Named("md5"), 0xffffffff, 64),
            uint64_t{0xffffffff} * 4);
}

TEST(Pbkdf2Test, MeasuresNoLessThanTheLeast) {
  const CryptoHash hash = *CryptoHash::Named("sha512");
  EXPECT_EQ(*MeasureIterations(hash, 64, std::chrono::milliseconds(0)),
            kMinIterations);
  // No processor does as few in a minute.
  EXPECT_GT(*MeasureIterations(hash, 64, std::chrono::minutes(1)),
            kMinIterations);
}

}  // namespace
}  // namespace qcow2
