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
#include "tests/differential/damage.h"
#include "tests/differential/qemu_img.h"

namespace qcow2 {
namespace {

// Shell commands that make a healthy base image $1; run in a scratch folder.
struct Base {
  const char* name;
  const char* script;
};

constexpr Base kBases[] = {
    {"v3_64k",
     "qemu-img create -q -f qcow2 $1 2M && "
     "qemu-io -f qcow2 -c 'write 0 256k' -c 'write 1M 192k' $1"},
    {"v3_512_snapshot",
     "qemu-img create -q -f qcow2 -o cluster_size=512 $1 256k && "
     "qemu-io -f qcow2 -c 'write 0 16k' -c 'write 100k 20k' $1 && "
     "qemu-img snapshot -c one $1 && "
     "qemu-io -f qcow2 -c 'write 8k 16k' -c 'write -z 104k 8k' $1"},
    {"v2_4k_snapshots",
     "qemu-img create -q -f qcow2 -o compat=0.10,cluster_size=4k $1 4M && "
     "qemu-io -f qcow2 -c 'write 0 128k' $1 && "
     "qemu-img snapshot -c one $1 && "
     "qemu-io -f qcow2 -c 'write 64k 128k' $1 && "
     "qemu-img snapshot -c two $1 && "
     "qemu-io -f qcow2 -c 'write 3M 64k' $1"},
    {"extended_l2",
     "qemu-img create -q -f qcow2 -o extended_l2=on,cluster_size=16k $1 4M && "
     "qemu-io -f qcow2 -c 'write 0 100k' -c 'write 1M 3k' "
     "-c 'write -z 1M 512' -c 'write 2050k 1k' $1"},
    {"compressed",
     "qemu-img create -q -f qcow2 -o cluster_size=4k $1 1M && "
     "qemu-io -f qcow2 -c 'write -c -P 1 0 256k' -c 'write -P 2 512k 64k' "
     "-c 'write -c -P 3 600k 64k' $1"},
    {"compressed_zstd",
     "qemu-img create -q -f qcow2 -o compression_type=zstd $1 4M && "
     "qemu-io -f qcow2 -c 'write -c -P 1 0 1M' -c 'write -P 2 2M 128k' $1"},
    {"refcount_1",
     "qemu-img create -q -f qcow2 -o refcount_bits=1,cluster_size=1k $1 512k "
     "&& "
     "qemu-io -f qcow2 -c 'write 0 100k' -c 'write 300k 9k' $1"},
    {"refcount_8_snapshot",
     "qemu-img create -q -f qcow2 -o refcount_bits=8,cluster_size=1k $1 512k "
     "&& qemu-io -f qcow2 -c 'write 0 100k' $1 && "
     "qemu-img snapshot -c one $1 && qemu-io -f qcow2 -c 'write 50k 9k' $1"},
    {"refcount_64",
     "qemu-img create -q -f qcow2 -o refcount_bits=64,cluster_size=512 $1 128k "
     "&& qemu-io -f qcow2 -c 'write 0 20k' $1 && "
     "qemu-img snapshot -c one $1"},
    {"bitmaps",
     "qemu-img create -q -f qcow2 -o cluster_size=4k $1 8M && "
     "qemu-img bitmap --add -g 4096 $1 b0 && "
     "qemu-img bitmap --add -g 65536 $1 b1 && "
     "qemu-io -f qcow2 -c 'write 0 64k' $1"},
    {"data_file",
     "qemu-img create -q -f qcow2 -o data_file=$1.raw,cluster_size=4k $1 1M && "
     "qemu-io -f qcow2 -c 'write 0 64k' -c 'write 512k 9k' $1"},
    {"preallocated",
     "qemu-img create -q -f qcow2 -o preallocation=metadata,cluster_size=2k "
     "$1 1M"},
};

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

class DifferentialTest : public testing::TestWithParam<Base> {
 protected:
  std::string Scratch(const std::string& name) const {
    return testing::TempDir() + "/differential_" + name;
  }
  std::string MakeBase() const {
    const std::string path = Scratch(GetParam().name);
    std::string output;
    const std::string script = std::string("set -e; f() { ") +
                               GetParam().script + " >/dev/null; }; f ";
    EXPECT_EQ(RunCommand(script + path, &output), 0) << output;
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

INSTANTIATE_TEST_SUITE_P(Bases, DifferentialTest, testing::ValuesIn(kBases),
                         [](const testing::TestParamInfo<Base>& info) {
                           return std::string(info.param.name);
                         });

}  // namespace
}  // namespace qcow2
