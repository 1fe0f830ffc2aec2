#include "cli/fleet/header_look.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/format/header.h"
#include "engine/format/header_extension.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

Header Sound() {
  Header header;
  header.size = uint64_t{1} << 30;
  header.l1_size = 2;
  header.l1_table_offset = HostOffset(0x30000);
  header.refcount_table_offset = HostOffset(0x10000);
  header.refcount_table_clusters = 1;
  return header;
}

std::vector<std::byte> Bytes(const Header& header) {
  std::vector<std::byte> bytes = header.Encode();
  bytes.resize(4096);
  return bytes;
}

void Put(std::vector<std::byte>& bytes, size_t offset, std::string_view text) {
  std::ranges::transform(text, bytes.begin() + static_cast<ptrdiff_t>(offset),
                         [](char c) { return static_cast<std::byte>(c); });
}

std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

TEST(HeaderLookTest, ASoundHeaderIsAnImage) {
  EXPECT_EQ(LookAtHeader(Bytes(Sound())).look, Look::kImage);
  Header old = Sound();
  old.version = 2;
  EXPECT_EQ(LookAtHeader(Bytes(old)).look, Look::kImage);
}

TEST(HeaderLookTest, ADamagedHeaderStillIsAnImage) {
  for (const auto& damage : std::vector<void (*)(Header&)>{
           [](Header& header) { header.version = 77; },
           [](Header& header) { header.cluster_bits = 63; },
           [](Header& header) { header.l1_table_offset = HostOffset(1); },
           [](Header& header) { header.refcount_table_offset = HostOffset(0); },
           [](Header& header) { header.refcount_table_clusters = 0; },
           [](Header& header) { header.crypt_method = 9; },
           [](Header& header) { header.nb_snapshots = ~0u; },
           [](Header& header) {
             header.cluster_bits = 1;
             header.refcount_order = 60;
             header.crypt_method = 9;
           }}) {
    Header header = Sound();
    damage(header);
    EXPECT_EQ(LookAtHeader(Bytes(header)).look, Look::kImage);
  }
}

TEST(HeaderLookTest, TheMagicAloneMakesNoImage) {
  std::vector<std::byte> zeros(4096);
  Put(zeros, 0, "QFI\xfb");
  EXPECT_EQ(LookAtHeader(zeros).look, Look::kDoubtful);
  std::vector<std::byte> text(4096, std::byte{'n'});
  Put(text, 0, "QFI\xfb");
  EXPECT_EQ(LookAtHeader(text).look, Look::kDoubtful);
  EXPECT_EQ(LookAtHeader(AsBytes("QFI\xfb")).look, Look::kDoubtful);
}

TEST(HeaderLookTest, WithoutTheMagicItIsSomethingElse) {
  Header header = Sound();
  header.magic = 0x514649fa;
  EXPECT_EQ(LookAtHeader(Bytes(header)).look, Look::kOther);
  EXPECT_EQ(LookAtHeader({}).look, Look::kOther);
  EXPECT_EQ(LookAtHeader(AsBytes("QFI")).look, Look::kOther);
}

TEST(HeaderLookTest, TheNamesOfOtherFiles) {
  Header header = Sound();
  header.incompatible_features = kIncompatibleDataFile;
  header.backing_file_offset = HostOffset(1024);
  header.backing_file_size = 10;
  std::vector<std::byte> bytes = Bytes(header);
  Put(bytes, 1024, "base.qcow2 and more");
  std::vector<std::byte> extensions =
      EncodeHeaderExtension(kExtensionBackingFormat, AsBytes("raw"));
  const std::vector<std::byte> data =
      EncodeHeaderExtension(kExtensionDataFile, AsBytes("disk.data"));
  extensions.insert(extensions.end(), data.begin(), data.end());
  std::ranges::copy(extensions, bytes.begin() + header.header_length);
  const HeaderLook look = LookAtHeader(bytes);
  EXPECT_EQ(look.backing_file, "base.qcow2");
  EXPECT_EQ(look.backing_format, "raw");
  EXPECT_EQ(look.data_file, "disk.data");
}

TEST(HeaderLookTest, ANameOutsideTheBytesIsNone) {
  Header header = Sound();
  header.backing_file_offset = HostOffset(4090);
  header.backing_file_size = 10;
  EXPECT_EQ(LookAtHeader(Bytes(header)).backing_file, "");
}

}  // namespace
}  // namespace qcow2::cli
