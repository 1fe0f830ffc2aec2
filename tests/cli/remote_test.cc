// Images at NBD addresses, on real servers: what a check says, what a repair
// does, and what becomes of both when the server does not play along.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/storage/nbd_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/damaged_image.h"
#include "tests/cli/program.h"

namespace qcow2 {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

Json Parsed(const Outcome& outcome) {
  return Json::parse(outcome.standard_output);
}

std::vector<std::string> CodesOf(const Json& findings) {
  std::vector<std::string> codes;
  for (const Json& finding : findings) codes.push_back(finding["code"]);
  return codes;
}

// Messages are wrapped for people; this puts them on one line again.
std::string Unwrapped(const std::string& text) {
  std::string line;
  for (const char c : text) {
    const char one = c == '\n' ? ' ' : c;
    if (one != ' ' || !line.ends_with(' ')) line += one;
  }
  return line;
}

class RemoteTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(folder_ / "served");
    fs::create_directory(folder_ / "here");
    const DamagedImage image = MakeDamagedImage(image_);
    sound_ = image.sound;
    damaged_ = image.damaged;
  }

  std::vector<std::string> Nbdkit() const { return {"nbdkit", "file", image_}; }
  Outcome Repair(const std::string& address) const {
    return Fsck({"--repair", "--journal=" + journal_, address});
  }
  bool IsDamaged() const { return ReadFile(image_) == damaged_; }
  std::vector<std::string> Here() const { return NamesIn(folder_ / "here"); }

  Folder folder_;
  std::string image_ = folder_ / "served/disk.qcow2";
  std::string journal_ = folder_ / "here/journal";
  std::string sound_;
  std::string damaged_;
};

TEST_F(RemoteTest, TheReportTellsThatNobodyElseIsKeptOut) {
  const NbdServer server(Nbdkit());
  const Json report = Parsed(Fsck({"--output=json", server.address()}));
  EXPECT_EQ(report["image"]["path"], server.address());
  EXPECT_EQ(report["status"], "corrupt");
  EXPECT_THAT(CodesOf(report["warnings"]), ElementsAre("image-not-locked"));
  WriteFile(image_, sound_);
  const Outcome clean = Fsck({server.address()});
  EXPECT_EQ(clean.exit_code, 0);
  EXPECT_THAT(Unwrapped(clean.standard_output),
              HasSubstr("nobody can see who else uses the image"));
}

TEST_F(RemoteTest, RepairedAndUndone) {
  for (const std::string program : {"nbdkit", "qemu-nbd"}) {
    WriteFile(image_, damaged_);
    const NbdServer server(program == "nbdkit"
                               ? Nbdkit()
                               : std::vector<std::string>{program, image_});
    const Outcome repair = Repair(server.address());
    EXPECT_EQ(repair.exit_code, 1) << repair.standard_output;
    EXPECT_TRUE(repair.standard_output.starts_with(
        server.address() + ": REPAIRED: 2 problems mended"))
        << repair.standard_output;
    EXPECT_EQ(Fsck({server.address()}).exit_code, 0);
    EXPECT_EQ(QemuImg({"check", server.address()}).exit_code, 0);
    EXPECT_EQ(QemuImg({"check", "-U", image_}).exit_code, 0);
    EXPECT_EQ(NamesIn(folder_ / "served"),
              std::vector<std::string>{"disk.qcow2"});
    EXPECT_EQ(Here().size(), 1u);

    const Outcome undo =
        Fsck({"--undo", "--journal=" + journal_, server.address()});
    EXPECT_EQ(undo.exit_code, 4) << undo.standard_output;
    EXPECT_TRUE(IsDamaged());
    EXPECT_THAT(Here(), IsEmpty());
  }
}

TEST_F(RemoteTest, RepairedInTheServersBlocks) {
  const NbdServer server({"nbdkit", "--filter=blocksize-policy", "file", image_,
                          "blocksize-minimum=4096", "blocksize-maximum=64K",
                          "blocksize-error-policy=error"});
  EXPECT_EQ(Repair(server.address()).exit_code, 1);
  EXPECT_EQ(QemuImg({"check", image_}).exit_code, 0);
  EXPECT_EQ(
      Fsck({"--undo", "--journal=" + journal_, server.address()}).exit_code, 4);
  EXPECT_TRUE(IsDamaged());
}

TEST_F(RemoteTest, ARepairNeedsAPlaceForItsJournal) {
  const NbdServer server(Nbdkit());
  const Outcome repair = Fsck({"--repair", server.address()});
  EXPECT_EQ(repair.exit_code, 8);
  EXPECT_THAT(Unwrapped(repair.standard_output),
              HasSubstr("say with --journal=PATH where it is to be kept"));
  EXPECT_TRUE(IsDamaged());
  // To look at the plan it needs none.
  const Outcome plan = Fsck({"--repair", "--dry-run", server.address()});
  EXPECT_EQ(plan.exit_code, 4);
  EXPECT_THAT(plan.standard_output, HasSubstr("proof: passed"));
}

TEST_F(RemoteTest, WhatCannotBeWrittenOrFlushedIsNotRepaired) {
  const NbdServer read_only({"nbdkit", "-r", "file", image_});
  const NbdServer unsafe(
      {"nbdkit", "eval", "get_size=stat -c %s " + image_,
       "pread=dd if=" + image_ +
           " skip=$4 count=$3 iflag=skip_bytes,count_bytes status=none",
       "pwrite=dd of=" + image_ +
           " seek=$4 oflag=seek_bytes conv=notrunc status=none",
       "can_write=exit 0", "can_flush=exit 3"});
  for (const auto& [server, why] : {std::pair(&read_only, "for reading only"),
                                    std::pair(&unsafe, "cannot flush")}) {
    const Outcome repair = Repair(server->address());
    EXPECT_EQ(repair.exit_code, 8);
    EXPECT_THAT(Unwrapped(repair.standard_output), HasSubstr(why));
    EXPECT_TRUE(IsDamaged());
    EXPECT_THAT(Here(), IsEmpty());
    EXPECT_EQ(Fsck({server->address()}).exit_code, 4);
  }
}

TEST_F(RemoteTest, WhatWouldHaveToGrowIsNotRepaired) {
  // No free cluster is left to rebuild a lost refcount block in.
  WriteFile(image_, sound_.replace(kCluster, 8, 8, '\xff'));
  const std::string before = ReadFile(image_);
  {
    const NbdServer server(Nbdkit());
    const Outcome repair = Repair(server.address());
    EXPECT_NE(repair.exit_code & 12, 0) << repair.standard_output;
    EXPECT_THAT(Unwrapped(repair.standard_output),
                HasSubstr("remote image cannot become longer"));
    EXPECT_TRUE(ReadFile(image_) == before);
    EXPECT_THAT(Here(), IsEmpty());
  }
  EXPECT_EQ(Fsck({"--repair", image_}).exit_code, 1);  // where it may grow
}

// A server each of whose writes takes long enough to be met.
class InterruptedRepairTest : public RemoteTest {
 protected:
  void SetUp() override {
    RemoteTest::SetUp();
    server_.emplace(std::vector<std::string>{"nbdkit", "--filter=delay", "file",
                                             image_, "wdelay=1500ms"});
  }
  // Waits until the commit has begun, which it does with the header's corrupt
  // bit.
  void WaitForTheCommit() const {
    for (int i = 0; i < 3000 && !IsBeingChanged(); ++i) usleep(10000);
    ASSERT_TRUE(IsBeingChanged());
    ASSERT_TRUE(fs::exists(journal_));
  }
  bool IsBeingChanged() const {
    return ReadFile(image_).substr(0, kCluster) != damaged_.substr(0, kCluster);
  }
  std::vector<std::string> RepairCommand() const {
    return {kFsck, "--repair", "--journal=" + journal_, server_->address()};
  }

  std::optional<NbdServer> server_;
};

TEST_F(InterruptedRepairTest, TheServerDies) {
  Background repair(RepairCommand());
  WaitForTheCommit();
  server_->Kill();
  EXPECT_EQ(repair.Finish() & 8, 8);
  EXPECT_EQ(Here(), std::vector<std::string>{"journal"});

  // It was on the way back when the server could not be reached for that, too.
  const NbdServer again(Nbdkit());
  EXPECT_EQ(Fsck({again.address()}).exit_code, 4);
  const Outcome recover =
      Fsck({"--recover", "--journal=" + journal_, again.address()});
  EXPECT_EQ(recover.exit_code, 4) << recover.standard_output;
  EXPECT_TRUE(IsDamaged());
  EXPECT_THAT(Here(), IsEmpty());
  EXPECT_EQ(Repair(again.address()).exit_code, 1);
}

TEST_F(InterruptedRepairTest, TheProgramDies) {
  Background repair(RepairCommand());
  WaitForTheCommit();
  repair.Signal(SIGKILL);
  repair.Finish();
  EXPECT_EQ(Here(), std::vector<std::string>{"journal"});

  server_->Kill();
  const NbdServer again(Nbdkit());
  EXPECT_EQ(Fsck({again.address()}).exit_code, 4);
  const Outcome recover =
      Fsck({"--recover", "--journal=" + journal_, again.address()});
  EXPECT_EQ(recover.exit_code, 1) << recover.standard_output;
  EXPECT_EQ(Fsck({again.address()}).exit_code, 0);
  EXPECT_EQ(QemuImg({"check", again.address()}).exit_code, 0);
  EXPECT_EQ(
      Fsck({"--undo", "--journal=" + journal_, again.address()}).exit_code, 4);
  EXPECT_TRUE(IsDamaged());
}

TEST_F(InterruptedRepairTest, AnInterruptLetsTheCommitEnd) {
  Background repair(RepairCommand());
  WaitForTheCommit();
  repair.Signal(SIGINT);
  // The server takes longer for a write than a wait goes on after that: the
  // journal has it all.
  repair.Finish();
  server_->Kill();
  const NbdServer again(Nbdkit());
  if (fs::exists(journal_)) {
    Fsck({"--recover", "--journal=" + journal_, again.address()});
  }
  EXPECT_THAT(Fsck({again.address()}).exit_code, AnyOf(0, 4));
  EXPECT_TRUE(IsDamaged() || QemuImg({"check", image_}).exit_code == 0);
}

TEST_F(RemoteTest, AServerThatFailsEveryWriteLeavesTheImageAsItWas) {
  const NbdServer server({"nbdkit", "--filter=error", "file", image_,
                          "error-pwrite=EIO", "error-pwrite-rate=100%"});
  const Outcome repair = Repair(server.address());
  EXPECT_EQ(repair.exit_code & 8, 8);
  EXPECT_THAT(Unwrapped(repair.standard_output),
              HasSubstr("of '" + server.address() + "': Input/output error"));
  EXPECT_TRUE(IsDamaged());
}

TEST_F(RemoteTest, OneRangeThatCannotBeReadHidesNothingElse) {
  // The first L2 table, at cluster 4.
  const NbdServer server(
      {"nbdkit", "eval", "get_size=stat -c %s " + image_,
       "pread=if [ $4 -lt 327680 ] && [ $(($4 + $3)) -gt 262144 ]; then "
       "echo EIO >&2; exit 1; fi; dd if=" +
           image_ +
           " skip=$4 count=$3 iflag=skip_bytes,count_bytes status=none"});
  const Outcome check = Fsck({"--output=json", server.address()});
  const Json report = Parsed(check);
  EXPECT_NE(check.exit_code, 0);
  EXPECT_THAT(CodesOf(report["problems"]),
              testing::Contains("l2-table-unreadable"));
  EXPECT_THAT(report.dump(), HasSubstr("Input/output error"));
  EXPECT_EQ(report["image"]["virtual_size"], 64 << 20);
}

TEST_F(RemoteTest, AServerThatFailsEveryReadIsNoCleanImage) {
  const NbdServer server({"nbdkit", "--filter=error", "file", image_,
                          "error-pread=EIO", "error-pread-rate=100%"});
  const Outcome check = Fsck({server.address()});
  EXPECT_NE(check.exit_code & 12, 0) << check.standard_output;
  EXPECT_THAT(Unwrapped(check.standard_output),
              HasSubstr("of '" + server.address() + "': Input/output error"));
}

// The check of `arguments`, whose server dies after the header was read.
Json ReportOfALostCheck(const std::string& image,
                        const std::vector<std::string>& arguments) {
  NbdServer server({"nbdkit", "--filter=delay", "file", image, "rdelay=700ms"});
  Folder folder;
  const std::string report = folder / "report";
  std::vector<std::string> command = {kFsck, "--report=" + report,
                                      server.address()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  Background check(command);
  usleep(1000000);
  server.Kill();
  EXPECT_EQ(check.Finish(), 8);
  return Json::parse(ReadFile(report));
}

TEST_F(RemoteTest, WhatIsNotReadSinceTheServerIsGoneIsNoDamage) {
  WriteFile(image_, sound_);
  const std::string local = folder_ / "here/local.qcow2";
  WriteFile(local, sound_);
  const Json alone = ReportOfALostCheck(image_, {});
  const Json among = ReportOfALostCheck(image_, {local});
  EXPECT_EQ(among[1]["status"], "clean");
  for (const Json& report : {alone, among[0]}) {
    EXPECT_EQ(report["status"], "error");
    EXPECT_THAT(report["problems"], IsEmpty());
    EXPECT_THAT(report["errors"].dump(), HasSubstr("connect"));
  }
}

TEST_F(RemoteTest, NothingIsPlannedForAServerThatIsGone) {
  NbdServer server(
      {"nbdkit", "--filter=delay", "file", image_, "rdelay=700ms"});
  const std::string report_path = folder_ / "report";
  Background repair({kFsck, "--repair", "--journal=" + journal_,
                     "--report=" + report_path, server.address()});
  usleep(1000000);
  server.Kill();
  EXPECT_EQ(repair.Finish(), 8);
  const Json report = Json::parse(ReadFile(report_path));
  EXPECT_EQ(report["status"], "error");
  EXPECT_THAT(report["problems"], IsEmpty());
  EXPECT_THAT(report["errors"].dump(), HasSubstr("connect"));
  EXPECT_TRUE(IsDamaged());
  EXPECT_THAT(Here(), IsEmpty());
}

TEST_F(RemoteTest, AServerThatHangsIsGivenUp) {
  const NbdServer server(
      {"nbdkit", "--filter=delay", "file", image_, "rdelay=1000"});
  const Clock::time_point begin = Clock::now();
  const Outcome check = Fsck({"--remote-timeout=1", server.address()});
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(30));
  EXPECT_EQ(check.exit_code, 8);
  EXPECT_THAT(Unwrapped(check.standard_output),
              HasSubstr("bytes at offset 0 of '" + server.address() +
                        "': the server has not answered for 1 s"));
}

TEST_F(RemoteTest, AnInterruptEndsTheWaitForAServer) {
  for (const std::string delay : {"rdelay=1000", "delay-open=1000"}) {
    const NbdServer server({"nbdkit", "--filter=delay", "file", image_, delay});
    Background check({kFsck, server.address()});
    usleep(300000);
    const Clock::time_point begin = Clock::now();
    check.Signal(SIGINT);
    EXPECT_EQ(check.Finish(), 32) << delay;
    // Half a second where the machine has nothing else to do.
    EXPECT_LT(Clock::now() - begin, std::chrono::seconds(20)) << delay;
  }
}

TEST_F(RemoteTest, WhatIsNotReadSinceTheCheckWasInterruptedIsNoDamage) {
  WriteFile(image_, sound_);
  // Longer than a wait goes on after an interrupt.
  const NbdServer server(
      {"nbdkit", "--filter=delay", "file", image_, "rdelay=1500ms"});
  const std::string report_path = folder_ / "report";
  // Before the first answer, and behind it.
  for (const int delay_ms : {300, 2000}) {
    Background check({kFsck, "--report=" + report_path, server.address()});
    usleep(delay_ms * 1000);
    check.Signal(SIGINT);
    EXPECT_EQ(check.Finish(), 32);
    const Json report = Json::parse(ReadFile(report_path));
    EXPECT_EQ(report["cancelled"], true);
    EXPECT_EQ(report["counts"]["corruptions"], 0) << report;
    EXPECT_THAT(report["problems"], IsEmpty());
    fs::remove(report_path);
  }
}

TEST_F(RemoteTest, APasswordInAnAddressIsNotShown) {
  const NbdServer server(Nbdkit());
  std::string address = server.address();
  address.replace(0, std::string("nbd+unix://").size(),
                  "nbd+unix://alice:sesame@");
  const std::string report = folder_ / "here/report";
  const std::string state = folder_ / "here/state";
  const std::string metrics = folder_ / "here/metrics";
  std::string all;
  for (const Outcome& outcome :
       {Fsck({"--report=" + report, "--metrics=" + metrics, address}),
        Fsck({"--output=ndjson", "--state=" + state, "--progress", address}),
        Fsck({"--compat=qemu-img", "--output=json", address}),
        Fsck({"--repair", "--dry-run", address}), Fsck({"--repair", address}),
        Repair(address), Fsck({address + "x"})}) {
    all += outcome.standard_output + outcome.standard_error;
  }
  all += ReadFile(report) + ReadFile(state) + ReadFile(metrics);
  EXPECT_THAT(all, HasSubstr(server.address()));
  EXPECT_THAT(all, Not(HasSubstr("alice")));
  EXPECT_THAT(all, Not(HasSubstr("sesame")));
}

TEST_F(RemoteTest, AnAddressInAnImageIsNotFollowed) {
  const std::string log = folder_ / "here/log";
  const NbdServer server(
      {"nbdkit", "--filter=log", "file", image_, "logfile=" + log});
  const std::string overlay = folder_ / "here/overlay.qcow2";
  for (const std::string& name :
       {server.address(),
        "json:{\"driver\":\"nbd\",\"server.type\":\"unix\",\"server.path\":\"" +
            server.address().substr(server.address().find('=') + 1) + "\"}"}) {
    ASSERT_EQ(QemuImg({"create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b",
                       name, overlay, "64M"})
                  .exit_code,
              0);
    const Outcome check =
        Fsck({"--deep", "--backing=any", "--output=json", overlay});
    EXPECT_EQ(check.exit_code, 0);
    EXPECT_EQ(Parsed(check)["image"]["backing_file"], name);
    EXPECT_THAT(ReadFile(log), Not(HasSubstr(" Connect ")));
  }
  Fsck({server.address()});
  EXPECT_THAT(ReadFile(log), HasSubstr(" Connect "));
}

TEST_F(RemoteTest, WhatARemoteImageNamesIsLeftAlone) {
  const std::string base = folder_ / "here/base.qcow2";
  WriteFile(base, "no image at all");
  for (const std::string& name : {base, std::string("base.qcow2")}) {
    ASSERT_EQ(QemuImg({"create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b",
                       name, image_, "64M"})
                  .exit_code,
              0);
    const NbdServer server(Nbdkit());
    const Outcome check =
        Fsck({"--deep", "--backing=any", "--output=json", server.address()});
    EXPECT_EQ(check.exit_code, 0);
    EXPECT_THAT(CodesOf(Parsed(check)["warnings"]),
                ElementsAre("other-file-not-opened", "image-not-locked"));
  }
}

TEST_F(RemoteTest, StandsBesideOtherImagesInARunOverMany) {
  const NbdServer server(Nbdkit());
  WriteFile(folder_ / "here/local.qcow2", sound_);
  const std::string state = folder_ / "state";
  const std::string baseline = folder_ / "baseline";
  for (const int night : {1, 2}) {
    const Outcome run =
        Fsck({"--recursive", "--output=json", "--state=" + state,
              "--report=" + baseline, server.address(), folder_ / "here"});
    EXPECT_EQ(run.exit_code, 4) << "night " << night;
    EXPECT_THAT(run.standard_output, HasSubstr(server.address()));
  }
  EXPECT_THAT(ReadFile(state), HasSubstr(server.address()));
  const Outcome change = Fsck({"--baseline=" + baseline, server.address(),
                               folder_ / "here/local.qcow2"});
  EXPECT_EQ(change.exit_code, 0) << change.standard_output;
  // That the server is down does not make its image one that is gone.
  const Outcome without =
      Fsck({"--baseline=" + baseline, folder_ / "here/local.qcow2"});
  EXPECT_EQ(without.exit_code, 0) << without.standard_output;
  EXPECT_THAT(without.standard_output, Not(HasSubstr(server.address())));
}

TEST_F(RemoteTest, StandsInForQemuImg) {
  const NbdServer server(Nbdkit());
  for (const std::string& image : {damaged_, sound_}) {
    WriteFile(image_, image);
    for (const std::string format : {"human", "json"}) {
      const Outcome ours =
          Fsck({"--compat=qemu-img", "--output=" + format, server.address()});
      const Outcome theirs =
          QemuImg({"check", "--output=" + format, server.address()});
      EXPECT_EQ(ours.exit_code, theirs.exit_code);
      if (format == "json") {
        EXPECT_EQ(Parsed(ours), Parsed(theirs));
      } else {
        EXPECT_EQ(ours.standard_output, theirs.standard_output);
      }
    }
  }
}

TEST_F(RemoteTest, TellsWhatToInstallWhereThereIsNoLibnbd) {
  WriteFile(folder_ / "here/libnbd.so.0", "");
  const Outcome check =
      RunProgram({"env", "LD_LIBRARY_PATH=" + (folder_ / "here"), kFsck,
                  "nbd+unix:///?socket=/nowhere"});
  EXPECT_EQ(check.exit_code, 8);
  EXPECT_THAT(Unwrapped(check.standard_output),
              HasSubstr("Debian's package is libnbd0"));
}

TEST_F(RemoteTest, TheStaticBuildRefusesAddressesAndNothingElse) {
  const std::string program = "cli/qcow2-fsck-static";
  EXPECT_EQ(RunProgram({program, image_}).exit_code, 4);
  const Outcome check = RunProgram({program, "nbd+unix:///?socket=/nowhere"});
  EXPECT_EQ(check.exit_code, 8);
  EXPECT_THAT(Unwrapped(check.standard_output),
              HasSubstr("this is the static build"));
}

}  // namespace
}  // namespace qcow2
