#include "cli/other_files.h"

#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

std::string Resolved(const std::string& name, const std::string& base) {
  const absl::StatusOr<std::string> path = ResolveOtherFile(name, base);
  return path.ok() ? *path : "error: " + std::string(path.status().message());
}

TEST(OtherFilesTest, RelativeNamesCountFromTheImage) {
  EXPECT_EQ(Resolved("base.qcow2", "/images/disk.qcow2"), "/images/base.qcow2");
  EXPECT_EQ(Resolved("../base.qcow2", "images/disk.qcow2"),
            "images/../base.qcow2");
  EXPECT_EQ(Resolved("base.qcow2", "disk.qcow2"), "base.qcow2");
  EXPECT_EQ(Resolved("base.qcow2", "/disk.qcow2"), "/base.qcow2");
}

TEST(OtherFilesTest, AbsoluteNamesStay) {
  EXPECT_EQ(Resolved("/a/base.qcow2", "/images/disk.qcow2"), "/a/base.qcow2");
}

TEST(OtherFilesTest, TheFilePrefixIsDropped) {
  EXPECT_EQ(Resolved("file:base.qcow2", "/images/d"), "/images/base.qcow2");
  EXPECT_EQ(Resolved("file:/a:b", "/images/d"), "/a:b");
}

TEST(OtherFilesTest, AColonBehindASlashIsPartOfTheName) {
  EXPECT_EQ(Resolved("./a:b", "/images/d"), "/images/./a:b");
}

TEST(OtherFilesTest, ProtocolsAreNotLocal) {
  for (const char* name : {"nbd://host/disk", "json:{\"driver\":\"raw\"}",
                           "https://host/disk.qcow2", "rbd:pool/disk"}) {
    EXPECT_EQ(ResolveOtherFile(name, "/d").status().code(),
              absl::StatusCode::kUnimplemented)
        << name;
  }
}

TEST(OtherFilesTest, OpeningSaysWhatIsWrong) {
  constexpr NamedFilePolicy kFollow = NamedFilePolicy::kFollow;
  EXPECT_EQ(OpenOtherFile("missing", "/nowhere/disk", kFollow).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(OpenOtherFile("/dev/null", "", kFollow).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(IsPolicyRefusal(
      OpenOtherFile("/dev/null", "/tmp", NamedFilePolicy::kSameDirectory)
          .status()));
}

}  // namespace
}  // namespace qcow2::cli
