#include "cli/options.h"

#include "cli/exit_code.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

using Arguments = std::vector<std::string>;

Options Parsed(const Arguments& arguments) {
  const CommandLine result = ParseCommandLine(arguments);
  EXPECT_TRUE(result.options.has_value()) << result.standard_error;
  return result.options.value_or(Options());
}

TEST(OptionsTest, Defaults) {
  const Options options = Parsed({"a.qcow2"});
  EXPECT_EQ(options.images, Arguments({"a.qcow2"}));
  EXPECT_EQ(options.overlap.bits(), checker::OverlapClasses::All().bits());
  EXPECT_FALSE(options.deep);
  EXPECT_EQ(options.named_files, NamedFilePolicy::kFollow);
  EXPECT_EQ(options.output, OutputFormat::kHuman);
  EXPECT_EQ(options.max_problems, 1000u);
  EXPECT_EQ(options.progress, ProgressMode::kAuto);
  EXPECT_EQ(options.jobs, 0u);
  EXPECT_EQ(options.memory_limit_bytes, 64u << 20);
  EXPECT_FALSE(options.force_share);
  EXPECT_FALSE(options.qemu_compatible);
}

TEST(OptionsTest, BracketsInTheNameOfAnImageAreNoList) {
  const Arguments names = {"[a,b]", "[a]", "[]", "{}", "a b", "-"};
  EXPECT_EQ(Parsed(names).images, names);
  for (const std::string& name : names) {
    EXPECT_EQ(Parsed({name}).images, Arguments({name}));
    EXPECT_EQ(Parsed({"a", "--repair", name}).images, Arguments({"a", name}));
    EXPECT_EQ(Parsed({"merge", name}).images, Arguments({name}));
    EXPECT_EQ(Parsed({"--compat=qemu-img", "-q", name}).images,
              Arguments({name}));
  }
}

TEST(OptionsTest, WhatStandsBehindTwoDashesIsAName) {
  EXPECT_EQ(Parsed({"a", "--", "--repair", "--", "-x"}).images,
            Arguments({"a", "--repair", "--", "-x"}));
  EXPECT_EQ(Parsed({"--", "a"}).task, Task::kCheck);
}

TEST(OptionsTest, UnknownOptionsAreNoNames) {
  for (const Arguments& wrong :
       {Arguments{"--repai", "a"}, Arguments{"a", "--repai"},
        Arguments{"a", "-x", "b"}, Arguments{"a", "--no-such=b", "b"},
        Arguments{"merge", "a", "--repair"}}) {
    const CommandLine result = ParseCommandLine(wrong);
    EXPECT_FALSE(result.options.has_value());
    EXPECT_EQ(result.exit_code, kExitUsageError);
    EXPECT_NE(result.standard_error.find("not expected: -"), std::string::npos)
        << result.standard_error;
  }
}

TEST(OptionsTest, PicturesAreOfOneImage) {
  EXPECT_EQ(Parsed({"--map=m.svg", "a"}).map_file, "m.svg");
  EXPECT_EQ(Parsed({"--html=h", "--repair", "a"}).html_file, "h");
  EXPECT_FALSE(WantsPicture(Parsed({"a", "b"})));
  for (const Arguments& wrong :
       {Arguments{"--map=m.svg", "a", "b"}, Arguments{"--html=h", "a", "b"},
        Arguments{"--map=m.svg", "--recursive", "a"},
        Arguments{"--map=m.svg", "--max-rate=1M", "a"},
        Arguments{"--map=m.svg", "--explain=list"}, Arguments{"--map=", "a"}}) {
    const CommandLine result = ParseCommandLine(wrong);
    EXPECT_FALSE(result.options.has_value());
    EXPECT_EQ(result.exit_code, kExitUsageError);
  }
}

TEST(OptionsTest, EveryOption) {
  const Options options =
      Parsed({"--overlap-check=none,+active-l2", "--deep", "--output", "ndjson",
              "--backing=same-dir", "--report=r.json", "--metrics=m.prom",
              "--max-problems=0", "--progress", "--jobs=3", "--memory-limit=3M",
              "-U", "a", "b"});
  EXPECT_EQ(options.images, Arguments({"a", "b"}));
  EXPECT_EQ(options.overlap.bits(), checker::kOwnerActiveL2);
  EXPECT_TRUE(options.deep);
  EXPECT_EQ(options.named_files, NamedFilePolicy::kSameDirectory);
  EXPECT_EQ(options.output, OutputFormat::kNdjson);
  EXPECT_EQ(options.report_file, "r.json");
  EXPECT_EQ(options.metrics_file, "m.prom");
  EXPECT_EQ(options.max_problems, 0u);
  EXPECT_EQ(options.progress, ProgressMode::kOn);
  EXPECT_EQ(options.jobs, 3u);
  EXPECT_EQ(options.memory_limit_bytes, 3u << 20);
  EXPECT_TRUE(options.force_share);
}

TEST(OptionsTest, OtherSpellings) {
  EXPECT_TRUE(Parsed({"--force-share", "a"}).force_share);
  EXPECT_EQ(Parsed({"--no-progress", "a"}).progress, ProgressMode::kOff);
  EXPECT_EQ(Parsed({"--output=json", "a"}).output, OutputFormat::kJson);
  EXPECT_EQ(Parsed({"--explain=310"}).explain, "310");
  EXPECT_EQ(Parsed({"--", "--deep"}).images, Arguments({"--deep"}));
  EXPECT_EQ(Parsed({"--overlap-check=-inactive-l2", "a"}).overlap.bits(),
            checker::kMetadataOwners & ~checker::kOwnerInactiveL2);
}

TEST(OptionsTest, ManyImages) {
  EXPECT_FALSE(Parsed({"a"}).fleet.any());
  const FleetOptions fleet =
      Parsed({"--recursive", "--exclude=*.bak", "--exclude", "old", "a",
              "--newer-than=2026-11-21Z", "--with-backing-files",
              "--time-budget=1h30m", "--state=s", "--max-rate=20M",
              "--baseline=b1", "--baseline=b2"})
          .fleet;
  EXPECT_TRUE(fleet.any());
  EXPECT_TRUE(fleet.recursive);
  EXPECT_TRUE(fleet.backing_files);
  EXPECT_EQ(fleet.exclude, Arguments({"*.bak", "old"}));
  EXPECT_EQ(fleet.newer_than, 1795219200);
  EXPECT_EQ(fleet.time_budget_seconds, 5400);
  EXPECT_EQ(fleet.state_file, "s");
  EXPECT_EQ(fleet.max_rate_bytes, 20u << 20);
  EXPECT_EQ(fleet.baselines, Arguments({"b1", "b2"}));
}

TEST(OptionsTest, Shards) {
  const FleetOptions fleet = Parsed({"--shard=3/4", "a"}).fleet;
  EXPECT_TRUE(fleet.any());
  EXPECT_EQ(fleet.shard.index, 3u);
  EXPECT_EQ(fleet.shard.count, 4u);
  for (const char* shard : {"4/4", "1", "/4", "1/", "0/0", "-1/4", "1/4/2"}) {
    EXPECT_EQ(ParseCommandLine({"--shard", shard, "a"}).exit_code,
              kExitUsageError)
        << shard;
  }
}

// On every machine and for ever.
TEST(OptionsTest, AnImageStaysInItsShard) {
  size_t sizes[4] = {};
  for (int i = 0; i < 4000; ++i) {
    const std::string path = "/images/" + std::to_string(i) + ".qcow2";
    int shards = 0;
    for (uint64_t index = 0; index < 4; ++index) {
      if (!IsInShard(path, {index, 4})) continue;
      ++sizes[index];
      ++shards;
    }
    EXPECT_EQ(shards, 1);
  }
  for (const size_t size : sizes)
    EXPECT_NEAR(static_cast<double>(size), 1000, 150);
  EXPECT_TRUE(IsInShard("/images/0.qcow2", {0, 4}));
}

TEST(OptionsTest, MergeTakesReports) {
  const Options options = Parsed({"merge", "--output=json", "a", "b"});
  EXPECT_TRUE(options.fleet.merge);
  EXPECT_EQ(options.images, Arguments({"a", "b"}));
  EXPECT_EQ(options.output, OutputFormat::kJson);
  EXPECT_EQ(Parsed({"./merge"}).images, Arguments({"./merge"}));
  EXPECT_EQ(ParseCommandLine({"merge"}).exit_code, kExitUsageError);
  EXPECT_EQ(ParseCommandLine({"merge", "--deep", "a"}).exit_code,
            kExitUsageError);
}

TEST(OptionsTest, RepairModes) {
  const Options plain = Parsed({"--repair", "a"});
  EXPECT_EQ(plain.task, Task::kRepair);
  EXPECT_EQ(plain.repair_mode, repair::Mode::kAll);
  EXPECT_EQ(plain.images, Arguments({"a"}));
  EXPECT_TRUE(plain.keep_undo);
  EXPECT_TRUE(MayWrite(plain));
  EXPECT_EQ(Parsed({"--repair=leaks", "a"}).repair_mode, repair::Mode::kLeaks);
  EXPECT_EQ(Parsed({"--repair=all", "a"}).repair_mode, repair::Mode::kAll);
  EXPECT_EQ(Parsed({"a", "--repair"}).repair_mode, repair::Mode::kAll);
  EXPECT_FALSE(MayWrite(Parsed({"a"})));
  EXPECT_FALSE(MayWrite(Parsed({"--repair", "--dry-run", "a"})));
}

TEST(OptionsTest, ARepairMayHoldAllReferences) {
  EXPECT_EQ(Parsed({"--repair", "a"}).memory_limit_bytes, 1u << 30);
  EXPECT_EQ(Parsed({"--discard-freed", "a"}).memory_limit_bytes, 1u << 30);
  EXPECT_EQ(Parsed({"--repair", "--memory-limit=3M", "a"}).memory_limit_bytes,
            3u << 20);
}

TEST(OptionsTest, WhatGoesWithARepair) {
  const Options options =
      Parsed({"--repair=salvage", "--dry-run", "--free-suspects", "--deep",
              "--drop-snapshot=one", "--drop-snapshot", "two", "--journal=j",
              "--undo-file=u", "a"});
  EXPECT_EQ(options.repair_mode, repair::Mode::kSalvage);
  EXPECT_TRUE(options.dry_run);
  EXPECT_TRUE(options.free_suspects);
  EXPECT_EQ(options.drop_snapshots, Arguments({"one", "two"}));
  EXPECT_EQ(options.journal_file, "j");
  EXPECT_EQ(options.undo_file, "u");
  EXPECT_EQ(options.images, Arguments({"a"}));
  EXPECT_FALSE(Parsed({"--repair", "--no-undo", "a"}).keep_undo);
}

TEST(OptionsTest, UndoAndRecover) {
  const Options discard = Parsed({"--discard-freed", "--no-undo", "a"});
  EXPECT_EQ(discard.task, Task::kDiscard);
  EXPECT_FALSE(discard.keep_undo);
  EXPECT_TRUE(MayWrite(discard));
  EXPECT_FALSE(MayWrite(Parsed({"--discard-freed", "--dry-run", "a"})));
  const Options undo = Parsed({"--undo", "--undo-file=u", "a"});
  EXPECT_EQ(undo.task, Task::kUndo);
  EXPECT_EQ(undo.undo_file, "u");
  EXPECT_TRUE(MayWrite(undo));
  const Options recover = Parsed({"--recover", "--journal=j", "a"});
  EXPECT_EQ(recover.task, Task::kRecover);
  EXPECT_EQ(Parsed({"--recover", "a", "b"}).images, Arguments({"a", "b"}));
  EXPECT_FALSE(recover.moved_image);
  EXPECT_TRUE(Parsed({"--recover", "--moved-image", "a"}).moved_image);
  EXPECT_TRUE(Parsed({"--undo", "--moved-image", "a"}).moved_image);
}

TEST(OptionsTest, WrongOnesAreUsageErrors) {
  const std::vector<Arguments> wrong = {
      {},
      {"--deep"},
      {"--nonsense", "a"},
      {"--deep=maybe", "a"},
      {"--backing=everything", "a"},
      {"--backing", "a"},
      {"--output=xml", "a"},
      {"--output", "a"},
      {"--max-problems=-1", "a"},
      {"--max-problems=many", "a"},
      {"--jobs=0", "a"},
      {"--jobs=257", "a"},
      {"--memory-limit=0", "a"},
      {"--memory-limit=big", "a"},
      {"--overlap-check=most", "a"},
      {"--report=", "a"},
      {"--metrics=", "a"},
      {"--explain=", "a"},
      {"--explain=310", "a"},
      {"--explain"},
      {"--progress", "--no-progress", "a"},
      {"--jobs=1", "--jobs=2", "a"},
      {"--compat=fsck", "a"},
      {"--repair=most", "a"},
      {"--repair=", "a"},
      {"--repair"},
      {"--repair", "--undo", "a"},
      {"--repair", "--recover", "a"},
      {"--undo", "--recover", "a"},
      {"--moved-image", "a"},
      {"--repair", "--moved-image", "a"},
      {"--discard-freed"},
      {"--discard-freed", "--repair", "a"},
      {"--discard-freed", "--undo", "a"},
      {"--discard-freed", "--recover", "a"},
      {"--discard-freed", "-U", "a"},
      {"--discard-freed", "--free-suspects", "a"},
      {"--discard-freed", "--overlap-check=none", "a"},
      {"--dry-run", "a"},
      {"--dry-run", "--undo", "a"},
      {"--free-suspects", "a"},
      {"--drop-snapshot=s", "a"},
      {"--repair", "--drop-snapshot=s", "a"},
      {"--repair=salvage", "--drop-snapshot=", "a"},
      {"--no-undo", "a"},
      {"--no-undo", "--undo", "a"},
      {"--repair", "--no-undo", "--undo-file=u", "a"},
      {"--journal=j", "a"},
      {"--undo-file=u", "a"},
      {"--repair", "--journal=j", "a", "b"},
      {"--undo", "--undo-file=u", "a", "b"},
      {"--repair", "-U", "a"},
      {"--undo", "--force-share", "a"},
      {"--repair", "--overlap-check=none", "a"},
      {"-q", "a"},
      {"--sandbox", "a", "b"},
      {"--sandbox", "--recursive", "a"},
      {"--sandbox", "--max-rate=1M", "a"},
      {"--sandbox", "--repair", "a"},
      {"--sandbox", "nbd://host/disk"},
      {"--sandbox", "--report=r", "a"},
      {"--sandbox", "--metrics=m", "a"},
      {"--sandbox", "--map=m.svg", "a"},
      {"--sandbox", "--backing=follow", "a"},
  };
  for (const Arguments& arguments : wrong) {
    std::string line;
    for (const std::string& argument : arguments) line += argument + " ";
    const CommandLine result = ParseCommandLine(arguments);
    EXPECT_FALSE(result.options.has_value()) << line;
    EXPECT_EQ(result.exit_code, kExitUsageError) << line;
    EXPECT_TRUE(result.standard_output.empty()) << line;
    EXPECT_NE(result.standard_error.find("Usage: qcow2-fsck"),
              std::string::npos)
        << line;
  }
}

TEST(OptionsTest, HelpAndVersionGoToStandardOutput) {
  const CommandLine help = ParseCommandLine({"--help"});
  EXPECT_FALSE(help.options.has_value());
  EXPECT_EQ(help.exit_code, kExitClean);
  EXPECT_TRUE(help.standard_error.empty());
  for (const std::string& name : OptionNames()) {
    EXPECT_NE(help.standard_output.find("--" + name), std::string::npos)
        << name;
  }
  EXPECT_NE(help.standard_output.find("  32  the run was cancelled"),
            std::string::npos);
  EXPECT_EQ(ParseCommandLine({"--version"}).standard_output,
            "qcow2-fsck 0.1.0\n");
}

TEST(OptionsTest, HelpFitsATerminal) {
  const std::string help = ParseCommandLine({"--help"}).standard_output;
  for (size_t begin = 0; begin < help.size();) {
    const size_t end = help.find('\n', begin);
    EXPECT_LE(end - begin, 80u) << help.substr(begin, end - begin);
    begin = end + 1;
  }
}

TEST(CompatOptionsTest, ThoseOfQemuImgCheck) {
  const Options options =
      Parsed({"--compat=qemu-img", "-q", "-U", "-f", "qcow2", "--output=json",
              "-p", "-T", "none", "--object", "secret,id=a,data=b", "a"});
  EXPECT_TRUE(options.qemu_compatible);
  EXPECT_TRUE(options.quiet);
  EXPECT_TRUE(options.force_share);
  EXPECT_EQ(options.format, "qcow2");
  EXPECT_EQ(options.output, OutputFormat::kJson);
  EXPECT_EQ(options.progress, ProgressMode::kOn);
  EXPECT_TRUE(Parsed({"--compat", "qemu-img", "a"}).qemu_compatible);
  EXPECT_TRUE(Parsed({"a", "-q", "--compat=qemu-img"}).quiet);
  EXPECT_EQ(options.task, Task::kCheck);
  const Options repair = Parsed({"--compat=qemu-img", "-r", "leaks", "a"});
  EXPECT_EQ(repair.task, Task::kRepair);
  EXPECT_EQ(repair.repair_mode, repair::Mode::kLeaks);
  EXPECT_EQ(Parsed({"--compat=qemu-img", "--repair=all", "a"}).repair_mode,
            repair::Mode::kAll);
}

TEST(CompatOptionsTest, WrongOnesExitWithOneAsThere) {
  const std::vector<Arguments> wrong = {
      {},
      {"a", "b"},
      {"-r", "salvage", "a"},
      {"-r", "everything", "a"},
      {"-r", "all", "-U", "a"},
      {"--undo", "a"},
      {"--image-opts", "driver=qcow2,file.filename=a"},
      {"-T", "nonsense", "a"},
      {"--output=ndjson", "a"},
      {"--deep", "a"},
  };
  for (Arguments arguments : wrong) {
    arguments.insert(arguments.begin(), "--compat=qemu-img");
    const CommandLine result = ParseCommandLine(arguments);
    EXPECT_FALSE(result.options.has_value()) << arguments.back();
    EXPECT_EQ(result.exit_code, kCompatNotChecked) << arguments.back();
  }
}

}  // namespace
}  // namespace qcow2::cli
