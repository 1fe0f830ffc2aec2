// Commands of qcow2-tool that read a snapshot in place of the disk, with
// `qemu-img convert -l` as the second opinion.
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/cli/program.h"

namespace qcow2 {
namespace {

struct ImageCase {
  std::string name;
  std::vector<std::string> create = {};
  bool encrypted = false;
  bool backed = false;

  friend std::ostream& operator<<(std::ostream& out, const ImageCase& c) {
    return out << c.name;
  }
};

class ToolSnapshotTest : public ::testing::TestWithParam<ImageCase> {
 protected:
  // An image with snapshots "first" (id 1) and "second" (id 2), each of a disk
  // that was written since.
  void SetUp() override {
    WriteFile(folder_ / "secret", "word");
    if (GetParam().backed) {
      const std::string base = folder_ / "base.qcow2";
      Run(Tool({"create", base, "3M"}));
      Run(Tool({"write", "--length=2M", "--pattern=9", base}));
    }
    std::vector<std::string> create = {"create", path_, "4M"};
    create.insert(create.end(), GetParam().create.begin(),
                  GetParam().create.end());
    Run(Tool(WithSecret(create)));
    Write("100000", "200000", "1");
    Write("1M", "1M", "2");
    Run(Tool(WithSecret({"snapshot", "create", path_, "first"})));
    Write("150000", "1M", "3");
    Run(Tool(
        WithSecret({"zero", "--offset=1500000", "--length=200000", path_})));
    Run(Tool(WithSecret({"snapshot", "create", path_, "second"})));
    Write("0", "4M", "4");
  }
  void Write(const std::string& offset, const std::string& length,
             const std::string& pattern) {
    Run(Tool(WithSecret({"write", "--offset=" + offset, "--length=" + length,
                         "--pattern=" + pattern, path_})));
  }
  std::vector<std::string> WithSecret(
      std::vector<std::string> arguments,
      const std::string& option = "--secret-file") const {
    if (GetParam().encrypted) {
      arguments.push_back(option + "=" + folder_ / "secret");
    }
    return arguments;
  }
  static void Run(const Outcome& outcome) {
    ASSERT_EQ(outcome.exit_code, 0) << outcome.standard_error;
  }
  // The disk as `snapshot` has it, by QEMU.
  std::string ByQemu(const std::string& snapshot) const {
    const std::string raw = folder_ / "qemu.raw";
    std::vector<std::string> arguments = {"convert", "-t", "unsafe", "-l",
                                          snapshot,  "-O", "raw"};
    if (GetParam().encrypted) {
      arguments.insert(
          arguments.end(),
          {"--object", "secret,id=s,data=word", "--image-opts",
           "driver=qcow2,encrypt.key-secret=s,file.filename=" + path_});
    } else {
      arguments.push_back(path_);
    }
    arguments.push_back(raw);
    Run(QemuImg(arguments));
    return ReadFile(raw);
  }

  Folder folder_;
  const std::string path_ = folder_ / "disk.qcow2";
};

TEST_P(ToolSnapshotTest, ReadAndConvertHaveWhatQemuHas) {
  if (!HaveQemu()) GTEST_SKIP() << "qemu-img is not installed";
  for (const auto& [id, name] : {std::pair("1", "first"), {"2", "second"}}) {
    const std::string expected = ByQemu(name);
    for (const std::string word : {id, name}) {
      const Outcome read = Tool(WithSecret({"read", "-l", word, path_}));
      ASSERT_EQ(read.exit_code, 0) << read.standard_error;
      EXPECT_TRUE(read.standard_output == expected) << word;
    }
    const std::string raw = folder_ / "our.raw";
    Run(Tool(WithSecret(
        {"convert", std::string("--snapshot=") + name, "-O", "raw", path_, raw},
        "--source-secret-file")));
    EXPECT_TRUE(ReadFile(raw) == expected) << name;
    Run(Tool(WithSecret({"compare", "-l", name, path_, raw})));
    Run(Tool(WithSecret({"compare", "--other-snapshot", name, raw, path_})));
    EXPECT_EQ(Tool(WithSecret({"compare", path_, raw})).exit_code, 1);
  }
  EXPECT_EQ(
      Tool(WithSecret({"compare", "-l1", "--other-snapshot=2", path_, path_}))
          .exit_code,
      1);
  Run(Tool(
      WithSecret({"compare", "-l1", "--other-snapshot=first", path_, path_})));
}

// Applying a snapshot moves nothing, so afterwards the disk's map is what the
// snapshot's was.
TEST_P(ToolSnapshotTest, MapIsThatOfTheAppliedSnapshot) {
  for (const char* const name : {"first", "second"}) {
    const auto map = [&](std::vector<std::string> more) {
      more.insert(more.begin(), {"map", "--output=json"});
      more.push_back(path_);
      const Outcome outcome = Tool(WithSecret(more));
      EXPECT_EQ(outcome.exit_code, 0) << outcome.standard_error;
      return outcome.standard_output;
    };
    const std::string of_snapshot = map({"--snapshot", name});
    EXPECT_NE(of_snapshot, map({}));
    Run(Tool(WithSecret({"snapshot", "apply", path_, name})));
    EXPECT_EQ(of_snapshot, map({}));
  }
}

TEST_P(ToolSnapshotTest, ASnapshotHasItsOwnSize) {
  if (GetParam().name == "v2") {
    // Where snapshots have no size of their own, the disk's cannot change.
    EXPECT_EQ(Tool(WithSecret({"resize", path_, "6M"})).exit_code, 1);
    return;
  }
  Run(Tool(WithSecret({"resize", path_, "6M"})));
  EXPECT_EQ(Tool(WithSecret({"read", "-lfirst", path_})).standard_output.size(),
            size_t{4} << 20);
  EXPECT_EQ(
      Tool(WithSecret({"read", "-lfirst", "--offset=4M", "--length=1", path_}))
          .exit_code,
      1);
  if (!HaveQemu()) return;
  // To QEMU the disk is as long as it is now, and zeros where it was not yet.
  const std::string theirs = ByQemu("first");
  EXPECT_TRUE(theirs ==
              Tool(WithSecret({"read", "-lfirst", path_})).standard_output +
                  std::string(size_t{2} << 20, '\0'));
}

INSTANTIATE_TEST_SUITE_P(
    Images, ToolSnapshotTest,
    ::testing::Values(
        ImageCase{"plain"}, ImageCase{"v2", {"--compat=v2"}},
        ImageCase{"small_clusters", {"--cluster-size=512"}},
        ImageCase{"subclusters", {"--extended-l2=on"}},
        ImageCase{"luks", {"--encrypt=luks", "--iter-time=10"}, true},
        ImageCase{"aes", {"--encrypt=aes"}, true},
        ImageCase{"backed",
                  {"--backing-file=base.qcow2", "--backing-format=qcow2"},
                  false,
                  true}),
    [](const auto& info) { return info.param.name; });

TEST(ToolSnapshotMistakeTest, AreTold) {
  const Folder folder;
  const std::string image = folder / "disk.qcow2";
  const std::string raw = folder / "disk.raw";
  ASSERT_EQ(Tool({"create", image, "1M"}).exit_code, 0);
  ASSERT_EQ(Tool({"create", "-f", "raw", raw, "1M"}).exit_code, 0);
  const Outcome missing = Tool({"read", "-lnone", image});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_NE(missing.standard_error.find("none"), std::string::npos);
  EXPECT_EQ(Tool({"read", "--snapshot=", image}).exit_code, 2);
  const Outcome in_raw = Tool({"read", "-f", "raw", "-lnone", raw});
  EXPECT_EQ(in_raw.exit_code, 1);
  EXPECT_NE(in_raw.standard_error.find("a raw disk has no snapshots"),
            std::string::npos);
  EXPECT_EQ(Tool({"compare", "-lnone", image, raw}).exit_code, 2);
}

}  // namespace
}  // namespace qcow2
