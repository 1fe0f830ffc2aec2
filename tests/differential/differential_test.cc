// Thousands of randomly damaged images, judged by qemu-img and by us: counts
// and class must be the same, except for what qemu-img is blind to, which is
// counted apart. A seed that differs is printed and can be run alone with
// DIFFERENTIAL_SEED; DIFFERENTIAL_IMAGES sets how many are made.
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "checker/check.h"
#include "engine/format/header.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/posix_file.h"
#include "gtest/gtest.h"
#include "tests/differential/base_images.h"
#include "tests/differential/damage.h"
#include "tests/differential/qemu_img.h"

namespace qcow2 {
namespace {

std::vector<std::byte> ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)),
                         std::istreambuf_iterator<char>());
  std::vector<std::byte> bytes(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    bytes[i] = static_cast<std::byte>(text[i]);
  }
  return bytes;
}

void WriteAll(const std::string& path, const std::vector<std::byte>& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  for (const std::byte byte : bytes) out.put(static_cast<char>(byte));
}

uint64_t NumberFromEnvironment(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

std::string ClassOf(int qemu_exit_code) {
  switch (qemu_exit_code) {
    case 0:
      return "clean";
    case 2:
      return "corrupt";
    case 3:
      return "leaks";
    default:
      return "error";
  }
}

std::string ClassOf(const checker::QemuCounts& counts) {
  if (counts.refused || counts.check_errors > 0) return "error";
  if (counts.corruptions > 0) return "corrupt";
  return counts.leaks > 0 ? "leaks" : "clean";
}

// What we found, for the message of a failure.
std::string FoundBy(const checker::CheckReport& report) {
  std::string text = "\nfound:";
  for (const auto* list : {&report.problems, &report.warnings}) {
    for (const checker::Finding& finding : *list) {
      text += "\n  " + std::to_string(finding.count) + " x " +
              checker::DescribeFinding(finding);
    }
  }
  return text;
}

class DifferentialTest : public testing::TestWithParam<BaseImage> {
 protected:
  std::string Scratch(const std::string& name) const {
    return testing::TempDir() + "/differential_" + name;
  }
  std::string MakeBase() const {
    std::string path = Scratch(GetParam().name);
    std::string output;
    EXPECT_EQ(MakeBaseImage(GetParam(), path, &output), 0) << output;
    return path;
  }
  checker::CheckReport CheckLikeQemu(const std::vector<std::byte>& bytes,
                                     const std::string& path) const {
    checker::CheckOptions options;
    options.qemu_compatible = true;
    options.jobs = 1;
    // qemu-img does not open an image without its data file.
    options.open_other_file =
        [](const std::string& name,
           const std::string&) -> absl::StatusOr<std::unique_ptr<File>> {
      return PosixFile::Open(name);
    };
    return checker::CheckImage(MemoryFile(bytes), path, options);
  }
};

TEST_P(DifferentialTest, HealthyImageIsCleanAndCountsAgree) {
  if (!HaveQemuImg()) GTEST_SKIP() << "qemu-img is not installed";
  const std::string path = MakeBase();
  const QemuVerdict qemu = QemuCheck(path);
  ASSERT_EQ(qemu.exit_code, 0);
  const checker::CheckReport report = CheckLikeQemu(ReadAll(path), path);
  EXPECT_EQ(report.status, checker::CheckStatus::kClean);
  EXPECT_EQ(report.qemu.unseen, 0);
  EXPECT_EQ(report.allocation.allocated_clusters, qemu.allocated_clusters);
  EXPECT_EQ(report.allocation.fragmented_clusters, qemu.fragmented_clusters);
  EXPECT_EQ(report.allocation.compressed_clusters, qemu.compressed_clusters);
  EXPECT_EQ(report.allocation.total_clusters, qemu.total_clusters);
  EXPECT_EQ(report.image.image_end_offset_bytes, qemu.image_end_offset);
}

TEST_P(DifferentialTest, DamagedImagesGetTheSameCounts) {
  if (!HaveQemuImg()) GTEST_SKIP() << "qemu-img is not installed";
  const std::string base_path = MakeBase();
  const std::vector<std::byte> base = ReadAll(base_path);
  const std::vector<MetadataArea> areas = FindMetadata(base);
  const uint64_t cluster_size = uint64_t{1}
                                << Header::Decode(base).cluster_bits;
  const uint64_t only = NumberFromEnvironment("DIFFERENTIAL_SEED", 0);
  const uint64_t images = NumberFromEnvironment("DIFFERENTIAL_IMAGES", 250);
  const std::string path = base_path + ".damaged";
  int differ = 0;
  for (uint64_t seed = only != 0 ? only : 1;
       seed <= (only != 0 ? only : images) && differ < 10; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<std::byte> image = base;
    const std::string damage = Damage(areas, cluster_size, random, image);
    // qemu-img opens an encrypted image only with its secret, and the header
    // of these was damaged into one (see docs/qemu-img.md).
    if (Header::Decode(image).crypt_method != 0) continue;
    WriteAll(path, image);
    const QemuVerdict qemu = QemuCheck(path);
    const checker::CheckReport report = CheckLikeQemu(image, path);
    const std::string context =
        "seed " + std::to_string(seed) + ": " + damage + FoundBy(report);
    EXPECT_EQ(ClassOf(report.qemu), ClassOf(qemu.exit_code)) << context;
    bool same = ClassOf(report.qemu) == ClassOf(qemu.exit_code);
    if (same && qemu.exit_code != 1) {
      EXPECT_EQ(report.qemu.corruptions, qemu.corruptions) << context;
      EXPECT_EQ(report.qemu.leaks, qemu.leaks) << context;
      same = report.qemu.corruptions == qemu.corruptions &&
             report.qemu.leaks == qemu.leaks;
    }
    if (!same) ++differ;
  }
}

INSTANTIATE_TEST_SUITE_P(Bases, DifferentialTest,
                         testing::ValuesIn(AllBaseImages()),
                         [](const testing::TestParamInfo<BaseImage>& info) {
                           return std::string(info.param.name);
                         });

}  // namespace
}  // namespace qcow2
