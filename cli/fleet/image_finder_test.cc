#include "cli/fleet/image_finder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "engine/format/header.h"
#include "engine/format/header_extension.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

namespace fs = std::filesystem;

class ImageFinderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/finder.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    options_.recursive = true;
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string Path(const std::string& name) const { return root_ / name; }

  void Write(const std::string& name, std::string_view content) {
    fs::create_directories(fs::path(Path(name)).parent_path());
    std::ofstream(Path(name), std::ios::binary) << content;
  }

  // The first bytes of an image that names a backing file.
  static std::string Image(const std::string& backing = "",
                           const std::string& format = "",
                           const std::string& data_file = "") {
    Header header;
    header.size = uint64_t{1} << 30;
    header.l1_size = 2;
    header.l1_table_offset = HostOffset(0x30000);
    header.refcount_table_offset = HostOffset(0x10000);
    header.refcount_table_clusters = 1;
    if (!data_file.empty()) {
      header.incompatible_features = kIncompatibleDataFile;
    }
    header.backing_file_size = static_cast<uint32_t>(backing.size());
    if (!backing.empty()) header.backing_file_offset = HostOffset(2048);
    std::string content = AsText(header.Encode());
    const auto add = [&](uint32_t type, const std::string& text) {
      content +=
          AsText(EncodeHeaderExtension(type, std::as_bytes(std::span(text))));
    };
    if (!format.empty()) add(kExtensionBackingFormat, format);
    if (!data_file.empty()) add(kExtensionDataFile, data_file);
    content.resize(2048);
    content += backing;
    content.resize(4096);
    return content;
  }

  static std::string AsText(const std::vector<std::byte>& bytes) {
    std::string text;
    for (const std::byte byte : bytes) text += static_cast<char>(byte);
    return text;
  }

  // The paths found below the root.
  std::vector<std::string> Find() {
    found_ = FindImages(
        {.arguments =
             arguments_.empty() ? std::vector{root_.string()} : arguments_,
         .options = options_,
         .was_image =
             [this](const std::string& path) { return path == known_; },
         .remark = [this](const std::string& what) { remarks_ += what; },
         .named_files = named_files_});
    std::vector<std::string> names;
    for (const FleetImage& image : found_.images) {
      names.push_back(fs::relative(image.path, root_));
    }
    return names;
  }

  using Names = std::vector<std::string>;
  fs::path root_;
  std::vector<std::string> arguments_;
  FleetOptions options_;
  std::string known_;
  NamedFilePolicy named_files_ = NamedFilePolicy::kFollow;
  FoundImages found_;
  std::string remarks_;
};

TEST_F(ImageFinderTest, ByContentAndInOrder) {
  Write("b.img", Image());
  Write("a/deep/er/disk", Image());
  Write("a.txt", "no image");
  Write("raw.qcow2", std::string(4096, '\0'));
  Write("magic", std::string("QFI\xfb").append(4096, '\0'));
  Write("empty", "");
  EXPECT_EQ(Find(), (Names{"b.img", "a/deep/er/disk"}));
  EXPECT_EQ(found_.doubtful, 2u);
  EXPECT_NE(remarks_.find("raw.qcow2' is called .qcow2"), std::string::npos);
  EXPECT_NE(remarks_.find("magic' begins like"), std::string::npos);
  EXPECT_TRUE(found_.errors.empty());
}

TEST_F(ImageFinderTest, NothingButFoldersAndRegularFilesIsOpened) {
  Write("outside/disk", Image());
  Write("tree/disk", Image());
  fs::create_symlink("../outside", Path("tree/folder-link"));
  fs::create_symlink("../outside/disk", Path("tree/file-link"));
  fs::create_symlink(".", Path("tree/loop"));
  // Who opens it for reading waits for a writer, for ever.
  ASSERT_EQ(mkfifo(Path("tree/fifo").c_str(), 0600), 0);
  arguments_ = {Path("tree")};
  EXPECT_EQ(Find(), Names{"tree/disk"});
  EXPECT_TRUE(found_.errors.empty());
}

TEST_F(ImageFinderTest, TheRootMayBeALinkAndEndWithASlash) {
  Write("tree/disk", Image());
  fs::create_directory_symlink("tree", Path("link"));
  arguments_ = {Path("link/")};
  ASSERT_EQ(Find().size(), 1u);
  EXPECT_EQ(found_.images[0].path, Path("link/disk"));
}

TEST_F(ImageFinderTest, WhatBecomesALinkLaterIsNotOpened) {
  Write("outside/disk", Image());
  Write("tree/folder/disk", Image());
  arguments_ = {Path("tree")};
  ASSERT_EQ(Find().size(), 1u);
  EXPECT_TRUE(OpenFound(found_.images[0]).ok());
  fs::remove_all(Path("tree/folder"));
  fs::create_directory_symlink("../outside", Path("tree/folder"));
  EXPECT_FALSE(OpenFound(found_.images[0]).ok());
  fs::remove(Path("tree/folder"));
  fs::create_directory(Path("tree/folder"));
  fs::create_symlink("../../outside/disk", Path("tree/folder/disk"));
  EXPECT_FALSE(OpenFound(found_.images[0]).ok());
  fs::remove(Path("tree/folder/disk"));
  ASSERT_EQ(mkfifo(Path("tree/folder/disk").c_str(), 0600), 0);
  EXPECT_FALSE(OpenFound(found_.images[0]).ok());
}

TEST_F(ImageFinderTest, AFolderThatCannotBeReadIsAnErrorAndNotTheEnd) {
  if (geteuid() == 0) GTEST_SKIP() << "root can read every folder";
  Write("a/disk", Image());
  Write("b/disk", Image());
  fs::permissions(Path("a"), fs::perms::none);
  EXPECT_EQ(Find(), Names{"b/disk"});
  ASSERT_EQ(found_.errors.size(), 1u);
  fs::permissions(Path("a"), fs::perms::owner_all);
}

TEST_F(ImageFinderTest, EachFileOnceWhateverItsNames) {
  Write("disk", Image());
  fs::create_hard_link(Path("disk"), Path("other"));
  arguments_ = {root_, Path("disk")};
  EXPECT_EQ(Find(), Names{"disk"});
  EXPECT_EQ(found_.other_names, 2u);
}

TEST_F(ImageFinderTest, Excluded) {
  for (const char* name : {"disk", "old/disk", "a/old/disk", "a/b/disk.bak"}) {
    Write(name, Image());
  }
  options_.exclude = {"old"};
  EXPECT_EQ(Find(), (Names{"disk", "a/b/disk.bak"}));
  options_.exclude = {"*.bak", "a/old"};
  EXPECT_EQ(Find(), (Names{"disk", "old/disk"}));
  options_.exclude = {Path("a")};
  EXPECT_EQ(Find(), (Names{"disk", "old/disk"}));
  options_.exclude = {"*"};
  EXPECT_EQ(Find(), Names{});
}

TEST_F(ImageFinderTest, NewerThan) {
  Write("old", Image());
  Write("new", Image());
  const timespec long_ago[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, Path("old").c_str(), long_ago, 0), 0);
  options_.newer_than = 1'000'000'000;
  EXPECT_EQ(Find(), Names{"new"});
  options_.newer_than = 999'999'999;
  EXPECT_EQ(Find(), (Names{"new", "old"}));
}

TEST_F(ImageFinderTest, ABaseIsThereOnceAndKnowsItsOverlays) {
  Write("base", Image());
  Write("overlay1", Image("base", "qcow2"));
  Write("sub/overlay2", Image("../base"));
  Write("sub/lost", Image("gone", "qcow2"));
  EXPECT_EQ(Find(), (Names{"base", "overlay1", "sub/lost", "sub/overlay2"}));
  EXPECT_EQ(found_.images[0].overlays, 2u);
  EXPECT_EQ(found_.images[1].overlays, 0u);
}

TEST_F(ImageFinderTest, BackingFilesElsewhereComeOnlyWhenAskedFor) {
  Write("bases/root", Image());
  Write("bases/base", Image("root", "qcow2"));
  Write("bases/raw", "a raw disk");
  Write("tree/overlay1", Image("../bases/base", "qcow2"));
  Write("tree/overlay2", Image("../bases/base", "qcow2"));
  Write("tree/overlay3", Image("../bases/raw"));
  arguments_ = {Path("tree")};
  EXPECT_EQ(Find().size(), 3u);
  options_.backing_files = true;
  EXPECT_EQ(Find(), (Names{"tree/overlay1", "tree/overlay2", "tree/overlay3",
                           "bases/base", "bases/root"}));
  EXPECT_EQ(found_.images[3].overlays, 2u);
  EXPECT_EQ(found_.images[4].overlays, 1u);
  named_files_ = NamedFilePolicy::kSameDirectory;
  EXPECT_EQ(Find().size(), 3u);
}

// A guest can write to its raw disk whatever it likes.
TEST_F(ImageFinderTest, WhatAGuestWroteIsNoImage) {
  Write("data", Image());
  Write("with-data", Image("", "", "data"));
  Write("raw", Image());
  Write("on-raw", Image("raw", "raw"));
  EXPECT_EQ(Find(), (Names{"on-raw", "with-data"}));
  // Who names it means it.
  arguments_ = {Path("raw"), root_};
  EXPECT_EQ(Find(), (Names{"raw", "on-raw", "with-data"}));
}

TEST_F(ImageFinderTest, WhatWasAnImageStillIs) {
  Write("disk", std::string(4096, '\0'));
  known_ = Path("disk");
  EXPECT_EQ(Find(), Names{"disk"});
}

TEST_F(ImageFinderTest, WhatIsNamedIsTakenWhateverItIs) {
  Write("text", "no image");
  arguments_ = {Path("text"), Path("missing")};
  EXPECT_EQ(Find(), (Names{"text", "missing"}));
}

}  // namespace
}  // namespace qcow2::cli
