#include "repair/journal/crc32c.h"

#include <cstddef>
#include <random>
#include <vector>

#include "engine/storage/testing.h"
#include "gtest/gtest.h"

namespace qcow2::repair {
namespace {

// The examples of RFC 3720, appendix B.4, and the usual check value.
TEST(Crc32cTest, KnownValues) {
  EXPECT_EQ(Crc32c(Bytes("123456789")), 0xe3069283u);
  EXPECT_EQ(Crc32c({}), 0u);
  EXPECT_EQ(Crc32c(std::vector<std::byte>(32)), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::vector<std::byte>(32, std::byte{0xff})), 0x62a8ab43u);
}

TEST(Crc32cTest, InPiecesAndByTableTheSame) {
  std::mt19937_64 random(1);
  for (size_t length = 0; length < 100; ++length) {
    std::vector<std::byte> bytes(length);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    const uint32_t expected = Crc32c(bytes);
    EXPECT_EQ(Crc32cByTable(bytes), expected) << length;
    const std::span<const std::byte> all = bytes;
    const size_t cut = length / 3;
    EXPECT_EQ(Crc32c(all.subspan(cut), Crc32c(all.first(cut))), expected);
    EXPECT_EQ(Crc32cByTable(all.subspan(cut), Crc32cByTable(all.first(cut))),
              expected);
  }
}

}  // namespace
}  // namespace qcow2::repair
