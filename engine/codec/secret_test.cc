#include "engine/codec/secret.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace {

// The last piece of memory that was wiped.
const void* wiped = nullptr;
size_t wiped_bytes = 0;

}  // namespace

// In place of OpenSSL's, in this program.
extern "C" void OPENSSL_cleanse(void* memory, size_t length) {
  std::fill_n(static_cast<volatile std::byte*>(memory), length, std::byte{0});
  wiped = memory;
  wiped_bytes = length;
}

namespace qcow2 {
namespace {

std::string TextOf(const Secret& secret) {
  std::string text;
  for (std::byte byte : secret.bytes()) text += static_cast<char>(byte);
  return text;
}

std::string FileWith(std::string_view content) {
  std::string path = ::testing::TempDir() + "/secret";
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

TEST(SecretTest, MovesAndLeavesNothingBehind) {
  Secret first = Secret::FromText("open sesame");
  Secret second = std::move(first);
  EXPECT_EQ(TextOf(second), "open sesame");
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move)
  Secret third = Secret::FromText("x");
  third = std::move(second);
  EXPECT_EQ(TextOf(third), "open sesame");
  EXPECT_EQ(third.size(), 11u);
}

TEST(SecretTest, IsWipedWhenItGoes) {
  const void* memory = nullptr;
  {
    const Secret secret = Secret::FromText("open sesame");
    memory = secret.bytes().data();
  }
  EXPECT_EQ(wiped, memory);
  EXPECT_EQ(wiped_bytes, 11u);
}

TEST(SecretTest, IsWipedWhenAnotherTakesItsPlace) {
  Secret secret = Secret::FromText("sesame");
  const void* const memory = secret.bytes().data();
  Secret other = Secret::FromText("x");
  secret = std::move(other);
  EXPECT_EQ(wiped, memory);
  EXPECT_EQ(wiped_bytes, 6u);
}

TEST(SecretTest, FileLosesExactlyOneNewline) {
  EXPECT_EQ(TextOf(*LoadSecretFile(FileWith("abc"))), "abc");
  EXPECT_EQ(TextOf(*LoadSecretFile(FileWith("abc\n"))), "abc");
  EXPECT_EQ(TextOf(*LoadSecretFile(FileWith("abc\n\n"))), "abc\n");
  EXPECT_EQ(TextOf(*LoadSecretFile(FileWith(" a\r\n"))), " a\r");
  EXPECT_EQ(TextOf(*LoadSecretFile(FileWith(std::string("a\0b", 3)))),
            std::string("a\0b", 3));
}

TEST(SecretTest, FileThatHoldsNoneIsRefused) {
  for (const char* content : {"", "\n"}) {
    EXPECT_EQ(LoadSecretFile(FileWith(content)).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(LoadSecretFile("/nowhere/secret").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_FALSE(LoadSecretFile(::testing::TempDir()).ok());
}

TEST(SecretTest, LengthIsBounded) {
  const std::string longest(kMaxSecretBytes, 'a');
  EXPECT_EQ(LoadSecretFile(FileWith(longest + "\n"))->size(), kMaxSecretBytes);
  for (const char* more : {"a", "a\n", "\n\n", "aaaaaaaaaaaaa"}) {
    EXPECT_EQ(LoadSecretFile(FileWith(longest + more)).status().code(),
              absl::StatusCode::kInvalidArgument)
        << more;
  }
}

TEST(SecretTest, ReadsAPipeToItsEnd) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "open ", 5), 5);
  ASSERT_EQ(write(ends[1], "sesame\n", 7), 7);
  close(ends[1]);
  const auto secret = LoadSecretFile("/dev/fd/" + std::to_string(ends[0]));
  close(ends[0]);
  ASSERT_TRUE(secret.ok()) << secret.status();
  EXPECT_EQ(TextOf(*secret), "open sesame");
}

TEST(SecretTest, VariableIsTakenAsItIs) {
  setenv("QCOW2_SECRET_TEST", "abc\n", 1);
  EXPECT_EQ(TextOf(*LoadSecretVariable("QCOW2_SECRET_TEST")), "abc\n");
  setenv("QCOW2_SECRET_TEST", "", 1);
  EXPECT_EQ(LoadSecretVariable("QCOW2_SECRET_TEST").status().code(),
            absl::StatusCode::kInvalidArgument);
  unsetenv("QCOW2_SECRET_TEST");
  EXPECT_EQ(LoadSecretVariable("QCOW2_SECRET_TEST").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace qcow2
