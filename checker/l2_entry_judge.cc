#include "checker/l2_entry_judge.h"

#include <optional>
#include <utility>

namespace qcow2::checker {
namespace {

// Adds findings about one entry.
class EntryJudge {
 public:
  EntryJudge(const ImageModel& model, const L2Table& table, uint64_t index,
             L2Entry entry, FindingSink& sink)
      : model_(model),
        geometry_(*model.geometry),
        table_(table),
        index_(index),
        entry_(entry),
        sink_(sink) {}

  bool Judge();

 private:
  Finding MakeFinding(Problem problem) const;
  void Report(Problem problem, uint64_t actual,
              std::optional<uint64_t> expected = std::nullopt);
  bool JudgeCompressed(uint32_t issues);
  bool JudgeStandard(uint32_t issues);
  void JudgeSubclusters(uint32_t issues);
  void JudgeDataFileOffset();

  const ImageModel& model_;
  const Geometry& geometry_;
  const L2Table& table_;
  const uint64_t index_;
  const L2Entry entry_;
  FindingSink& sink_;
};

Finding EntryJudge::MakeFinding(Problem problem) const {
  Finding finding;
  finding.problem = problem;
  finding.location = LocationOf(model_, table_, index_);
  finding.guest.push_back(GuestRangeOf(model_, table_, index_, 1));
  return finding;
}

void EntryJudge::Report(Problem problem, uint64_t actual,
                        std::optional<uint64_t> expected) {
  Finding finding = MakeFinding(problem);
  finding.actual = actual;
  finding.expected = expected;
  // qemu-img walks a table once for each L1 entry that names it.
  sink_.Add(std::move(finding), table_.references);
}

bool EntryJudge::JudgeCompressed(uint32_t issues) {
  if (issues & kL2CompressedWithCopied) {
    Report(Problem::kCompressedCopied, entry_.raw());
  }
  if (model_.encrypted) Report(Problem::kCompressedEncrypted, entry_.raw());
  if (issues & kL2CompressedWithDataFile) {
    Report(Problem::kCompressedDataFile, entry_.raw());
    return true;
  }
  if (issues & kL2CompressedWithBitmap) {
    Report(Problem::kCompressedBitmap, entry_.bitmap());
    return false;
  }
  // The descriptor counts whole sectors, so the data may seem to end in a
  // sector that the file holds in part, but no later. qemu-img only minds when
  // a whole cluster is missing.
  const CompressedDescriptor data = entry_.compressed(geometry_);
  const bool qemu_minds =
      model_.ReachesPastEnd(data.offset.value(), data.length);
  if (!qemu_minds &&
      data.offset.value() + data.length <= model_.FileEndBytes()) {
    return false;
  }
  Finding finding = MakeFinding(Problem::kCompressedPastEnd);
  finding.actual = data.offset.value();
  finding.expected = model_.file_size_bytes;
  sink_.Add(std::move(finding), qemu_minds ? table_.references : 0);
  return true;
}

void EntryJudge::JudgeSubclusters(uint32_t issues) {
  const uint64_t both =
      uint64_t{entry_.allocated_subclusters()} & entry_.zero_subclusters();
  // Without a host cluster the missing offset is the one thing to say.
  if (issues & kL2SubclusterAllocatedWithoutOffset) {
    Report(Problem::kSubclusterWithoutOffset, entry_.allocated_subclusters());
  } else if (issues & kL2SubclusterAllocatedAndZero) {
    Report(Problem::kSubclusterContradiction, both);
  }
}

void EntryJudge::JudgeDataFileOffset() {
  const uint64_t offset = entry_.host_offset().value();
  const GuestRange guest = GuestRangeOf(model_, table_, index_, 1);
  if (model_.raw_external_data && offset != guest.offset_bytes) {
    Report(Problem::kDataFileOffset, offset, guest.offset_bytes);
  }
  if (model_.data_file_size_bytes.has_value() &&
      offset >= *model_.data_file_size_bytes) {
    Report(Problem::kDataFileEntryPastEnd, offset,
           *model_.data_file_size_bytes);
  }
}

bool EntryJudge::JudgeStandard(uint32_t issues) {
  const L2EntryType type = TypeOf(entry_, geometry_, model_.external_data_file);
  const uint64_t offset = entry_.host_offset().value();
  bool lost = false;
  if (issues & kL2ReservedBitsSet) {
    Report(Problem::kL2EntryReserved, entry_.raw());
  }
  if (issues & kL2ZeroFlagInVersion2) {
    Report(Problem::kZeroFlagVersion2, entry_.raw());
  }
  if (issues & kL2ZeroFlagWithExtendedL2) {
    Report(Problem::kZeroFlagExtendedL2, entry_.raw());
  }
  JudgeSubclusters(issues);
  if (type != L2EntryType::kNormal && type != L2EntryType::kZeroAllocated) {
    return false;
  }
  if (issues & kL2OffsetUnaligned) {
    Report(Problem::kL2EntryUnaligned, offset);
    lost = true;
  }
  if (model_.external_data_file) {
    JudgeDataFileOffset();
  } else if (model_.ReachesPastEnd(offset, geometry_.cluster_size())) {
    Report(Problem::kL2EntryPastEnd, offset, model_.file_size_bytes);
    lost = true;
  }
  return lost;
}

bool EntryJudge::Judge() {
  const uint32_t issues = L2EntryIssues(
      entry_, geometry_, model_.header.version, model_.external_data_file);
  return entry_.is_compressed() ? JudgeCompressed(issues)
                                : JudgeStandard(issues);
}

}  // namespace

EntryReference ReferenceOf(const ImageModel& model, L2Entry entry,
                           bool qemu_compatible) {
  const Geometry& geometry = *model.geometry;
  if (model.external_data_file) return {};
  EntryReference reference;
  if (entry.is_compressed()) {
    // A bitmap is no reason to give up the data; qemu-img does not count it.
    if (entry.bitmap() != 0 && qemu_compatible) return {};
    const CompressedDescriptor data = entry.compressed(geometry);
    reference.offset_bytes = data.offset.value();
    reference.length_bytes = data.length;
  } else {
    const uint64_t offset = entry.host_offset().value();
    // Whatever its type, an entry with an offset holds on to the cluster.
    if (offset == 0) return {};
    if (!geometry.IsAligned(offset) && !qemu_compatible) return {};
    reference.offset_bytes = offset;
    reference.length_bytes = geometry.cluster_size();
    reference.whole_cluster = true;
    reference.copied = entry.copied();
  }
  if (model.ReachesPastEnd(reference.offset_bytes, reference.length_bytes)) {
    return {};
  }
  return reference;
}

bool JudgeL2Entry(const ImageModel& model, const L2Table& table, uint64_t index,
                  L2Entry entry, FindingSink& sink) {
  return EntryJudge(model, table, index, entry, sink).Judge();
}

}  // namespace qcow2::checker
