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
    EXPECT_LE(run.peak_bytes, MaxPeak());
    RecordProperty("cpu_milliseconds",
                   static_cast<int>(run.cpu_seconds * 1000));
    RecordProperty("peak_mebibytes", static_cast<int>(run.peak_bytes >> 20));
  }

  ScratchFolder& folder() { return folder_; }

  virtual uint64_t MaxPeak() const { return MaxPeakBytes(); }

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

// A plan checks the image again after each change, and holds all references
// at once.
class HostileImagePlanTest : public HostileImageTest {
 protected:
  uint64_t MaxPeak() const override { return MaxPeakBytes() * 5; }
};

TEST_P(HostileImagePlanTest, CostsSomeMemory) {
  Run({"--repair", "--dry-run"}, 6);
}

// Of `images` those with one of `names`.
std::vector<HostileImage> Only(std::vector<HostileImage> images,
                               const std::vector<std::string>& names) {
  std::erase_if(images, [&](const HostileImage& image) {
    return std::find(names.begin(), names.end(), image.name) == names.end();
  });
  return images;
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

// The others come to the same, in minutes.
INSTANTIATE_TEST_SUITE_P(Circular, HostileImagePlanTest,
                         testing::ValuesIn(CircularImages()), kNameOf);
INSTANTIATE_TEST_SUITE_P(
    Crowded, HostileImagePlanTest,
    testing::ValuesIn(Only(CrowdedImages(),
                           {"FourMillionL1EntriesOneL2Table512",
                            "FourMillionL2Tables512",
                            "FourMillionL2TablesApart512", "FarApart64K",
                            "AllL2EntriesNameOneCluster", "ScatteredPairs",
                            "CompressedOnCompressed", "ExtensionsOfOneKind"})),
    kNameOf);
INSTANTIATE_TEST_SUITE_P(
    Directories, HostileImagePlanTest,
    testing::ValuesIn(Only(CrowdedDirectories(),
                           {"SnapshotsOneHugeL1Filled",
                            "SnapshotsHugeL1OverlappingFilled",
                            "SnapshotsTooMany", "BitmapsTooMany"})),
    kNameOf);
INSTANTIATE_TEST_SUITE_P(Huge, HostileImagePlanTest,
                         testing::ValuesIn(Only(HugeImages(),
                                                {"RefcountTableMaxOneBlock512",
                                                 "AlternatingCountsOneBlock",
                                                 "Clusters2To9File2To60",
                                                 "Clusters2To16File2To60"})),
                         kNameOf);

}  // namespace
}  // namespace qcow2::hostile
