// Repairs from the outside: what is written where, and that it can be undone.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/cli/damaged_image.h"
#include "tests/cli/program.h"

namespace qcow2 {
namespace {

namespace fs = std::filesystem;

bool Holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

nlohmann::json Parsed(const Outcome& outcome) {
  return nlohmann::json::parse(outcome.standard_output);
}

class RepairTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(folder_ / "images");
    const DamagedImage image = MakeDamagedImage(image_);
    sound_ = image.sound;
    damaged_ = image.damaged;
  }

  void Damage() const { WriteFile(image_, damaged_); }

  bool IsClean() const {
    return Fsck({image_}).exit_code == 0 &&
           RunProgram({"qemu-img", "check", image_}).exit_code == 0;
  }
  bool IsDamaged() const { return ReadFile(image_) == damaged_; }
  std::vector<std::string> Beside() const {
    return NamesIn(folder_ / "images");
  }

  Folder folder_;
  std::string image_ = folder_ / "images/disk.qcow2";
  std::string journal_ = image_ + ".fsck-journal";
  std::string undo_ = image_ + ".fsck-undo";
  std::string sound_;
  std::string damaged_;
};

// A check takes such an image a part at a time; a repair cannot.
TEST_F(RepairTest, WhatNeedsMoreMemoryThanAllowedIsLeftAlone) {
  const std::string image = folder_ / "images/long.qcow2";
  ASSERT_EQ(QemuImg({"create", "-q", "-f", "qcow2", "-o",
                     "cluster_size=512,preallocation=metadata", image, "20M"})
                .exit_code,
            0);
  const auto expect_refused = [&](const std::string& task) {
    const std::string before = ReadFile(image);
    const Outcome refused = Fsck({task, "--memory-limit=1", image});
    EXPECT_EQ(refused.exit_code & 8, 8) << task;
    EXPECT_TRUE(Holds(refused.standard_output,
                      "error: a repair counts all references at once"))
        << refused.standard_output;
    EXPECT_TRUE(ReadFile(image) == before);
  };
  EXPECT_EQ(Fsck({"--memory-limit=1", image}).exit_code, 0);
  expect_refused("--discard-freed");
  std::string bytes = ReadFile(image);
  size_t l1_table = 0;
  for (size_t i = 40; i < 48; ++i) {
    l1_table = l1_table << 8 | static_cast<unsigned char>(bytes[i]);
  }
  bytes.at(l1_table) = 0;  // COPIED is gone
  WriteFile(image, bytes);
  EXPECT_EQ(Fsck({"--memory-limit=1", image}).exit_code, 4);
  expect_refused("--repair");
  EXPECT_EQ(Beside(), (std::vector<std::string>{"disk.qcow2", "long.qcow2"}));
  EXPECT_EQ(Fsck({"--repair", image}).exit_code, 1);
}

TEST_F(RepairTest, RepairedUndoneAndRepairedAgain) {
  const Outcome repair = Fsck({"--repair", image_});
  EXPECT_EQ(repair.exit_code, 1);
  EXPECT_TRUE(repair.standard_output.starts_with(
      image_ + ": REPAIRED: 2 problems mended, the image is clean\n"))
      << repair.standard_output;
  EXPECT_EQ(repair.standard_error, "");
  EXPECT_TRUE(IsClean());
  EXPECT_EQ(Beside(),
            (std::vector<std::string>{"disk.qcow2", "disk.qcow2.fsck-undo"}));
  const std::string repaired = ReadFile(image_);

  const Outcome undo = Fsck({"--undo", image_});
  EXPECT_EQ(undo.exit_code, 4);
  EXPECT_TRUE(Holds(undo.standard_output, ": UNDONE; again CORRUPT"));
  EXPECT_TRUE(IsDamaged());
  EXPECT_EQ(Beside(), (std::vector<std::string>{"disk.qcow2"}));

  EXPECT_EQ(Fsck({"--repair", image_}).exit_code, 1);
  EXPECT_TRUE(ReadFile(image_) == repaired);
}

TEST_F(RepairTest, AGuestReadsTheSameAfterwards) {
  EXPECT_EQ(Fsck({"--repair", image_}).exit_code, 1);
  EXPECT_EQ(RunProgram({"qemu-io", "-c", "read -P 7 0 1M", image_}).exit_code,
            0);
}

TEST_F(RepairTest, ASecondRepairChangesNothing) {
  EXPECT_EQ(Fsck({"--repair", "--no-undo", image_}).exit_code, 1);
  const std::string repaired = ReadFile(image_);
  const Outcome again = Fsck({"--repair", image_});
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_TRUE(Holds(again.standard_output,
                    ": clean: no problems found; nothing to repair\n"))
      << again.standard_output;
  EXPECT_TRUE(ReadFile(image_) == repaired);
  EXPECT_EQ(Beside(), (std::vector<std::string>{"disk.qcow2"}));
}

// Blocks of 512 bytes that a file takes up.
int64_t BlocksOf(const std::string& path) {
  struct stat status = {};
  return stat(path.c_str(), &status) == 0 ? status.st_blocks : -1;
}

TEST_F(RepairTest, FreedSpaceIsNotDiscardedUnlessThatIsSafe) {
  const Outcome damaged = Fsck({"--discard-freed", image_});
  EXPECT_EQ(damaged.exit_code, 4);
  EXPECT_TRUE(Holds(damaged.standard_output, "; NOT DISCARDED\n"))
      << damaged.standard_output;
  EXPECT_TRUE(IsDamaged());

  EXPECT_EQ(Fsck({"--repair", image_}).exit_code, 1);
  const std::string repaired = ReadFile(image_);
  const Outcome undoable = Fsck({"--discard-freed", image_});
  EXPECT_EQ(undoable.exit_code, 8);
  EXPECT_TRUE(Holds(undoable.standard_output, "--no-undo"))
      << undoable.standard_output;
  const auto dry = Parsed(Fsck(
      {"--discard-freed", "--no-undo", "--dry-run", "--output=json", image_}));
  EXPECT_EQ(dry["exit_code"], 0);
  EXPECT_EQ(dry["transaction"]["action"], "discard-freed");
  EXPECT_EQ(dry["transaction"]["conclusion"], "planned");
  EXPECT_EQ(dry["transaction"]["discard"]["clusters"], 1);
  EXPECT_EQ(dry["transaction"]["discard"]["bytes"], kCluster);
  EXPECT_EQ(dry["transaction"]["discard"]["applied"], false);
  EXPECT_TRUE(ReadFile(image_) == repaired);
  EXPECT_EQ(Beside(),
            (std::vector<std::string>{"disk.qcow2", "disk.qcow2.fsck-undo"}));
}

TEST_F(RepairTest, WhatARepairFreedIsDiscardedWhenAsked) {
  EXPECT_EQ(Fsck({"--repair", image_}).exit_code, 1);
  const size_t length = fs::file_size(image_);
  const int64_t blocks = BlocksOf(image_);
  const Outcome discard = Fsck({"--discard-freed", "--no-undo", image_});
  EXPECT_EQ(discard.exit_code, 0);
  EXPECT_TRUE(discard.standard_output.starts_with(
      image_ + ": DISCARDED: 64 KiB given back; no problems found\n"))
      << discard.standard_output;
  EXPECT_EQ(BlocksOf(image_), blocks - static_cast<int64_t>(kCluster / 512));
  EXPECT_EQ(fs::file_size(image_), length);
  EXPECT_EQ(Beside(), (std::vector<std::string>{"disk.qcow2"}));
  EXPECT_TRUE(IsClean());
  EXPECT_EQ(RunProgram({"qemu-io", "-c", "read -P 7 0 1M", image_}).exit_code,
            0);
  EXPECT_TRUE(Holds(Fsck({"--discard-freed", image_}).standard_output,
                    "; nothing to discard\n"));
}

TEST_F(RepairTest, ADryRunWritesNothing) {
  ASSERT_EQ(chmod(image_.c_str(), 0400), 0);
  const Outcome human = Fsck({"--repair", "--dry-run", image_});
  EXPECT_EQ(human.exit_code, 4);
  EXPECT_TRUE(Holds(human.standard_output, "; dry run, nothing was written\n"));
  EXPECT_TRUE(Holds(human.standard_output, "\nplan: 2 changes"))
      << human.standard_output;
  EXPECT_TRUE(Holds(human.standard_output, "\nproof: passed"));
  const auto json =
      Parsed(Fsck({"--repair", "--dry-run", "--output=json", image_}));
  EXPECT_EQ(json["status"], "corrupt");
  EXPECT_EQ(json["exit_code"], 4);
  EXPECT_EQ(json["counts"]["fixed"], 0);
  EXPECT_EQ(json["problems"][0]["repair"]["applied"], false);
  EXPECT_EQ(json["transaction"]["conclusion"], "planned");
  EXPECT_EQ(json["transaction"]["plan"]["changes"], 2);
  EXPECT_FALSE(json["transaction"].contains("commit"));
  EXPECT_TRUE(IsDamaged());
  EXPECT_EQ(Beside(), (std::vector<std::string>{"disk.qcow2"}));
}

TEST_F(RepairTest, TheJsonReportHasTheTransaction) {
  const std::string metrics = folder_ / "fsck.prom";
  const Outcome outcome =
      Fsck({"--repair", "--output=json", "--metrics=" + metrics, image_});
  EXPECT_EQ(outcome.exit_code, 1);
  const auto json = Parsed(outcome);
  EXPECT_EQ(json["status"], "repaired");
  EXPECT_EQ(json["counts"]["corruptions"], 0);
  EXPECT_EQ(json["counts"]["leaks"], 0);
  EXPECT_EQ(json["counts"]["fixed"], 2);
  for (const auto& problem : json["problems"]) {
    EXPECT_EQ(problem["repair"]["applied"], true);
  }
  const auto& transaction = json["transaction"];
  EXPECT_EQ(transaction["conclusion"], "committed");
  EXPECT_EQ(transaction["proof"]["ok"], true);
  EXPECT_EQ(transaction["commit"]["state"], "new");
  EXPECT_EQ(transaction["undo_file"], fs::canonical(undo_).string());
  EXPECT_TRUE(transaction["left"].empty());
  const auto& edit = transaction["plan"]["edits"][0];
  EXPECT_EQ(edit["findings"][0], json["problems"][0]["id"]);
  EXPECT_TRUE(Holds(ReadFile(metrics),
                    "qcow2_fsck_fixed{image=\"" + image_ + "\"} 2\n"));
  EXPECT_TRUE(Holds(ReadFile(metrics), "status=\"repaired\"} 1\n"));
}

TEST_F(RepairTest, OnlyLeaks) {
  const Outcome outcome = Fsck({"--repair=leaks", "--output=json", image_});
  EXPECT_EQ(outcome.exit_code, 5);
  const auto json = Parsed(outcome);
  EXPECT_EQ(json["status"], "partially-repaired");
  EXPECT_EQ(json["counts"]["corruptions"], 1);
  EXPECT_EQ(json["counts"]["leaks"], 0);
  EXPECT_EQ(json["transaction"]["left"][0]["code"], "refcount-too-low");
  EXPECT_EQ(json["transaction"]["left"][0]["remedy"], "--repair");
}

TEST_F(RepairTest, WithoutAnUndoFileThereIsNothingToUndo) {
  EXPECT_EQ(Fsck({"--repair", "--no-undo", image_}).exit_code, 1);
  const std::string repaired = ReadFile(image_);
  const Outcome undo = Fsck({"--undo", image_});
  EXPECT_EQ(undo.exit_code, 8);
  EXPECT_TRUE(Holds(undo.standard_output, ": NOT UNDONE\n"));
  EXPECT_TRUE(ReadFile(image_) == repaired);
}

TEST_F(RepairTest, AnImageThatWasWrittenToIsNotUndone) {
  EXPECT_EQ(Fsck({"--repair", image_}).exit_code, 1);
  ASSERT_EQ(
      RunProgram({"qemu-io", "-c", "write -P 8 32M 4M", image_}).exit_code, 0);
  const std::string written = ReadFile(image_);
  const Outcome undo = Fsck({"--undo", image_});
  EXPECT_EQ(undo.exit_code, 8);
  EXPECT_TRUE(ReadFile(image_) == written);
  EXPECT_TRUE(fs::exists(undo_));
}

TEST_F(RepairTest, AnOlderUndoFileIsKept) {
  EXPECT_EQ(Fsck({"--repair=leaks", image_}).exit_code, 5);
  const std::string first = ReadFile(undo_);
  const auto json = Parsed(Fsck({"--repair", "--output=json", image_}));
  const std::string older = json["transaction"]["older_undo_file"];
  EXPECT_TRUE(ReadFile(older) == first);
}

TEST_F(RepairTest, JournalAndUndoFileElsewhere) {
  const std::string place = folder_ / "elsewhere";
  fs::create_directory(place);
  EXPECT_EQ(Fsck({"--repair", "--journal=" + place + "/j", image_}).exit_code,
            1);
  EXPECT_EQ(Beside(), (std::vector<std::string>{"disk.qcow2"}));
  EXPECT_EQ(NamesIn(place), (std::vector<std::string>{"disk.qcow2.fsck-undo"}));
  EXPECT_EQ(
      Fsck({"--undo", "--undo-file=" + place + "/disk.qcow2.fsck-undo", image_})
          .exit_code,
      4);
  EXPECT_TRUE(IsDamaged());
  const Outcome apart = Fsck({"--repair", "--journal=" + place + "/j",
                              "--undo-file=" + undo_, image_});
  EXPECT_EQ(apart.exit_code, 8);
  EXPECT_TRUE(Holds(apart.standard_output, "in the same folder"));
  EXPECT_TRUE(IsDamaged());
}

TEST_F(RepairTest, ALinkLeadsToTheFolderOfTheImage) {
  const std::string link = folder_ / "link.qcow2";
  fs::create_symlink(image_, link);
  EXPECT_EQ(Fsck({"--repair", link}).exit_code, 1);
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_TRUE(fs::exists(undo_));
  EXPECT_EQ(Fsck({"--undo", link}).exit_code, 4);
  EXPECT_TRUE(IsDamaged());
}

TEST_F(RepairTest, AnImageInUseIsRefused) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"qemu-io", image_},
                                             {"qemu-io", "-r", image_}}) {
    Background qemu(arguments);
    ASSERT_TRUE(qemu.WaitFor("qemu-io> "));
    for (const char* option : {"--repair", "--undo", "--recover"}) {
      const Outcome outcome = Fsck({option, image_});
      EXPECT_EQ(outcome.exit_code, 8) << option;
      EXPECT_TRUE(Holds(outcome.standard_output, "is in use")) << option;
    }
    EXPECT_EQ(Fsck({"--compat=qemu-img", "-r", "all", image_}).exit_code, 1);
    EXPECT_EQ(qemu.Finish(), 0);
  }
  EXPECT_TRUE(IsDamaged());
}

TEST_F(RepairTest, ADryRunGoesBesideReaders) {
  Background qemu({"qemu-io", "-r", image_});
  ASSERT_TRUE(qemu.WaitFor("qemu-io> "));
  EXPECT_EQ(Fsck({"--repair", "--dry-run", image_}).exit_code, 4);
  EXPECT_EQ(qemu.Finish(), 0);
}

TEST_F(RepairTest, AFileThatCannotBeWrittenIsRefused) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  ASSERT_EQ(chmod(image_.c_str(), 0400), 0);
  const Outcome outcome = Fsck({"--repair", image_});
  EXPECT_EQ(outcome.exit_code, 8);
  EXPECT_TRUE(Holds(outcome.standard_output, "has to write to the image"))
      << outcome.standard_output;
  EXPECT_TRUE(IsDamaged());
}

// Nobody, not even root, can make a file in /proc.
TEST_F(RepairTest, WithoutAPlaceForTheJournalNothingIsDone) {
  const Outcome outcome = Fsck({"--repair", "--journal=/proc/j", image_});
  EXPECT_EQ(outcome.exit_code, 12);
  EXPECT_TRUE(Holds(outcome.standard_output,
                    "; NOT REPAIRED, the image is "
                    "what it was\n"))
      << outcome.standard_output;
  EXPECT_TRUE(Holds(outcome.standard_output, "'/proc/j'"));
  EXPECT_TRUE(Holds(outcome.standard_output, "--journal=PATH"));
  EXPECT_EQ(Fsck({"--repair", "--journal=" + (folder_ / "missing/j"), image_})
                .exit_code,
            8);
  EXPECT_TRUE(IsDamaged());
  EXPECT_EQ(Beside(), (std::vector<std::string>{"disk.qcow2"}));
}

TEST_F(RepairTest, UnknownIncompatibleFeaturesAreLeftAlone) {
  damaged_[72] = '\x40';
  Damage();
  const Outcome outcome = Fsck({"--repair", image_});
  EXPECT_EQ(outcome.exit_code, 12);
  EXPECT_TRUE(Holds(outcome.standard_output, "features that are not known"));
  EXPECT_TRUE(IsDamaged());
}

TEST_F(RepairTest, WhatIsNoImageIsLeftAlone) {
  const std::string other = folder_ / "other";
  WriteFile(other, std::string(100000, 'x'));
  const Outcome outcome = Fsck({"--repair", other});
  EXPECT_NE(outcome.exit_code & 12, 0);
  EXPECT_EQ(ReadFile(other), std::string(100000, 'x'));
  EXPECT_EQ(Fsck({"--repair", folder_ / "missing"}).exit_code, 8);
}

TEST_F(RepairTest, SeveralImages) {
  const std::string second = folder_ / "images/second.qcow2";
  WriteFile(second, sound_);
  const Outcome outcome = Fsck({"--repair", "--output=ndjson", image_, second});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_TRUE(IsClean());
  EXPECT_TRUE(ReadFile(second) == sound_);
}

// Where qemu-img rebuilds all refcounts the two count differently, and with -r
// leaks it mends COPIED flags as well; all else gives the same text.
TEST_F(RepairTest, InPlaceOfQemuImgCheck) {
  std::string leaky = sound_;
  leaky.resize(leaky.size() + kCluster);
  SetRefcount(leaky, sound_.size() / kCluster, 1);
  std::string uncopied = leaky;
  uncopied[4 * kCluster + 8] &= '\x7F';
  const std::string copy = folder_ / "copy.qcow2";
  for (const std::string& content : {sound_, leaky, uncopied}) {
    for (const std::string mode : {"leaks", "all"}) {
      if (mode == "leaks" && content == uncopied) continue;
      for (const std::string format : {"--output=human", "--output=json"}) {
        WriteFile(copy, content);
        const Outcome theirs =
            RunProgram({"qemu-img", "check", "-r", mode, format, copy});
        WriteFile(copy, content);
        const Outcome ours =
            Fsck({"--compat=qemu-img", "-r", mode, format, copy});
        EXPECT_EQ(ours.exit_code, theirs.exit_code) << mode;
        EXPECT_EQ(ours.standard_output, theirs.standard_output) << mode;
      }
    }
  }
}

TEST_F(RepairTest, InPlaceOfQemuImgCheckItKeepsAnUndoFile) {
  const Outcome outcome = Fsck({"--compat=qemu-img", "-r", "all", image_});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_TRUE(Holds(outcome.standard_error, "the undo file is '"));
  EXPECT_TRUE(IsClean());
  EXPECT_EQ(Fsck({"--undo", image_}).exit_code, 4);
  EXPECT_TRUE(IsDamaged());
}

TEST_F(RepairTest, NothingToRecoverOrUndo) {
  const Outcome recover = Fsck({"--recover", image_});
  EXPECT_EQ(recover.exit_code, 4);
  EXPECT_TRUE(Holds(recover.standard_output, ": nothing to recover; now "));
  EXPECT_EQ(Fsck({"--undo", image_}).exit_code, 8);
  EXPECT_TRUE(IsDamaged());
}

// A repair that was cut short, made from one that was not: a state in a
// journal is a block of its own (docs/journal.md), and without it the journal
// is in the state before.
class CutShortTest : public RepairTest {
 protected:
  static constexpr size_t kBlock = 4096;
  static constexpr size_t kCommitted = 1;
  static constexpr size_t kApplied = 2;

  void SetUp() override {
    RepairTest::SetUp();
    ASSERT_EQ(Fsck({"--repair", image_}).exit_code, 1);
    repaired_ = ReadFile(image_);
    fs::rename(undo_, journal_);
  }

  void TakeState(size_t state) const {
    std::string journal = ReadFile(journal_);
    journal.replace(state * kBlock, kBlock, kBlock, '\0');
    WriteFile(journal_, journal);
  }

  // The journal is committed, the image the old one but for one change.
  void CutShortWhileApplying() const {
    TakeState(kApplied);
    std::string torn = damaged_;
    constexpr size_t kChanged = 2 * kCluster + 13;  // the count of cluster 6
    torn[kChanged] = repaired_[kChanged];
    WriteFile(image_, torn);
  }

  std::string repaired_;
};

TEST_F(CutShortTest, ACheckSaysSo) {
  CutShortWhileApplying();
  const std::string torn = ReadFile(image_);
  const Outcome human = Fsck({image_});
  EXPECT_EQ(human.exit_code, 4);
  EXPECT_TRUE(Holds(human.standard_output, "repair-pending (1202)"))
      << human.standard_output;
  const auto json = Parsed(Fsck({"--output=json", image_}));
  EXPECT_EQ(json["status"], "corrupt");
  EXPECT_EQ(json["problems"].back()["code"], "repair-pending");
  const Outcome dry = Fsck({"--repair", "--dry-run", image_});
  EXPECT_EQ(dry.exit_code, 8);
  EXPECT_TRUE(Holds(dry.standard_output, "--recover"));
  EXPECT_TRUE(ReadFile(image_) == torn);
}

TEST_F(CutShortTest, RecoverFinishesIt) {
  CutShortWhileApplying();
  const Outcome outcome = Fsck({"--recover", "--output=json", image_});
  EXPECT_EQ(outcome.exit_code, 1);
  const auto json = Parsed(outcome);
  EXPECT_EQ(json["status"], "repaired");
  EXPECT_EQ(json["transaction"]["recovered"]["found"], "committed");
  EXPECT_TRUE(ReadFile(image_) == repaired_);
  EXPECT_FALSE(fs::exists(journal_));
  EXPECT_EQ(Fsck({"--undo", image_}).exit_code, 4);
  EXPECT_TRUE(IsDamaged());
}

TEST_F(CutShortTest, ARepairFinishesItFirst) {
  CutShortWhileApplying();
  const Outcome outcome = Fsck({"--repair", image_});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_TRUE(Holds(outcome.standard_output,
                    "\njournal: an earlier repair was cut short"))
      << outcome.standard_output;
  EXPECT_TRUE(ReadFile(image_) == repaired_);
}

TEST_F(CutShortTest, UndoIsTheOtherWayOut) {
  CutShortWhileApplying();
  EXPECT_EQ(Fsck({"--undo", image_}).exit_code, 4);
  EXPECT_TRUE(IsDamaged());
  EXPECT_EQ(Beside(), (std::vector<std::string>{"disk.qcow2"}));
}

TEST_F(CutShortTest, AJournalThatWasNotCommittedIsDiscarded) {
  TakeState(kApplied);
  TakeState(kCommitted);
  Damage();
  const Outcome check = Fsck({"--output=json", image_});
  EXPECT_EQ(check.exit_code, 4);
  EXPECT_EQ(Parsed(check)["warnings"].back()["code"], "repair-remains");
  const Outcome recover = Fsck({"--recover", image_});
  EXPECT_EQ(recover.exit_code, 4);
  EXPECT_TRUE(Holds(recover.standard_output, "was discarded"));
  EXPECT_TRUE(IsDamaged());
  EXPECT_EQ(Beside(), (std::vector<std::string>{"disk.qcow2"}));
}

TEST_F(CutShortTest, AJournalOfAnImageThatChangedIsRefused) {
  CutShortWhileApplying();
  std::string changed = ReadFile(image_);
  changed[4 * kCluster] ^= 1;  // the L2 table
  WriteFile(image_, changed);
  for (const char* option : {"--repair", "--recover", "--undo"}) {
    EXPECT_EQ(Fsck({option, image_}).exit_code & 8, 8) << option;
    EXPECT_TRUE(ReadFile(image_) == changed) << option;
    EXPECT_TRUE(fs::exists(journal_)) << option;
  }
}

TEST_F(CutShortTest, AMovedImageIsTakenWhenTold) {
  CutShortWhileApplying();
  const std::string torn = ReadFile(image_);
  fs::rename(image_, image_ + ".other");
  WriteFile(image_, torn);
  const Outcome refused = Fsck({"--recover", image_});
  EXPECT_EQ(refused.exit_code, 8);
  EXPECT_TRUE(Holds(refused.standard_output, "--moved-image"))
      << refused.standard_output;
  EXPECT_TRUE(ReadFile(image_) == torn);
  EXPECT_EQ(Fsck({"--recover", "--moved-image", image_}).exit_code, 1);
  EXPECT_TRUE(ReadFile(image_) == repaired_);
  EXPECT_EQ(Fsck({"--undo", image_}).exit_code, 8);
  EXPECT_EQ(Fsck({"--undo", "--moved-image", image_}).exit_code, 4);
  EXPECT_TRUE(IsDamaged());
}

TEST_F(CutShortTest, NothingIsDiscardedBeforeItIsFinished) {
  // Also where an image that seems clean is all there is to see.
  for (const bool committed : {true, false}) {
    if (!committed) TakeState(kCommitted);
    TakeState(kApplied);
    const std::string journal = ReadFile(journal_);
    for (const bool dry_run : {true, false}) {
      std::vector<std::string> arguments = {"--discard-freed", "--no-undo",
                                            image_};
      if (dry_run) arguments.insert(arguments.begin(), "--dry-run");
      const Outcome outcome = Fsck(arguments);
      EXPECT_EQ(outcome.exit_code, 8);
      EXPECT_TRUE(Holds(outcome.standard_output, "--recover"))
          << outcome.standard_output;
      EXPECT_TRUE(ReadFile(image_) == repaired_);
      EXPECT_TRUE(ReadFile(journal_) == journal);
    }
  }
}

TEST_F(CutShortTest, WhatIsNoJournalIsRefused) {
  WriteFile(journal_, "not a journal");
  Damage();
  EXPECT_EQ(Parsed(Fsck({"--output=json", image_}))["warnings"].back()["code"],
            "repair-remains");
  EXPECT_EQ(Fsck({"--repair", image_}).exit_code, 8);
  EXPECT_TRUE(IsDamaged());
  EXPECT_EQ(ReadFile(journal_), "not a journal");
}

// Whenever it is killed, the next run ends with the image that a repair that
// was left alone makes.
TEST_F(RepairTest, KilledAtAnyMoment) {
  ASSERT_EQ(
      RunProgram({"qemu-img", "create", "-q", "-f", "qcow2", "-o",
                  "cluster_size=512,preallocation=metadata", image_, "4M"})
          .exit_code,
      0);
  // The start of the refcount table is gone, and many counts with it.
  damaged_ = ReadFile(image_);
  size_t table = 0;
  for (size_t i = 48; i < 56; ++i) {
    table = table << 8 | static_cast<unsigned char>(damaged_[i]);
  }
  damaged_.replace(table, 256, 256, '\0');
  Damage();
  ASSERT_EQ(Fsck({"--repair", "--no-undo", image_}).exit_code, 1);
  const std::string repaired = ReadFile(image_);
  std::minstd_rand random(1);
  for (int i = 0; i < 30; ++i) {
    Damage();
    {
      Background fsck({kFsck, "--repair", "--no-undo", image_});
      usleep(static_cast<useconds_t>(random() % 50000));
      fsck.Signal(SIGKILL);
      fsck.Finish();
    }
    const Outcome recover = Fsck({"--recover", image_});
    ASSERT_EQ(recover.exit_code & 8, 0) << recover.standard_output;
    const std::string now = ReadFile(image_);
    ASSERT_TRUE(now == damaged_ || now == repaired) << i;
    const Outcome again = Fsck({"--repair", "--no-undo", image_});
    ASSERT_EQ(again.exit_code & ~1, 0) << again.standard_output;
    ASSERT_TRUE(ReadFile(image_) == repaired) << i;
    ASSERT_EQ(Beside(), (std::vector<std::string>{"disk.qcow2"}));
  }
}

TEST_F(RepairTest, InterruptedItLeavesNothingBehindOrAllDone) {
  int signal = SIGINT;
  for (int delay = 0; delay < 60000; delay += 6000) {
    signal = signal == SIGINT ? SIGTERM : SIGINT;
    Damage();
    Background fsck({kFsck, "--repair", "--no-undo", image_});
    usleep(static_cast<useconds_t>(delay));
    fsck.Signal(signal);
    const int code = fsck.Finish();
    const std::string now = ReadFile(image_);
    // Before main() has come to say what signals do, they end the process.
    if (code == 1) {
      EXPECT_FALSE(now == damaged_);
    } else {
      EXPECT_TRUE(code == 32 || code == -1) << code;
      EXPECT_TRUE(now == damaged_);
    }
    EXPECT_EQ(Beside(), (std::vector<std::string>{"disk.qcow2"}));
  }
}

}  // namespace
}  // namespace qcow2
