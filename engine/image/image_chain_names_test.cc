#include "engine/image/image_chain_names.h"

#include <string>

#include "engine/format/header_extension.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::HasSubstr;

std::string PathOf(std::string_view image, std::string_view name) {
  const absl::StatusOr<std::string> path = PathOfNamedFile(image, name);
  return path.ok() ? *path : path.status().ToString();
}

TEST(PathOfNamedFileTest, RelativeNamesStartFromTheImagesFolder) {
  EXPECT_EQ(PathOf("/disks/top.qcow2", "base.raw"), "/disks/base.raw");
  EXPECT_EQ(PathOf("disks/top.qcow2", "../base"), "disks/../base");
  EXPECT_EQ(PathOf("top.qcow2", "base"), "base");
  EXPECT_EQ(PathOf("/top.qcow2", "base"), "/base");
}

TEST(PathOfNamedFileTest, AbsoluteNamesStayAsTheyAre) {
  EXPECT_EQ(PathOf("/disks/top.qcow2", "/other/base"), "/other/base");
  EXPECT_EQ(PathOf("/disks/top.qcow2", "file:/other/base"), "/other/base");
}

TEST(PathOfNamedFileTest, AColonBehindASlashIsPartOfAPath) {
  EXPECT_EQ(PathOf("/disks/top", "./nbd:base"), "/disks/./nbd:base");
  EXPECT_EQ(PathOf("/disks/top", "/a:b"), "/a:b");
}

TEST(PathOfNamedFileTest, NamesThatAreNoPathsAreRefusedByName) {
  for (const std::string name :
       {"json:{\"driver\":\"raw\"}", "nbd:localhost:10809",
        "nbd://localhost/disk", "http://host/base.qcow2", "file:base"}) {
    const absl::Status status = PathOfNamedFile("/a/top", name).status();
    EXPECT_TRUE(absl::IsUnimplemented(status)) << name << ": " << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(name.substr(0, name.find(':') + 1)));
  }
}

TEST(PathOfNamedFileTest, NamesNoFileCanHaveAreRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(PathOfNamedFile("/a/top", "").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      PathOfNamedFile("/a/top", std::string_view("a\0b", 3)).status()));
}

TEST(BackingFormatOfTest, IsTheExtensionsText) {
  HeaderArea area;
  EXPECT_EQ(*BackingFormatOf(area), DiskFormat::kAuto);
  area.Set(kExtensionBackingFormat, "raw");
  EXPECT_EQ(*BackingFormatOf(area), DiskFormat::kRaw);
  area.Set(kExtensionBackingFormat, "qcow2");
  EXPECT_EQ(*BackingFormatOf(area), DiskFormat::kQcow2);
  area.Set(kExtensionBackingFormat, "vmdk");
  const absl::Status refused = BackingFormatOf(area).status();
  EXPECT_TRUE(absl::IsUnimplemented(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("'vmdk'"));
}

absl::StatusOr<DiskFormat> Probe(std::string_view text) {
  return ProbeFormat(MemoryFile(Bytes(text)));
}

TEST(ProbeFormatTest, TellsImagesFromRawDisks) {
  EXPECT_EQ(*Probe(std::string_view("QFI\xfb\0\0\0\2", 8)), DiskFormat::kQcow2);
  EXPECT_EQ(*Probe(std::string_view("QFI\xfb\0\0\0\3", 8)), DiskFormat::kQcow2);
  EXPECT_EQ(*Probe(std::string_view("\0\0\0\0\0\0\0\0", 8)), DiskFormat::kRaw);
  EXPECT_EQ(*Probe("QFI"), DiskFormat::kRaw);
  EXPECT_EQ(*Probe(""), DiskFormat::kRaw);
}

TEST(ProbeFormatTest, OtherFormatsAreNotTakenForRawDisks) {
  EXPECT_TRUE(absl::IsUnimplemented(
      Probe(std::string_view("QFI\xfb\0\0\0\1", 8)).status()));
  EXPECT_TRUE(absl::IsUnimplemented(Probe("KDMV....").status()));
  EXPECT_TRUE(absl::IsUnimplemented(Probe("vhdxfile").status()));
}

}  // namespace
}  // namespace qcow2
