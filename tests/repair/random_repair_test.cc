// Thousands of randomly damaged images, repaired by us and by `qemu-img check
// -r all`. RANDOM_REPAIR_IMAGES sets how many are made of each kind,
// RANDOM_REPAIR_SEED picks one of them; RANDOM_REPAIR_VERBOSE prints every
// image that qemu-img leaves better than we do.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "checker/finding.h"
#include "engine/format/byte_order.h"
#include "engine/format/geometry.h"
#include "engine/format/header.h"
#include "engine/format/l2_entry.h"
#include "engine/storage/posix_file.h"
#include "tests/differential/base_images.h"
#include "tests/differential/damage.h"
#include "tests/differential/qemu_img.h"
#include "tests/repair/trial.h"

namespace qcow2 {
namespace {

uint64_t NumberFromEnvironment(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

// Gives every host cluster of an L2 table bytes of its own, so that it shows
// when one is taken for another.
void StampTable(const Geometry& geometry, uint64_t table, Bytes& image) {
  for (uint64_t i = 0; i < geometry.l2_entries(); ++i) {
    const uint64_t at = table + i * geometry.l2_entry_size();
    const L2Entry entry = L2Entry::Decode(image.data() + at, geometry);
    const uint64_t offset = entry.host_offset().value();
    if (entry.is_compressed() || offset == 0 ||
        offset + geometry.cluster_size() > image.size()) {
      continue;
    }
    for (uint64_t j = 0; j < geometry.cluster_size(); j += 8) {
      StoreBe64(image.data() + offset + j,
                (offset + j + 1) * 0x9e3779b97f4a7c15);
    }
  }
}

void Stamp(const std::vector<MetadataArea>& areas, Bytes& image) {
  const Header header = Header::Decode(image);
  if (header.has_external_data_file()) return;
  const Geometry geometry = *Geometry::Create(
      header.cluster_bits, header.refcount_order, header.has_extended_l2());
  for (const MetadataArea& area : areas) {
    if (area.name.find("L2") == std::string::npos &&
        area.name.find("l2") == std::string::npos) {
      continue;
    }
    StampTable(geometry, area.offset_bytes, image);
  }
}

bool IsNamed(const repair::Plan& plan, const WrongRange& range) {
  // Sector by sector: several named ranges may cover one that is wrong.
  for (uint64_t done = 0; done < range.length_bytes; done += 512) {
    const uint64_t at = range.offset_bytes + done;
    const bool named = std::any_of(
        plan.guest_changes().begin(), plan.guest_changes().end(),
        [&](const repair::GuestChange& change) {
          return change.range.snapshot == range.snapshot &&
                 at >= change.range.offset_bytes &&
                 at < change.range.offset_bytes + change.range.length_bytes;
        });
    if (!named) return false;
  }
  return true;
}

std::string Words(const Outcome& outcome) {
  std::string text = outcome.clean()
                         ? "clean"
                         : absl::StrJoin(ProblemsIn(outcome.report), ",");
  size_t listed = 0;
  for (const WrongRange& range : outcome.wrong) {
    if (++listed > 5) break;
    absl::StrAppend(&text, " [", Describe(range), "]");
  }
  return text;
}

void PrintPlan(const repair::Plan& plan) {
  for (const repair::Edit& edit : plan.edits()) {
    std::printf("  %s: %s -> %s (%lu)\n", edit.where.c_str(),
                edit.before.c_str(), edit.after.c_str(), edit.count);
  }
  for (const repair::GuestChange& change : plan.guest_changes()) {
    std::printf("  guest %#lx+%#lx of '%s': %s\n", change.range.offset_bytes,
                change.range.length_bytes, change.range.snapshot.c_str(),
                change.reason.c_str());
  }
}

struct Tally {
  uint64_t images = 0;
  uint64_t clean_by_us = 0;
  uint64_t clean_by_qemu = 0;
  uint64_t wrong_by_us = 0;
  uint64_t wrong_by_qemu = 0;
};

class RandomRepairTest : public testing::TestWithParam<BaseImage> {
 protected:
  void SetUp() override {
    if (!HaveQemuImg()) GTEST_SKIP() << "qemu-img is not installed";
    path_ = testing::TempDir() + "/random_repair_" + GetParam().name;
    std::string output;
    ASSERT_EQ(MakeBaseImage(GetParam(), path_, &output), 0) << output;
    base_ = ReadBytes(path_);
    areas_ = FindMetadata(base_);
    Stamp(areas_, base_);
    verbose_ = std::getenv("RANDOM_REPAIR_VERBOSE") != nullptr;
  }

  Patient MakePatient(uint64_t seed) {
    Patient patient;
    patient.path = path_;
    patient.image = base_;
    patient.original = base_;
    patient.data_file = ReadBytes(path_ + ".raw");
    patient.check.open_other_file =
        [](const std::string& name,
           const std::string&) -> absl::StatusOr<std::unique_ptr<File>> {
      return PosixFile::Open(name);
    };
    std::mt19937_64 random(seed);
    damage_ = Damage(areas_, uint64_t{1} << Header::Decode(base_).cluster_bits,
                     random, patient.image);
    return patient;
  }

  // What holds for every repair, whatever qemu-img does.
  void ExpectHarmless(const Patient& patient, const OurOutcome& ours) {
    EXPECT_EQ(ours.error, "") << context_;
    EXPECT_EQ(ours.stopped, "") << context_;
    const Outcome before = LeaveAlone(patient);
    if (!before.report.qemu.refused && !ours.report.qemu.refused) {
      for (const WrongRange& range :
           CompareDisks(ReadGuestDisks(patient.image, patient.data_file),
                        ReadGuestDisks(ours.image, patient.data_file))) {
        EXPECT_TRUE(IsNamed(ours.plan, range))
            << context_ << ": " << Describe(range);
      }
    }
    Patient again = patient;
    again.image = ours.image;
    EXPECT_TRUE(RepairByUs(again, repair::Mode::kAll).image == ours.image)
        << context_ << ": a second repair changes something";
  }

  // An image we call clean is clean to qemu-img.
  void ExpectCleanToQemu(const Patient& patient, const OurOutcome& ours) {
    if (!ours.clean()) return;
    const std::string scratch = WriteScratch(patient, ours.image);
    EXPECT_EQ(QemuExitCode(scratch), 0) << context_;
    std::remove(scratch.c_str());
  }

  void Compare(const OurOutcome& ours, const Outcome& qemu) {
    ++tally_.images;
    const bool clean_by_qemu = qemu.clean();
    tally_.clean_by_us += ours.clean() ? 1 : 0;
    tally_.clean_by_qemu += clean_by_qemu ? 1 : 0;
    tally_.wrong_by_us += BytesIn(ours.wrong);
    tally_.wrong_by_qemu += BytesIn(qemu.wrong);
    const bool worse = (clean_by_qemu && !ours.clean()) ||
                       BytesIn(ours.wrong) > BytesIn(qemu.wrong);
    if (verbose_ && worse) {
      std::printf("%s\n    ours: %s\n    qemu: %d %s\n", context_.c_str(),
                  Words(ours).c_str(), qemu.qemu_exit_code,
                  Words(qemu).c_str());
    }
  }

  std::string path_;
  Bytes base_;
  std::vector<MetadataArea> areas_;
  bool verbose_ = false;
  std::string damage_;
  std::string context_;
  Tally tally_;
};

TEST_P(RandomRepairTest, LeavesImagesAtLeastAsGoodAsQemuImg) {
  const uint64_t only = NumberFromEnvironment("RANDOM_REPAIR_SEED", 0);
  const uint64_t images = NumberFromEnvironment("RANDOM_REPAIR_IMAGES", 20);
  for (uint64_t seed = only != 0 ? only : 1;
       seed <= (only != 0 ? only : images); ++seed) {
    const Patient patient = MakePatient(seed);
    // qemu-img opens an encrypted image only with its secret.
    if (Header::Decode(patient.image).crypt_method != 0) continue;
    context_ = absl::StrCat(GetParam().name, " seed ", seed, ": ", damage_);
    const OurOutcome ours = RepairByUs(patient, repair::Mode::kAll);
    ExpectHarmless(patient, ours);
    ExpectCleanToQemu(patient, ours);
    Compare(ours, RepairByQemu(patient));
    if (only != 0) PrintPlan(ours.plan);
    std::fflush(stdout);
  }
  std::printf(
      "%s: %lu images, clean: %lu by us, %lu by qemu-img; wrong bytes: "
      "%lu, %lu\n",
      GetParam().name, tally_.images, tally_.clean_by_us, tally_.clean_by_qemu,
      tally_.wrong_by_us, tally_.wrong_by_qemu);
  EXPECT_GE(tally_.clean_by_us, tally_.clean_by_qemu);
  EXPECT_LE(tally_.wrong_by_us, tally_.wrong_by_qemu);
}

INSTANTIATE_TEST_SUITE_P(Bases, RandomRepairTest,
                         testing::ValuesIn(AllBaseImages()),
                         [](const testing::TestParamInfo<BaseImage>& info) {
                           return std::string(info.param.name);
                         });

}  // namespace
}  // namespace qcow2
