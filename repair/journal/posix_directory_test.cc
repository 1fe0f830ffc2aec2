#include "repair/journal/posix_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "engine/storage/overlay_file.h"
#include "engine/storage/posix_file.h"
#include "engine/storage/testing.h"
#include "gtest/gtest.h"
#include "repair/journal/commit.h"
#include "repair/journal/recover.h"
#include "repair/journal/undo.h"

namespace {

int folder_flushes = 0;
int flush_error = 0;

}  // namespace

// In place of the C library's, in this program; under names of their own, since
// the parameters have others there.
extern "C" int Fsync(int descriptor) asm("fsync");
int Fsync(int descriptor) {
  struct stat status;
  if (fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode)) {
    ++folder_flushes;
  }
  if (flush_error == 0) return static_cast<int>(syscall(SYS_fsync, descriptor));
  errno = flush_error;
  return -1;
}

namespace qcow2::repair {
namespace {

namespace fs = std::filesystem;

class PosixDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    // One of its own for each test.
    std::string pattern = testing::TempDir() + "/directory_test.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
    auto directory = PosixDirectory::Open(path_);
    ASSERT_TRUE(directory.ok()) << directory.status();
    directory_ = *std::move(directory);
  }
  void TearDown() override { fs::remove_all(path_); }

  std::string PathOf(const std::string& name) const {
    return path_ + "/" + name;
  }

  void Put(const std::string& name, const std::string& text) const {
    std::ofstream(PathOf(name)) << text;
    ASSERT_EQ(chmod(PathOf(name).c_str(), 0600), 0);
  }

  std::string TextOf(const std::string& name) const {
    std::ifstream file(PathOf(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  absl::StatusCode OpenCode(const std::string& name) const {
    return directory_->Open(name, OpenFor::kWriting).status().code();
  }

  std::string path_;
  std::unique_ptr<PosixDirectory> directory_;
};

TEST_F(PosixDirectoryTest, MakesFilesForTheOwnerOnly) {
  const mode_t before = umask(0);
  const auto file = directory_->CreateExclusive("a");
  umask(before);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(WriteText(**file, 0, "text").ok());
  struct stat status;
  ASSERT_EQ(stat(PathOf("a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_EQ(TextOf("a"), "text");
  EXPECT_EQ(directory_->CreateExclusive("a").status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(PosixDirectoryTest, FollowsNoLinks) {
  Put("target", "precious");
  fs::create_symlink("target", PathOf("link"));
  fs::create_symlink("nothing", PathOf("dangling"));
  EXPECT_EQ(OpenCode("link"), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(OpenCode("dangling"), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(directory_->CreateExclusive("link").status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(directory_->CreateExclusive("dangling").status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_FALSE(fs::exists(PathOf("nothing")));
  EXPECT_TRUE(*directory_->Exists("dangling"));
  // The link itself goes, not what it names.
  ASSERT_TRUE(directory_->Remove("link").ok());
  EXPECT_EQ(TextOf("target"), "precious");
}

TEST_F(PosixDirectoryTest, OpensRegularFilesOnly) {
  ASSERT_EQ(mkfifo(PathOf("fifo").c_str(), 0600), 0);
  fs::create_directory(PathOf("folder"));
  EXPECT_EQ(OpenCode("fifo"), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(directory_->Open("folder", OpenFor::kReading).ok());
  EXPECT_EQ(OpenCode("none"), absl::StatusCode::kNotFound);
  for (const char* name : {"", ".", "..", "a/b", "/etc/passwd"}) {
    EXPECT_EQ(OpenCode(name), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST_F(PosixDirectoryTest, OpensNothingThatOthersMayHaveWritten) {
  Put("journal", "text");
  EXPECT_EQ(OpenCode("journal"), absl::StatusCode::kOk);
  ASSERT_EQ(chmod(PathOf("journal").c_str(), 0620), 0);
  EXPECT_EQ(OpenCode("journal"), absl::StatusCode::kFailedPrecondition);
  ASSERT_EQ(chmod(PathOf("journal").c_str(), 0602), 0);
  EXPECT_EQ(OpenCode("journal"), absl::StatusCode::kFailedPrecondition);
  ASSERT_EQ(chmod(PathOf("journal").c_str(), 0600), 0);
  if (chown(PathOf("journal").c_str(), 4321, 4321) != 0) {
    GTEST_SKIP() << "only root can give files away";
  }
  EXPECT_EQ(OpenCode("journal"), absl::StatusCode::kFailedPrecondition);
  ASSERT_EQ(chown(path_.c_str(), 4321, 4321), 0);
  EXPECT_EQ(OpenCode("journal"), absl::StatusCode::kOk);
}

TEST_F(PosixDirectoryTest, ReadingDoesNotAskForMore) {
  Put("journal", "text");
  const auto file = directory_->Open("journal", OpenFor::kReading);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(ReadText(**file, 0, 10), "text");
  EXPECT_EQ(WriteText(**file, 0, "x").code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(PosixDirectoryTest, RenamesButNeverReplaces) {
  Put("a", "from a");
  Put("b", "from b");
  EXPECT_EQ(directory_->Rename("a", "b").code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(TextOf("b"), "from b");
  ASSERT_TRUE(directory_->Rename("a", "c").ok());
  EXPECT_EQ(TextOf("c"), "from a");
  EXPECT_FALSE(*directory_->Exists("a"));
  EXPECT_EQ(directory_->Rename("a", "d").code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(directory_->Sync().ok());
}

TEST_F(PosixDirectoryTest, SyncAsksTheSystem) {
  folder_flushes = 0;
  EXPECT_TRUE(directory_->Sync().ok());
  EXPECT_EQ(folder_flushes, 1);
  flush_error = EIO;
  EXPECT_FALSE(directory_->Sync().ok());
  // A file system that has no such thing for folders.
  flush_error = EINVAL;
  EXPECT_TRUE(directory_->Sync().ok());
  flush_error = 0;
}

TEST_F(PosixDirectoryTest, AScratchFileHasNoName) {
  const auto scratch = directory_->CreateScratch();
  ASSERT_TRUE(scratch.ok()) << scratch.status();
  ASSERT_TRUE(WriteText(**scratch, 5, "text").ok());
  EXPECT_EQ(ReadText(**scratch, 5, 10), "text");
  EXPECT_TRUE(fs::is_empty(path_));
}

TEST_F(PosixDirectoryTest, ResolvesToWhereTheFileReallyIs) {
  fs::create_directory(PathOf("real"));
  Put("real/image", "text");
  fs::create_symlink("real/image", PathOf("link"));
  const auto resolved = ResolveFile(PathOf("link"));
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->directory, fs::canonical(PathOf("real")).string());
  EXPECT_EQ(resolved->name, "image");
  EXPECT_EQ(ResolveFile(PathOf("none")).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(SplitFilePathTest, FolderAndName) {
  EXPECT_EQ(SplitFilePath("a")->directory, ".");
  EXPECT_EQ(SplitFilePath("/a")->directory, "/");
  EXPECT_EQ(SplitFilePath("b/c/a")->directory, "b/c");
  EXPECT_EQ(SplitFilePath("b/c/a")->name, "a");
  for (const char* path : {"", "/", "a/", "a/..", "."}) {
    EXPECT_EQ(SplitFilePath(path).status().code(),
              absl::StatusCode::kInvalidArgument)
        << path;
  }
}

// The whole way, on a file system.
TEST_F(PosixDirectoryTest, CommitAndUndo) {
  const std::string old_text(10000, 'o');
  Put("image", old_text);
  const auto image = *PosixFile::Open(PathOf("image"), {.writable = true});
  const ImageIdentity identity = {.device = image->identity().device,
                                  .inode = image->identity().inode};
  const auto scratch = *directory_->CreateScratch();
  const auto view = *OverlayFile::Create(
      *image, {.scratch = *scratch, .memory_max = OverlayFile::kGranule});
  ASSERT_TRUE(WriteText(*view, 0, "new").ok());
  ASSERT_TRUE(WriteText(*view, 5000, "new").ok());
  ASSERT_TRUE(WriteText(*view, 70000, "new").ok());
  const JournalPlace place = {.directory = *directory_,
                              .journal_name = DefaultJournalName("image"),
                              .undo_name = DefaultUndoName("image")};
  const CommitResult result = Commit({.image = *image,
                                      .identity = identity,
                                      .planned = *view,
                                      .witnesses = {{0, 10000}},
                                      .place = place});
  ASSERT_TRUE(result.status.ok()) << result.status;
  std::string new_text = old_text;
  new_text.resize(70003);
  for (const size_t offset : {0, 5000, 70000}) {
    new_text.replace(offset, 3, "new");
  }
  EXPECT_EQ(TextOf("image"), new_text);
  EXPECT_EQ(InspectJournal(*directory_, "image.fsck-undo")->state,
            JournalState::kApplied);
  EXPECT_EQ(fs::file_size(PathOf("image.fsck-undo")), result.journal_bytes);
  EXPECT_EQ(Recover(*image, identity, place)->found, JournalState::kNone);

  ASSERT_TRUE(Undo(*image, identity, place).ok());
  EXPECT_EQ(TextOf("image"), old_text);
  EXPECT_FALSE(fs::exists(PathOf("image.fsck-undo")));
}

TEST_F(PosixDirectoryTest, AJournalThatIsALinkIsNotUsed) {
  Put("image", "text");
  Put("elsewhere", "text");
  fs::create_symlink("elsewhere", PathOf("image.fsck-journal"));
  const auto image = *PosixFile::Open(PathOf("image"), {.writable = true});
  const auto view = *OverlayFile::Create(*image);
  ASSERT_TRUE(WriteText(*view, 0, "new").ok());
  const JournalPlace place = {.directory = *directory_,
                              .journal_name = DefaultJournalName("image"),
                              .undo_name = DefaultUndoName("image")};
  EXPECT_FALSE(Recover(*image, {}, place).ok());
  EXPECT_FALSE(Commit({.image = *image,
                       .identity = {},
                       .planned = *view,
                       .witnesses = {},
                       .place = place})
                   .status.ok());
  EXPECT_EQ(TextOf("image"), "text");
  EXPECT_EQ(TextOf("elsewhere"), "text");
}

}  // namespace
}  // namespace qcow2::repair
