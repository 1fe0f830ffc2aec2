#include "repair/testing.h"

#include <algorithm>
#include <utility>

#include "engine/format/byte_order.h"
#include "engine/format/geometry.h"
#include "engine/format/header_extension.h"
#include "engine/format/l2_entry.h"
#include "gtest/gtest.h"
#include "repair/proof.h"

namespace qcow2::repair {

using checker::CheckReport;
using checker::CheckStatus;
using checker::Finding;
using checker::Problem;
using checker::TestImage;

RepairOptions WithMode(Mode mode) {
  RepairOptions options;
  options.mode = mode;
  return options;
}

Planned PlanFor(const File& image, RepairOptions options) {
  Planned planned;
  planned.view = *OverlayFile::Create(image);
  options.check.jobs = 1;
  absl::StatusOr<PlannedRepair> repair =
      PlanRepair(image, "image", *planned.view, options);
  EXPECT_TRUE(repair.ok()) << repair.status();
  if (!repair.ok()) return planned;
  planned.repair = *std::move(repair);
  const ProofResult proof = Prove(image, *planned.view, planned.repair);
  EXPECT_TRUE(proof.ok);
  for (const ProofFailure& failure : proof.failures) {
    ADD_FAILURE() << failure.message;
  }
  return planned;
}

Planned PlanDeeply(const File& image, RepairOptions options) {
  options.check.deep = true;
  return PlanFor(image, std::move(options));
}

std::string Describe(const CheckReport& report) {
  std::string text;
  for (const auto* list : {&report.problems, &report.warnings}) {
    for (const Finding& finding : *list) {
      text += DescribeWhere(finding) + ": " + DescribeFinding(finding) + "\n";
    }
  }
  return text;
}

const Edit* EditOf(const Planned& planned, Problem problem) {
  const std::vector<Edit>& edits = planned.repair.plan.edits();
  const auto edit = std::find_if(edits.begin(), edits.end(),
                                 [problem](const Edit& candidate) {
                                   return candidate.problem == problem;
                                 });
  return edit == edits.end() ? nullptr : &*edit;
}

std::vector<std::string> GuestChangesOf(const Planned& planned) {
  std::vector<std::string> texts;
  for (const GuestChange& change : planned.repair.plan.guest_changes()) {
    texts.push_back(
        (change.kind == GuestChange::Kind::kLost ? "lost " : "recovered ") +
        std::to_string(change.range.offset_bytes) + "+" +
        std::to_string(change.range.length_bytes) + change.range.snapshot);
  }
  return texts;
}

void ExpectClean(const CheckReport& report) {
  EXPECT_EQ(report.status, CheckStatus::kClean) << Describe(report);
}

void ExpectNothingMore(const File& view, const RepairOptions& options) {
  const Planned again = PlanFor(view, options);
  EXPECT_TRUE(again.repair.plan.empty());
  EXPECT_TRUE(again.view->DirtyRanges().empty());
}

void ExpectCleanAndDone(const Planned& planned, const RepairOptions& options) {
  ExpectClean(planned.repair.after);
  EXPECT_TRUE(planned.repair.stopped.empty()) << planned.repair.stopped;
  ExpectNothingMore(*planned.view, options);
}

Planned ExpectMended(TestImage& image, Problem problem, RepairOptions options) {
  options.check.deep = true;
  Planned planned = PlanFor(image.file(), options);
  EXPECT_TRUE(planned.repair.before.Found(problem))
      << Describe(planned.repair.before);
  EXPECT_FALSE(planned.repair.after.Found(problem));
  const Edit* edit = EditOf(planned, problem);
  EXPECT_TRUE(edit != nullptr && !edit->where.empty() &&
              !edit->before.empty() && !edit->after.empty());
  ExpectCleanAndDone(planned, options);
  return planned;
}

void ExpectLeft(TestImage& image, Problem problem,
                const RepairOptions& options) {
  const Planned planned = PlanDeeply(image.file(), options);
  EXPECT_TRUE(planned.repair.before.Found(problem));
  EXPECT_TRUE(planned.repair.after.Found(problem));
  EXPECT_TRUE(planned.view->DirtyRanges().empty());
}

std::vector<std::byte> BytesAt(const File& file, uint64_t offset,
                               uint64_t length) {
  std::vector<std::byte> bytes(length);
  EXPECT_TRUE(ReadZeroFilled(file, offset, bytes).ok());
  return bytes;
}

uint32_t Be32At(const File& file, uint64_t offset) {
  return LoadBe32(BytesAt(file, offset, 4).data());
}

uint64_t Be64At(const File& file, uint64_t offset) {
  return LoadBe64(BytesAt(file, offset, 8).data());
}

Header HeaderOf(const File& file) {
  return Header::Decode(BytesAt(file, 0, 4096));
}

uint64_t PlaceOf(const File& file, uint32_t type) {
  const std::vector<std::byte> cluster = BytesAt(file, 0, 4096);
  const Header header = Header::Decode(cluster);
  const HeaderExtensions list =
      DecodeHeaderExtensions(cluster, header.header_length,
                             ExtensionAreaEndOffset(header, cluster.size()));
  const HeaderExtension* found = list.Find(type);
  return found == nullptr ? 0 : found->offset;
}

std::string Prose(size_t length) {
  std::string text;
  while (text.size() < length) text += "The quick brown fox jumps over it. ";
  text.resize(length);
  return text;
}

uint64_t CompressedWord(const TestImage& image, uint64_t offset,
                        uint64_t sectors) {
  const Geometry geometry =
      *Geometry::Create(image.header.cluster_bits, 4, false);
  return L2Entry::FromCompressed({HostOffset(offset), 0, sectors}, geometry)
      .raw();
}

}  // namespace qcow2::repair
