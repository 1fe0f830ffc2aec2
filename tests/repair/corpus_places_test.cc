// Where a repair keeps its journal and its undo file: names that are none, and
// files that somebody else may have put there, are refused with the image as it
// was; and free space is not given back under an undo file that needs it.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "checker/report.h"
#include "repair/discard_freed.h"
#include "repair/repair.h"
#include "tests/corpus/case_test.h"
#include "tests/corpus/corpus_case.h"

namespace qcow2::corpus {
namespace {

namespace fs = std::filesystem;
using repair::Conclusion;
using repair::DiscardFreed;
using repair::DiscardRequest;
using repair::FindPendingJournal;
using repair::JournalPaths;
using repair::RecoverImage;
using repair::RecoverRequest;
using repair::RepairImage;
using repair::RepairReport;
using repair::RepairRequest;
using repair::UndoImage;

class CorpusPlacesTest : public CaseTest {
 protected:
  RepairReport Repair(const JournalPaths& paths) const {
    RepairRequest request;
    request.options.check = InOneJob();
    request.paths = paths;
    return RepairImage(case_->image_path(), request);
  }
  RecoverRequest Recovery(const JournalPaths& paths) const {
    RecoverRequest request;
    request.check = InOneJob();
    request.paths = paths;
    return request;
  }
  DiscardRequest Discard(bool dry_run, bool keep_undo) const {
    DiscardRequest request;
    request.check = InOneJob();
    request.paths = {InFolder("journal"), InFolder("undo")};
    request.dry_run = dry_run;
    request.keep_undo = keep_undo;
    return request;
  }
  std::vector<std::byte> Image() const {
    const auto bytes = case_->ReadBack();
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    return bytes.value_or(std::vector<std::byte>());
  }
  // Nothing was written, and why is told with `words`.
  void ExpectRefused(const RepairReport& report, const std::string& words) {
    EXPECT_FALSE(ChangedImage(report.transaction)) << words;
    EXPECT_NE(report.transaction.conclusion, Conclusion::kPending) << words;
    EXPECT_NE(report.transaction.error.message().find(words),
              std::string_view::npos)
        << report.transaction.error << ", and not: " << words;
    EXPECT_TRUE(Image() == case_->image()) << words;
  }
  // A repair that would have its journal at `journal`, and what might be a
  // journal to finish or an undo file to take back.
  void ExpectNotUsed(const std::string& journal, const std::string& words) {
    const JournalPaths paths = {journal, InFolder("undo")};
    ExpectRefused(Repair(paths), words);
    ExpectRefused(RecoverImage(case_->image_path(), Recovery(paths)), words);
    const JournalPaths other_way = {InFolder("other"), journal};
    ExpectRefused(UndoImage(case_->image_path(), Recovery(other_way)), words);
    EXPECT_FALSE(fs::exists(InFolder("undo")));
  }
};

TEST_P(CorpusPlacesTest, NamesThatAreNoneAreRefused) {
  for (const std::string& none :
       {InFolder(""), InFolder(".."), InFolder("."), std::string("..")}) {
    ExpectRefused(Repair({none, ""}), "does not name a file");
    ExpectRefused(Repair({InFolder("journal"), none}), "does not name a file");
  }
  ExpectRefused(Repair({InFolder("both"), InFolder("both")}),
                "cannot be both journal and undo file");
  ExpectRefused(Repair({InFolder("none/journal"), ""}), "none");
  ExpectRefused(Repair({InFolder("journal"), "/undo"}), "in the same folder");
  EXPECT_FALSE(fs::exists(InFolder("both")));
  EXPECT_FALSE(fs::exists(InFolder("journal")));
}

TEST_P(CorpusPlacesTest, AFileThatIsNoneIsNoJournal) {
  const std::string target = InFolder("target");
  std::ofstream(target) << "not to be written to";
  fs::create_symlink(target, InFolder("link"));
  ExpectNotUsed(InFolder("link"), "is a symbolic link: not used");
  EXPECT_EQ(fs::file_size(target), 20u);

  ASSERT_EQ(mkfifo(InFolder("pipe").c_str(), 0600), 0);
  ExpectNotUsed(InFolder("pipe"), "is not a regular file");
  ExpectNotUsed(target, "is not a journal of this program");
  const std::string& image = case_->image_path();
  EXPECT_FALSE(FindPendingJournal(image, {target, ""}).ok());
  const auto pending = FindPendingJournal(image, {InFolder("journal"), ""});
  ASSERT_TRUE(pending.ok()) << pending.status();
  EXPECT_EQ(NameOf(pending->state), "none");
}

TEST_P(CorpusPlacesTest, AFileThatOthersMayHaveWrittenIsNoJournal) {
  const std::string shared = InFolder("shared");
  std::ofstream(shared) << "anything";
  for (const fs::perms others :
       {fs::perms::group_write, fs::perms::others_write}) {
    fs::permissions(shared,
                    fs::perms::owner_read | fs::perms::owner_write | others);
    ExpectNotUsed(shared, "can be written by others than its owner: not used");
  }
  fs::permissions(shared, fs::perms::owner_read | fs::perms::owner_write);
  // Only some may make a file that of somebody else.
  if (chown(shared.c_str(), 12345, 12345) != 0) GTEST_SKIP() << "cannot chown";
  ExpectNotUsed(shared, "belongs to another user (12345): not used");
}

TEST_P(CorpusPlacesTest, FreeSpaceIsGivenBackOnlyWithoutAnUndoFile) {
  ASSERT_EQ(
      Repair({InFolder("journal"), InFolder("undo")}).transaction.conclusion,
      Conclusion::kCommitted);
  const auto repaired = Image();
  const std::string& path = case_->image_path();
  const RepairReport kept = DiscardFreed(path, Discard(false, true));
  EXPECT_EQ(kept.transaction.conclusion, Conclusion::kNotStarted);
  EXPECT_NE(kept.transaction.error.message().find("--no-undo"),
            std::string_view::npos)
      << kept.transaction.error;

  const std::atomic<bool> cancel(true);
  DiscardRequest cancelled = Discard(false, false);
  cancelled.check.cancel = &cancel;
  EXPECT_EQ(DiscardFreed(path, cancelled).transaction.conclusion,
            Conclusion::kCancelled);
  const RepairReport planned = DiscardFreed(path, Discard(true, false));
  EXPECT_EQ(planned.transaction.conclusion, Conclusion::kPlanned);
  EXPECT_EQ(NameOf(planned.transaction.action), "discard-freed");
  EXPECT_TRUE(fs::exists(InFolder("undo")));
  EXPECT_TRUE(Image() == repaired);

  const RepairReport done = DiscardFreed(path, Discard(false, false));
  EXPECT_EQ(done.transaction.conclusion, Conclusion::kCommitted)
      << done.transaction.error;
  EXPECT_FALSE(fs::exists(InFolder("undo")));
  const auto report = case_->Check(InOneJob());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->status, checker::CheckStatus::kClean);
}

// Damage whose repair leaves clusters free that held something.
INSTANTIATE_TEST_SUITE_P(Corpus, CorpusPlacesTest,
                         testing::Values("cluster-leaked"),
                         [](const auto& info) {
                           return TestNameOf(info.param);
                         });

}  // namespace
}  // namespace qcow2::corpus
