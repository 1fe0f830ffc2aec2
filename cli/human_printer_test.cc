#include "cli/human_printer.h"

#include <algorithm>

#include "cli/sample_reports.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

using checker::CheckReport;
using checker::Finding;

TEST(HumanPrinterTest, Clean) {
  EXPECT_EQ(HumanReport({CleanReport()}),
            R"(disk.qcow2: clean: no problems found
  qcow2 version 3, disk 1 GiB, clusters 64 KiB, file 1.3 MiB, 1 snapshot
  read 256 KiB of metadata in 250 ms
Exit code 0: nothing is wrong.
)");
}

TEST(HumanPrinterTest, Leaks) {
  EXPECT_EQ(HumanReport({LeakyReport()}),
            R"(disk.qcow2: LEAKS: 2 leaks; no data is at risk
  qcow2 version 3, disk 1 GiB, clusters 64 KiB, file 1.3 MiB, 1 snapshot
  read 256 KiB of metadata in 250 ms

leak: cluster-leaked (312), 2 times
  Space is lost, no data is at risk, unless an entry that named it is damaged
  (then the leak is what is left of guest data and is marked as suspect).
  A repair would do this: the refcount is set to zero, which frees the space
  (no guest data is lost by it).
  #1 host clusters 6-7 (offset 0x60000): refcount is 1, but nothing refers to
      it

What to do: The image can be used. The leaked space stays lost until
--repair=leaks frees it.
Exit code 4: errors or leaks are left in an image.
)");
}

TEST(HumanPrinterTest, Corrupt) {
  EXPECT_EQ(HumanReport({CorruptReport()}),
            R"(disk.qcow2: CORRUPT: 2 corruptions, 1 leak, 1 warning
  qcow2 version 3, disk 1 GiB, clusters 64 KiB, file 1.3 MiB, 1 snapshot
  read 256 KiB of metadata in 250 ms

corruption: l2-entry-unaligned (501)
  The guest range cannot be read.
  A repair would do this: the entry is mended where exactly one orphaned
  cluster explains it; else it stays (no guest data is lost by it).
  #1 active L2 table at 0x50000, entry 12 names a cluster at 0x60200, which is
      not cluster aligned
      guest:  bytes 786432-851967 (64 KiB at 768 KiB)
      causes: #2 [cluster-leaked] host cluster 6 (offset 0x60000): refcount is
              1, but nothing refers to it; may be what is left of guest data,
              do not free it

corruption: refcount-too-low (310)
  A program may hand out a cluster that is in use and overwrite guest data with
  it.
  A repair would do this: the stored refcount is set to the number of
  references found (no guest data is lost by it).
  #3 host cluster 7 (offset 0x70000): refcount is 1, found 2 references
      guest:  bytes 0-65535 (64 KiB at 0 bytes)
      guest:  bytes 0-65535 (64 KiB at 0 bytes) of snapshot "before\x0aupdate"
      owners: guest data

warning: dirty-bit (123)
  Normal after a crash with lazy refcounts. Any wrong refcounts are reported
  apart.
  A repair would do this: the bit is cleared once the rest of the image checks
  clean (no guest data is lost by it).
  #4 the dirty bit is set: the image was not closed properly and its refcounts
      may be stale

Do not free leaked clusters (1 of them may be what is left of guest data).
What to do: Do not start a guest on the image and do not write to it. Make a
copy of the file first if you can, then see what --repair --dry-run would do;
--explain=CODE tells more about each finding.
Exit code 4: errors or leaks are left in an image.
)");
}

TEST(HumanPrinterTest, NotOpened) {
  EXPECT_EQ(HumanReport({UnopenedReport()}), R"(gone.qcow2: NOT CHECKED
  error: cannot open 'gone.qcow2': No such file or directory
What to do: See the error above; nothing is known about the image.
Exit code 8: something could not be opened, read or written.
)");
}

std::string FirstLine(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

TEST(HumanPrinterTest, FirstLineOfOtherVerdicts) {
  CheckReport report = LeakyReport();
  report.counts.suspect_orphans = 1;
  EXPECT_EQ(FirstLine(HumanReport({report})), "disk.qcow2: LEAKS: 2 leaks");
  report = CleanReport();
  report.status = checker::CheckStatus::kInconclusive;
  EXPECT_EQ(FirstLine(HumanReport({report})),
            "disk.qcow2: INCONCLUSIVE, a part could not be checked: nothing "
            "found elsewhere");
  report.cancelled = true;
  EXPECT_EQ(FirstLine(HumanReport({report})),
            "disk.qcow2: CANCELLED before the end: nothing found by then");
  report = CleanReport();
  report.image.path = "\x1B]0;title\x07.qcow2";
  EXPECT_EQ(FirstLine(HumanReport({report})),
            "\\x1b]0;title\\x07.qcow2: clean: no problems found");
}

TEST(HumanPrinterTest, RepairedInPart) {
  const std::string text = HumanReport(RepairedReport());
  EXPECT_EQ(FirstLine(text),
            "disk.qcow2: PARTIALLY REPAIRED: 3 problems mended; left: 1 leak");
  EXPECT_EQ(text.find("A repair would do this"), std::string::npos);
  EXPECT_EQ(text.substr(text.find("\nplan:")), R"(
plan: 3 changes (--repair=all)
  l2-entry-unaligned #1: the entry is mended where exactly one orphaned cluster
    explains it; else it stays
    active L2 table at 0x50000, entry 12: names 0x60200, which is not cluster
      aligned -> names the cluster at 0x60000
  refcount-too-low #3: the stored refcount is set to the number of references
    found
    host cluster 7 (offset 0x70000): refcount 1 -> refcount 2
  dirty-bit #4: the bit is cleared once the rest of the image checks clean
    header, dirty bit: set -> clear
  note: the file keeps its length

guest data: these ranges read differently afterwards, no others do
  recovered: bytes 786432-851967 (64 KiB at 768 KiB): the entry names the
    cluster that was left without one

proof: passed. The image as planned was checked in full, and the guest's data
  compared, in the disk and in every snapshot: 64 KiB were read, the rest is
  where it was

commit: done. 4 KiB of the image were changed by way of a journal, and are on
  stable storage

undo file: '/images/disk.qcow2.fsck-undo' keeps the old bytes. Until something
  else writes to the image, --undo puts them back

left as it is:
  cluster-leaked #2: they may be what is left of guest data (--free-suspects)

What to do: Read what is left and why above. Copy the image before you try
more. Check the guest's own file system before it is used, as after a power
failure. If the repair is not what you want, qcow2-fsck --undo disk.qcow2 takes
it back, but only before a guest has written to the image. Remove
'/images/disk.qcow2.fsck-undo' when you are content.
Exit code 5: errors or leaks were mended; errors or leaks are left in an image.
)");
}

TEST(HumanPrinterTest, FirstLineOfOtherTransactions) {
  EXPECT_EQ(FirstLine(HumanReport(PlannedReport())),
            "disk.qcow2: CORRUPT: 2 corruptions, 1 leak, 1 warning; dry run, "
            "nothing was written");
  EXPECT_EQ(FirstLine(HumanReport(NotProvenReport())),
            "disk.qcow2: CORRUPT: 2 corruptions, 1 leak, 1 warning; NOT "
            "REPAIRED, the plan failed its proof");
  EXPECT_EQ(FirstLine(HumanReport(PendingReport())),
            "disk.qcow2: CORRUPT: 2 corruptions, 1 leak, 1 warning; REPAIR "
            "INTERRUPTED half way");
  EXPECT_EQ(FirstLine(HumanReport(UndoneReport())),
            "disk.qcow2: UNDONE; again LEAKS: 2 leaks");
  EXPECT_EQ(FirstLine(HumanReport(DiscardedReport())),
            "disk.qcow2: DISCARDED: 192 KiB given back; no problems found");
}

// What to type in an emergency has to be right for any name.
TEST(HumanPrinterTest, CommandsToTypeAreQuoted) {
  ImageReport report = PendingReport();
  report.found.image.path = "my disk's.qcow2";
  std::string text = HumanReport(report);
  std::replace(text.begin(), text.end(), '\n', ' ');
  EXPECT_NE(text.find("qcow2-fsck --recover 'my disk'\\''s.qcow2',"),
            std::string::npos)
      << text;
}

// As is what finds a journal again that is not beside the image.
TEST(HumanPrinterTest, CommandsToTypeNameTheJournal) {
  ImageReport report = PendingReport();
  report.transaction->paths_given = true;
  report.transaction->journal_path = "/elsewhere/j";
  std::string text = HumanReport(report);
  std::replace(text.begin(), text.end(), '\n', ' ');
  EXPECT_NE(text.find("qcow2-fsck --recover --journal=/elsewhere/j disk.qcow2"),
            std::string::npos)
      << text;
  report = RepairedReport();
  report.transaction->paths_given = true;
  text = HumanReport(report);
  std::replace(text.begin(), text.end(), '\n', ' ');
  EXPECT_NE(text.find("qcow2-fsck --undo "
                      "--undo-file=/images/disk.qcow2.fsck-undo disk.qcow2"),
            std::string::npos)
      << text;
}

TEST(HumanPrinterTest, APlanOfNothingSaysWhy) {
  ImageReport report = PlannedReport();
  report.transaction->plan = repair::Plan();
  report.transaction->plan.AddReasonToStay("no free cluster");
  EXPECT_NE(HumanReport(report).find(
                "\nplan: no changes (--repair=all)\n  note: no free cluster\n"),
            std::string::npos);
}

TEST(HumanPrinterTest, LongListsAreCutShort) {
  CheckReport report = CorruptReport();
  Finding& finding = report.problems[0];
  finding.guest.resize(6, finding.guest[0]);
  finding.guest_ranges_omitted = 10;
  report.problems_omitted = 5;
  const std::string text = HumanReport({report});
  EXPECT_NE(text.find("guest:  and 12 more ranges\n"), std::string::npos);
  EXPECT_NE(text.find("5 more findings are not listed; see --max-problems.\n"),
            std::string::npos);
}

TEST(HumanPrinterTest, AConsequenceWhoseCauseIsNotListedStandsAlone) {
  CheckReport report = CorruptReport();
  report.problems.erase(report.problems.begin());
  const std::string text = HumanReport({report});
  EXPECT_NE(text.find("leak: cluster-leaked (312)\n"), std::string::npos);
  EXPECT_NE(text.find("  #2 host cluster 6"), std::string::npos);
}

// Two findings that name each other as causes must both be shown.
TEST(HumanPrinterTest, CausesInACircle) {
  CheckReport report = CorruptReport();
  report.problems[0].root_cause = 2;
  report.problems[1].root_cause = 1;
  const std::string text = HumanReport({report});
  EXPECT_NE(text.find("  #1 "), std::string::npos);
  EXPECT_NE(text.find("  #2 "), std::string::npos);
}

}  // namespace
}  // namespace qcow2::cli
