// Randomly damaged images, repaired by us and by `qemu-img check -r all`: what
// qemu-img leaves better has to be explained in
// docs/repair-against-qemu-img.md.
//
// A run of its own, with thousands of images, is asked for by the environment:
//   RANDOM_REPAIR_IMAGES   how many are made of each kind
//   RANDOM_REPAIR_FIRST    the seed of the first
//   RANDOM_REPAIR_SECONDS  after so many qemu-img is stopped: a reference far
//                          away makes it write refcounts for hours
//   RANDOM_REPAIR_VERBOSE  if set, prints every image that qemu-img leaves
//                          better than we do, and if there is but one image of
//                          a kind, the plan
//   RANDOM_REPAIR_KEEP     a folder for the damaged images and what we make of
//                          them
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "checker/check.h"
#include "checker/finding.h"
#include "checker/report.h"
#include "engine/format/byte_order.h"
#include "engine/format/geometry.h"
#include "engine/format/header.h"
#include "engine/format/l2_entry.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/posix_file.h"
#include "tests/differential/base_images.h"
#include "tests/differential/damage.h"
#include "tests/differential/qemu_img.h"
#include "tests/repair/trial.h"

namespace qcow2 {
namespace {

// How many images are made of each kind unless the environment says otherwise.
constexpr uint64_t kImages = 20;
// A single image that we rightly leave alone must not decide about all.
constexpr uint64_t kFewImages = 100;
// Damage of several kinds may hide so much of what is wrong that a plan brings
// to light what the proof has to take for new. That has to be rare.
constexpr uint64_t kImagesForOneNotProven = 50;
// For images of a few hundred KiB that it mends in a tenth of a second, or in
// hours.
constexpr uint64_t kQemuSeconds = 2;

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
  // Several named ranges may cover one that is wrong.
  uint64_t at = range.offset_bytes;
  const uint64_t end = at + range.length_bytes;
  for (bool found = true; found && at < end;) {
    found = false;
    for (const repair::GuestChange& change : plan.guest_changes()) {
      const checker::GuestRange& named = change.range;
      if ((named.snapshot == range.snapshot ||
           named.snapshot == range.snapshot_now) &&
          named.offset_bytes <= at &&
          at - named.offset_bytes < named.length_bytes) {
        at = named.offset_bytes + named.length_bytes;
        found = true;
      }
    }
  }
  return at >= end;
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

// Whether a range that reads wrong was taken for recovered.
bool WasTakenForAnother(const OurOutcome& ours) {
  repair::Plan recovered;
  for (const repair::GuestChange& change : ours.plan.guest_changes()) {
    if (change.kind == repair::GuestChange::Kind::kRecovered) {
      recovered.AddGuestChange(change);
    }
  }
  return std::any_of(
      ours.wrong.begin(), ours.wrong.end(),
      [&](const WrongRange& range) { return IsNamed(recovered, range); });
}

struct Tally {
  uint64_t images = 0;
  // Our plan was not proven, so that nothing was written.
  uint64_t not_proven = 0;
  uint64_t clean_by_us = 0;
  uint64_t clean_by_qemu = 0;
  uint64_t wrong_by_us = 0;
  uint64_t wrong_by_qemu = 0;
  // Images for which qemu-img does better, in one way or the other.
  uint64_t clean_by_qemu_only = 0;
  uint64_t fewer_wrong_by_qemu = 0;
  uint64_t qemu_stopped = 0;
};

// A list of docs/repair-against-qemu-img.md: findings that explain why qemu-img
// leaves an image better.
std::set<std::string> ExplanationsUnder(const std::string& heading) {
  std::ifstream page("docs/repair-against-qemu-img.md");
  std::set<std::string> codes;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("#")) inside = line == "### " + heading;
    if (!inside || !line.starts_with("| `")) continue;
    codes.insert(line.substr(3, line.find('`', 3) - 3));
  }
  return codes;
}

bool IsExplained(const OurOutcome& ours, const std::set<std::string>& by) {
  const std::set<std::string> found = ProblemsIn(ours.report);
  return std::any_of(found.begin(), found.end(), [&](const std::string& code) {
    return by.contains(code);
  });
}

class RandomRepairTest : public testing::TestWithParam<BaseImage> {
 protected:
  void SetUp() override;

  Patient MakePatient(uint64_t seed);
  // What holds for every repair, whatever qemu-img does.
  void ExpectHarmless(const Patient& patient, const OurOutcome& ours);
  void ExpectToComeToAnEnd(const Patient& patient, const OurOutcome& ours);
  // An image we call clean is clean to qemu-img, but for COPIED flags that
  // mean nothing to us (docs/qemu-img.md).
  void ExpectCleanToQemu(const Patient& patient, const OurOutcome& ours);
  // What qemu-img does better has a reason that is written down.
  void Compare(const OurOutcome& ours, const Outcome& qemu);
  void Keep(uint64_t seed, const Patient& patient, const OurOutcome& ours);
  void TryImage(uint64_t seed);
  void PrintTally() const;

  const uint64_t images_ =
      NumberFromEnvironment("RANDOM_REPAIR_IMAGES", kImages);
  const uint64_t first_ = NumberFromEnvironment("RANDOM_REPAIR_FIRST", 1);
  const int seconds_ = static_cast<int>(
      NumberFromEnvironment("RANDOM_REPAIR_SECONDS", kQemuSeconds));
  const bool verbose_ = std::getenv("RANDOM_REPAIR_VERBOSE") != nullptr;
  const std::set<std::string> not_clean_ = ExplanationsUnder("Not clean");
  const std::set<std::string> not_read_ = ExplanationsUnder("Not read");
  std::string path_;
  Bytes base_;
  std::vector<MetadataArea> areas_;
  std::string damage_;
  std::string context_;
  Tally tally_;
};

void RandomRepairTest::SetUp() {
  if (!HaveQemuImg()) GTEST_SKIP() << "qemu-img is not installed";
  ASSERT_FALSE(not_clean_.empty());
  ASSERT_FALSE(not_read_.empty());
  path_ = testing::TempDir() + "/random_repair_" + GetParam().name;
  std::string output;
  ASSERT_EQ(MakeBaseImage(GetParam(), path_, &output), 0) << output;
  base_ = ReadBytes(path_);
  areas_ = FindMetadata(base_);
  Stamp(areas_, base_);
}

Patient RandomRepairTest::MakePatient(uint64_t seed) {
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

void RandomRepairTest::ExpectHarmless(const Patient& patient,
                                      const OurOutcome& ours) {
  if (!ours.error.empty()) {
    ++tally_.not_proven;
    EXPECT_TRUE(ours.image == patient.image) << context_;
    if (verbose_) std::printf("%s: %s\n", context_.c_str(), ours.error.c_str());
  }
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
  ExpectToComeToAnEnd(patient, ours);
}

// What a repair mends may be what another one finds the rest by. So the next
// ones may mend more, but only where damage is left, and nothing for worse.
void RandomRepairTest::ExpectToComeToAnEnd(const Patient& patient,
                                           const OurOutcome& ours) {
  constexpr int kRepairs = 4;
  Patient again = patient;
  OurOutcome last = ours;
  for (int i = 0; i < kRepairs; ++i) {
    again.image = last.image;
    OurOutcome next = RepairByUs(again, repair::Mode::kAll);
    if (next.image == last.image) return;
    EXPECT_FALSE(last.clean()) << context_ << ": a sound image is repaired";
    EXPECT_LE(BytesIn(next.wrong), BytesIn(last.wrong)) << context_;
    last = std::move(next);
  }
  ADD_FAILURE() << context_ << ": every repair changes something";
}

// Whether all that qemu-img can have against the image is that entries that
// name clusters of a data file lack COPIED.
bool LacksCopiedInDataFile(const Patient& patient, const Bytes& image) {
  if (!Header::Decode(image).has_external_data_file()) return false;
  checker::CheckOptions options = patient.check;
  options.qemu_compatible = true;
  const checker::CheckReport report =
      checker::CheckImage(MemoryFile(image), patient.path, options);
  return ProblemsIn(report) == std::set<std::string>{"l2-copied-missing"};
}

void RandomRepairTest::ExpectCleanToQemu(const Patient& patient,
                                         const OurOutcome& ours) {
  if (!ours.clean()) return;
  const std::string scratch = WriteScratch(patient, ours.image);
  if (!LacksCopiedInDataFile(patient, ours.image)) {
    EXPECT_EQ(QemuExitCode(scratch), 0) << context_;
  }
  std::remove(scratch.c_str());
}

void RandomRepairTest::Compare(const OurOutcome& ours, const Outcome& qemu) {
  ++tally_.images;
  tally_.clean_by_us += ours.clean() ? 1 : 0;
  tally_.clean_by_qemu += qemu.clean() ? 1 : 0;
  tally_.wrong_by_us += BytesIn(ours.wrong);
  tally_.wrong_by_qemu += BytesIn(qemu.wrong);
  tally_.qemu_stopped += qemu.qemu_exit_code == 124 ? 1 : 0;
  const bool clean_by_qemu_only = qemu.clean() && !ours.clean();
  const bool fewer_wrong_by_qemu = BytesIn(ours.wrong) > BytesIn(qemu.wrong);
  tally_.clean_by_qemu_only += clean_by_qemu_only ? 1 : 0;
  tally_.fewer_wrong_by_qemu += fewer_wrong_by_qemu ? 1 : 0;
  if (!clean_by_qemu_only && !fewer_wrong_by_qemu) return;
  const std::string words =
      absl::StrCat(context_, "\n    ours: ", Words(ours),
                   "\n    qemu: ", qemu.qemu_exit_code, " ", Words(qemu));
  EXPECT_TRUE(!clean_by_qemu_only || IsExplained(ours, not_clean_)) << words;
  EXPECT_TRUE(!fewer_wrong_by_qemu || IsExplained(ours, not_read_) ||
              WasTakenForAnother(ours))
      << words;
  if (verbose_) std::printf("%s\n", words.c_str());
}

void RandomRepairTest::Keep(uint64_t seed, const Patient& patient,
                            const OurOutcome& ours) {
  const char* folder = std::getenv("RANDOM_REPAIR_KEEP");
  if (folder == nullptr) return;
  const std::string path =
      absl::StrCat(folder, "/", GetParam().name, "_", seed);
  WriteBytes(path + ".damaged", patient.image);
  WriteBytes(path + ".repaired", ours.image);
}

void RandomRepairTest::TryImage(uint64_t seed) {
  const Patient patient = MakePatient(seed);
  // qemu-img opens an encrypted image only with its secret.
  if (Header::Decode(patient.image).crypt_method != 0) return;
  context_ = absl::StrCat(GetParam().name, " seed ", seed, ": ", damage_);
  const OurOutcome ours = RepairByUs(patient, repair::Mode::kAll);
  Keep(seed, patient, ours);
  ExpectHarmless(patient, ours);
  ExpectCleanToQemu(patient, ours);
  Compare(ours, RepairByQemu(patient, seconds_));
  if (verbose_ && images_ == 1) PrintPlan(ours.plan);
  std::fflush(stdout);
}

void RandomRepairTest::PrintTally() const {
  std::printf(
      "%s: %lu images; not proven: %lu; clean: %lu by us, %lu by qemu-img (%lu "
      "by it alone); "
      "wrong bytes: %lu, %lu (fewer by qemu-img in %lu images); qemu-img "
      "stopped: %lu\n",
      GetParam().name, tally_.images, tally_.not_proven, tally_.clean_by_us,
      tally_.clean_by_qemu, tally_.clean_by_qemu_only, tally_.wrong_by_us,
      tally_.wrong_by_qemu, tally_.fewer_wrong_by_qemu, tally_.qemu_stopped);
}

TEST_P(RandomRepairTest, LeavesImagesAtLeastAsGoodAsQemuImg) {
  for (uint64_t seed = first_; seed < first_ + images_; ++seed) TryImage(seed);
  PrintTally();
  EXPECT_GE(tally_.clean_by_us, tally_.clean_by_qemu);
  EXPECT_LE(tally_.not_proven * kImagesForOneNotProven, tally_.images);
  if (images_ > kFewImages) {
    EXPECT_LE(tally_.wrong_by_us, tally_.wrong_by_qemu);
  }
}

INSTANTIATE_TEST_SUITE_P(Bases, RandomRepairTest,
                         testing::ValuesIn(AllBaseImages()),
                         [](const testing::TestParamInfo<BaseImage>& info) {
                           return std::string(info.param.name);
                         });

}  // namespace
}  // namespace qcow2
