// The program on images made to cost it more than they should: it ends by
// itself within the time and memory any input may cost, and says something.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "tests/hostile/hostile_images.h"
#include "tests/hostile/program_run.h"
#include "tests/hostile/scratch_folder.h"

namespace qcow2::hostile {
namespace {

class HostileImageTest : public testing::TestWithParam<HostileImage> {
 protected:
  // `passes`: how often it may read what a check reads once.
  void Run(std::vector<std::string> options, int passes = 1) {
    const std::string path = folder_.File("image.qcow2");
    const absl::Status written = GetParam().write(path);
    if (written.code() == absl::StatusCode::kOutOfRange ||
        written.code() == absl::StatusCode::kFailedPrecondition) {
      GTEST_SKIP() << "this file system has no files that large: " << written;
    }
    ASSERT_TRUE(written.ok()) << written;
    options.push_back(path);
    const ProgramRun run = RunProgram(CheckerProgram(), options);
    EXPECT_EQ(run.signal, 0) << run.standard_error;
    EXPECT_GT(run.exit_code, 0) << "never called clean" << run.standard_error;
    EXPECT_FALSE(run.standard_output.empty() && run.standard_error.empty());
    EXPECT_LT(run.standard_output.size(), 64u << 20);
    EXPECT_LE(run.cpu_seconds, passes * MaxCpuSeconds());
    EXPECT_LE(run.peak_bytes, MaxPeakBytes());
    RecordProperty("cpu_milliseconds",
                   static_cast<int>(run.cpu_seconds * 1000));
    RecordProperty("peak_mebibytes", static_cast<int>(run.peak_bytes >> 20));
  }

  ScratchFolder& folder() { return folder_; }

 private:
  ScratchFolder folder_;
};

TEST_P(HostileImageTest, CostsLittle) { Run({}); }

// It follows L1 tables in another way then.
class HostileImageLikeQemuImgTest : public HostileImageTest {};

TEST_P(HostileImageLikeQemuImgTest, CostsLittle) { Run({"--compat=qemu-img"}); }

// Pictures have a second look at everything, and a size that is bounded.
class HostileImagePictureTest : public HostileImageTest {};

TEST_P(HostileImagePictureTest, CostsTwice) {
  const std::string page = folder().File("page.html");
  const std::string map = folder().File("map.svg");
  Run({"--html=" + page, "--map=" + map}, 2);
  if (IsSkipped()) return;
  for (const std::string& file : {page, map}) {
    EXPECT_LT(std::filesystem::file_size(file), 32u << 20);
  }
}

const auto kNameOf = [](const auto& info) { return info.param.name; };

INSTANTIATE_TEST_SUITE_P(Circular, HostileImageTest,
                         testing::ValuesIn(CircularImages()), kNameOf);
INSTANTIATE_TEST_SUITE_P(Crowded, HostileImageTest,
                         testing::ValuesIn(CrowdedImages()), kNameOf);
INSTANTIATE_TEST_SUITE_P(Directories, HostileImageTest,
                         testing::ValuesIn(CrowdedDirectories()), kNameOf);
INSTANTIATE_TEST_SUITE_P(Huge, HostileImageTest,
                         testing::ValuesIn(HugeImages()), kNameOf);

INSTANTIATE_TEST_SUITE_P(Circular, HostileImageLikeQemuImgTest,
                         testing::ValuesIn(CircularImages()), kNameOf);
INSTANTIATE_TEST_SUITE_P(Crowded, HostileImageLikeQemuImgTest,
                         testing::ValuesIn(CrowdedImages()), kNameOf);

INSTANTIATE_TEST_SUITE_P(Circular, HostileImagePictureTest,
                         testing::ValuesIn(CircularImages()), kNameOf);
INSTANTIATE_TEST_SUITE_P(Crowded, HostileImagePictureTest,
                         testing::ValuesIn(CrowdedImages()), kNameOf);
INSTANTIATE_TEST_SUITE_P(Directories, HostileImagePictureTest,
                         testing::ValuesIn(CrowdedDirectories()), kNameOf);
INSTANTIATE_TEST_SUITE_P(Huge, HostileImagePictureTest,
                         testing::ValuesIn(HugeImages()), kNameOf);

}  // namespace
}  // namespace qcow2::hostile
