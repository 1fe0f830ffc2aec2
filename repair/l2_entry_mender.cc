#include "repair/l2_entry_mender.h"

#include <algorithm>
#include <cstddef>

#include "checker/l2_entry_judge.h"

namespace qcow2::repair {
namespace {

using checker::L2Table;
using checker::Problem;

// Bits that an entry has by mistake and that readers of the format ignore or
// refuse.
constexpr uint32_t kBitsToClear =
    kL2ReservedBitsSet | kL2ZeroFlagInVersion2 | kL2ZeroFlagWithExtendedL2;
constexpr uint32_t kCompressedBitsToClear =
    kL2CompressedWithCopied | kL2CompressedWithBitmap;

// Tells compressed places from others.
constexpr uint64_t kCompressedPlace = uint64_t{1} << 63;
constexpr uint64_t kDeparture = uint64_t{1} << 62;

Problem ProblemOf(L2Entry entry, uint32_t issues, bool past_end) {
  if (issues & kL2OffsetUnaligned) return Problem::kL2EntryUnaligned;
  if (past_end) {
    return entry.is_compressed() ? Problem::kCompressedPastEnd
                                 : Problem::kL2EntryPastEnd;
  }
  if (issues & kL2CompressedWithCopied) return Problem::kCompressedCopied;
  if (issues & kL2CompressedWithBitmap) return Problem::kCompressedBitmap;
  if (issues & kL2SubclusterAllocatedWithoutOffset) {
    return Problem::kSubclusterWithoutOffset;
  }
  if (issues & kL2ReservedBitsSet) return Problem::kL2EntryReserved;
  if (issues & kL2ZeroFlagInVersion2) return Problem::kZeroFlagVersion2;
  if (issues & kL2ZeroFlagWithExtendedL2) return Problem::kZeroFlagExtendedL2;
  // An entry that names nothing shows only in what it should have named.
  return entry.host_offset().value() == 0 ? Problem::kClusterLeaked
                                          : Problem::kRefcountTooLow;
}

}  // namespace

L2EntryMender::Diagnosis L2EntryMender::Diagnose(L2Entry entry) const {
  Diagnosis diagnosis;
  diagnosis.issues = L2EntryIssues(entry, geometry_, model_.header.version,
                                   model_.external_data_file);
  diagnosis.type = TypeOf(entry, geometry_, model_.external_data_file);
  // Where a data file is named, its feature bit may be what is damaged: places
  // past the end of this file may be places in that one.
  if (model_.external_data_file || model_.data_file_name.has_value()) {
    return diagnosis;
  }
  if (entry.is_compressed()) {
    const CompressedDescriptor data = entry.compressed(geometry_);
    diagnosis.past_end =
        data.offset.value() + data.length > model_.FileEndBytes();
  } else {
    const uint64_t offset = entry.host_offset().value();
    diagnosis.past_end =
        offset != 0 && model_.ReachesPastEnd(offset, geometry_.cluster_size());
  }
  diagnosis.misdirected =
      diagnosis.issues == 0 && !diagnosis.past_end && IsMisdirected(entry);
  return diagnosis;
}

bool L2EntryMender::NamesShortCluster(L2Entry entry) const {
  const checker::EntryReference reference =
      checker::ReferenceOf(model_, entry, false);
  if (reference.length_bytes == 0) return false;
  const uint64_t first = reference.offset_bytes >> geometry_.cluster_bits();
  const uint64_t last = (reference.offset_bytes + reference.length_bytes - 1) >>
                        geometry_.cluster_bits();
  const auto found =
      std::lower_bound(misdirected_.begin(), misdirected_.end(), first);
  return found != misdirected_.end() && *found <= last;
}

bool L2EntryMender::IsMisdirected(L2Entry entry) const {
  // COPIED vouches for a cluster that is not named.
  if (entry == L2Entry(kCopiedFlag)) return orphans_.any();
  return NamesShortCluster(entry);
}

bool L2EntryMender::IsSuspicious(L2Entry entry) const {
  const Diagnosis diagnosis = Diagnose(entry);
  return diagnosis.issues != 0 || diagnosis.past_end || diagnosis.misdirected;
}

uint64_t L2EntryMender::PlaceOf(L2Entry entry) const {
  return entry.is_compressed()
             ? entry.compressed(geometry_).offset.value() | kCompressedPlace
             : entry.host_offset().value();
}

std::optional<uint64_t> L2EntryMender::DepartureOf(L2Entry entry) const {
  if (!Diagnose(entry).misdirected || entry.host_offset().value() == 0) {
    return std::nullopt;
  }
  return PlaceOf(entry) | kDeparture;
}

uint64_t L2EntryMender::OwnReferences(const L2Table& table, L2Entry entry,
                                      uint64_t cluster) const {
  const checker::EntryReference reference =
      checker::ReferenceOf(model_, entry, false);
  if (reference.length_bytes == 0) return 0;
  const uint64_t first = reference.offset_bytes >> geometry_.cluster_bits();
  const uint64_t last = (reference.offset_bytes + reference.length_bytes - 1) >>
                        geometry_.cluster_bits();
  return cluster >= first && cluster <= last ? table.references : 0;
}

bool L2EntryMender::IsOrphan(const L2Table& table, L2Entry entry,
                             uint64_t offset, bool exact) {
  const uint64_t cluster = offset >> geometry_.cluster_bits();
  const uint64_t excess =
      orphans_.Excess(cluster, OwnReferences(table, entry, cluster));
  return exact ? excess == table.references : excess > 0;
}

bool L2EntryMender::IsCompressedOrphan(const L2Table& table, L2Entry entry,
                                       const CompressedDescriptor& data) {
  const uint64_t end = data.offset.value() + data.length;
  if (end > model_.FileEndBytes()) return false;
  const uint64_t first = data.offset.value() >> geometry_.cluster_bits();
  const uint64_t last = (end - 1) >> geometry_.cluster_bits();
  for (uint64_t cluster = first; cluster <= last; ++cluster) {
    if (orphans_.Excess(cluster, OwnReferences(table, entry, cluster)) == 0) {
      return false;
    }
  }
  return compressed_.Inflates(data);
}

L2Entry L2EntryMender::WithoutReservedBits(L2Entry entry) const {
  uint64_t raw = entry.raw() & ~entry.reserved_bits(geometry_.extended_l2());
  if (model_.header.version < 3) raw &= ~kZeroFlag;
  return L2Entry(raw, entry.bitmap());
}

void L2EntryMender::AddFlips(const L2Table& table, L2Entry entry, bool exact,
                             std::vector<L2Entry>& found) {
  if (!orphans_.any()) return;
  for (uint32_t bit = geometry_.cluster_bits(); bit < kHostOffsetBits; ++bit) {
    const L2Entry flipped(entry.raw() ^ uint64_t{1} << bit, entry.bitmap());
    const uint64_t offset = flipped.host_offset().value();
    if (offset == 0 || offset >= model_.file_size_bytes) continue;
    if (IsOrphan(table, entry, offset, exact)) found.push_back(flipped);
  }
}

bool L2EntryMender::Fits(L2Entry entry, const Neighbours& neighbours) const {
  const uint64_t size = geometry_.cluster_size();
  const uint64_t offset = entry.host_offset().value();
  const L2Entry previous = neighbours.previous;
  const L2Entry next = neighbours.next;
  return (!previous.is_compressed() && previous.host_offset().value() != 0 &&
          previous.host_offset().value() + size == offset) ||
         (!next.is_compressed() && next.host_offset().value() == offset + size);
}

void L2EntryMender::ExplainStandard(const L2Table& table, L2Entry entry,
                                    const Diagnosis& diagnosis,
                                    const Neighbours& neighbours,
                                    std::vector<L2Entry>& found) {
  if (diagnosis.issues & kL2OffsetUnaligned) {
    const L2Entry clean = WithoutReservedBits(entry);
    const uint64_t low = kL2OffsetMask & (geometry_.cluster_size() - 1);
    const L2Entry aligned(clean.raw() & ~low, clean.bitmap());
    if (IsOrphan(table, entry, aligned.host_offset().value(), false)) {
      found.push_back(aligned);
    }
  } else if ((diagnosis.issues & kBitsToClear) == 0) {
    const bool lost = diagnosis.past_end ||
                      (diagnosis.issues & kL2SubclusterAllocatedWithoutOffset);
    const uint64_t cluster =
        entry.host_offset().value() >> geometry_.cluster_bits();
    // What reads as something today needs more evidence than what does not.
    const bool counts_tell =
        diagnosis.misdirected &&
        (cluster == 0 || orphans_.Shortage(cluster) == table.references);
    if (lost || counts_tell) AddFlips(table, entry, !lost, found);
    // All entries that name a cluster too many could have named the same
    // orphan: those that are in line with their neighbours did not.
    const auto fits = [&](L2Entry other) { return Fits(other, neighbours); };
    if (!lost &&
        (fits(entry) || std::any_of(found.begin(), found.end(), fits))) {
      std::erase_if(found, [&](L2Entry other) { return !fits(other); });
    }
  }
  if ((diagnosis.issues != 0 || diagnosis.past_end) && entry.bitmap() == 0 &&
      !entry.copied()) {
    const L2Entry other(entry.raw() | kCompressedFlag);
    if (IsCompressedOrphan(table, entry, other.compressed(geometry_))) {
      found.push_back(other);
    }
  }
}

void L2EntryMender::ExplainCompressed(const L2Table& table, L2Entry entry,
                                      const Diagnosis& diagnosis,
                                      std::vector<L2Entry>& found) {
  const CompressedDescriptor data = entry.compressed(geometry_);
  // What can be read is right.
  if (!compressed_.possible() || compressed_.Inflates(data) ||
      compressed_.exhausted()) {
    return;
  }
  const L2Entry standard(entry.raw() & ~kCompressedFlag, entry.bitmap());
  const uint64_t offset = standard.host_offset().value();
  if (L2EntryIssues(standard, geometry_, model_.header.version, false) == 0 &&
      offset != 0 && offset < model_.file_size_bytes &&
      IsOrphan(table, entry, offset, false)) {
    found.push_back(standard);
  }
  // Data is often next to where it is looked for, in a cluster that is counted
  // for it anyway.
  if ((diagnosis.issues & kCompressedBitsToClear) != 0) {
    return;
  }
  for (uint32_t bit = 0; bit < geometry_.compressed_offset_bits(); ++bit) {
    const L2Entry flipped(entry.raw() ^ uint64_t{1} << bit);
    if (IsCompressedOrphan(table, entry, flipped.compressed(geometry_))) {
      found.push_back(flipped);
    }
  }
}

std::vector<L2Entry> L2EntryMender::Explanations(const L2Table& table,
                                                 L2Entry entry,
                                                 const Neighbours& neighbours) {
  std::vector<L2Entry> found;
  const Diagnosis diagnosis = Diagnose(entry);
  if (model_.external_data_file || model_.refcounts_unknown ||
      (diagnosis.issues == 0 && !diagnosis.past_end &&
       !diagnosis.misdirected)) {
    return found;
  }
  if (entry.is_compressed()) {
    ExplainCompressed(table, entry, diagnosis, found);
  } else {
    ExplainStandard(table, entry, diagnosis, neighbours, found);
  }
  return found;
}

uint32_t L2EntryMender::DataSubclusters(L2Entry entry) const {
  if (entry.is_compressed()) return kAllSubclusters;
  if (geometry_.extended_l2()) return entry.allocated_subclusters();
  const bool zeros = entry.zero_flag() && model_.header.version >= 3;
  return zeros || entry.host_offset().value() == 0 ? 0 : kAllSubclusters;
}

L2Mending L2EntryMender::MakeZeros(L2Entry entry, Problem problem,
                                   bool readable) const {
  L2Mending mending;
  mending.problem = problem;
  mending.how = Mending::kZeros;
  mending.lost = DataSubclusters(entry);
  mending.recovered = readable ? 0 : ~mending.lost;
  if (geometry_.extended_l2()) {
    const uint64_t zeros =
        entry.is_compressed()
            ? kAllSubclusters
            : entry.allocated_subclusters() | entry.zero_subclusters();
    mending.after = L2Entry(0, zeros << 32);
  } else if (model_.header.version >= 3) {
    mending.after = L2Entry(kZeroFlag);
  } else if (model_.header.backing_file_offset.value() != 0) {
    // Version 2 has no entry that hides the backing file but one that names a
    // cluster.
    mending.how = Mending::kFreshZeros;
  }
  return mending;
}

bool L2EntryMender::CountsAgree(const CompressedDescriptor& data) {
  const uint64_t first = data.offset.value() >> geometry_.cluster_bits();
  const uint64_t last =
      (data.offset.value() + data.length - 1) >> geometry_.cluster_bits();
  for (uint64_t cluster = first; cluster <= last; ++cluster) {
    if (orphans_.Shortage(cluster) > 0) return false;
  }
  return true;
}

std::optional<L2Mending> L2EntryMender::MendCompressed(
    L2Entry entry, const Diagnosis& diagnosis, bool ambiguous) {
  const CompressedDescriptor data = entry.compressed(geometry_);
  L2Mending mending;
  mending.problem = ProblemOf(entry, diagnosis.issues, diagnosis.past_end);
  if (diagnosis.past_end) {
    const std::optional<CompressedDescriptor> shortest =
        compressed_.Shortest(data);
    if (shortest.has_value() &&
        shortest->offset.value() + shortest->length <= model_.FileEndBytes()) {
      mending.how = Mending::kShortened;
      mending.after = L2Entry::FromCompressed(*shortest, geometry_);
      return mending;
    }
    if (shortest.has_value() || compressed_.exhausted() ||
        mode_ != Mode::kSalvage) {
      return std::nullopt;
    }
    return MakeZeros(entry, mending.problem, false);
  }
  if ((diagnosis.issues & kCompressedBitsToClear) == 0) return std::nullopt;
  if (!compressed_.Inflates(data) && mode_ != Mode::kSalvage &&
      (ambiguous || !CountsAgree(data))) {
    return std::nullopt;
  }
  mending.how = Mending::kBitsCleared;
  mending.after = L2Entry(entry.raw() & ~kCopiedFlag);
  return mending;
}

bool L2EntryMender::HoldsZeros(L2Entry entry, uint32_t subclusters) {
  if (model_.encrypted) return false;
  std::vector<std::byte> bytes(geometry_.subcluster_size());
  for (uint32_t i = 0; i < kSubclustersPerCluster; ++i) {
    if ((subclusters >> i & 1) == 0) continue;
    const uint64_t offset = entry.host_offset().value() + i * bytes.size();
    if (!ReadZeroFilled(view_, offset, bytes).ok() ||
        std::any_of(bytes.begin(), bytes.end(),
                    [](std::byte byte) { return byte != std::byte{0}; })) {
      return false;
    }
  }
  return true;
}

std::optional<L2Mending> L2EntryMender::MendContradiction(L2Entry entry) {
  const uint32_t both =
      entry.allocated_subclusters() & entry.zero_subclusters();
  L2Mending mending;
  mending.problem = Problem::kSubclusterContradiction;
  mending.recovered = kAllSubclusters;
  uint64_t bitmap = entry.bitmap();
  if (HoldsZeros(entry, both)) {
    mending.how = Mending::kZerosWin;
    bitmap &= ~uint64_t{both};
  } else if (mode_ == Mode::kSalvage) {
    mending.how = Mending::kDataWins;
    bitmap &= ~(uint64_t{both} << 32);
  } else {
    return std::nullopt;
  }
  mending.after = L2Entry(WithoutReservedBits(entry).raw(), bitmap);
  return mending;
}

std::optional<L2Mending> L2EntryMender::ClearBits(L2Entry entry,
                                                  const Diagnosis& diagnosis) {
  L2Mending mending;
  mending.problem = ProblemOf(entry, diagnosis.issues, false);
  mending.how = Mending::kBitsCleared;
  mending.after = WithoutReservedBits(entry);
  if (diagnosis.issues & kL2ZeroFlagInVersion2) {
    // Not readable as it is: it must not become so as another owner's data.
    const uint64_t cluster =
        entry.host_offset().value() >> geometry_.cluster_bits();
    if (mode_ != Mode::kSalvage && cluster != 0 &&
        orphans_.Shortage(cluster) > 0) {
      return std::nullopt;
    }
    mending.recovered = kAllSubclusters;
  }
  return mending;
}

std::optional<L2Mending> L2EntryMender::MendStandard(L2Entry entry,
                                                     const Diagnosis& diagnosis,
                                                     bool ambiguous) {
  const bool salvage = mode_ == Mode::kSalvage;
  const bool contradiction = diagnosis.issues & kL2SubclusterAllocatedAndZero;
  if (diagnosis.issues & kL2OffsetUnaligned) {
    // Where there is no data, where it lies does not matter. (In version 2 the
    // flag is a mistake itself, but nobody reads data there either.)
    const bool no_data = DataSubclusters(entry) == 0 ||
                         (entry.zero_flag() && !geometry_.extended_l2());
    if (!no_data && !salvage) return std::nullopt;
    return MakeZeros(entry, Problem::kL2EntryUnaligned, false);
  }
  if (diagnosis.past_end) {
    const bool readable =
        !contradiction && !(diagnosis.issues & kL2ZeroFlagInVersion2);
    if ((!readable || ambiguous) && !salvage) return std::nullopt;
    return MakeZeros(entry, Problem::kL2EntryPastEnd, readable);
  }
  if (diagnosis.issues & kL2SubclusterAllocatedWithoutOffset) {
    if (!salvage) return std::nullopt;
    return MakeZeros(entry, Problem::kSubclusterWithoutOffset, false);
  }
  if (contradiction) {
    const std::optional<L2Mending> mending = MendContradiction(entry);
    if (mending.has_value()) return mending;
  }
  if ((diagnosis.issues & kBitsToClear) == 0 || (ambiguous && !salvage)) {
    return std::nullopt;
  }
  return ClearBits(entry, diagnosis);
}

L2Mending L2EntryMender::Explained(L2Entry entry, L2Entry explanation,
                                   const Diagnosis& diagnosis) const {
  L2Mending mending;
  mending.after = explanation;
  mending.how =
      explanation.is_compressed() ? Mending::kCompressed : Mending::kOrphan;
  mending.problem = ProblemOf(entry, diagnosis.issues, diagnosis.past_end);
  // Past the end of the file only data reads otherwise than it should.
  const bool same_kind = entry.is_compressed() == explanation.is_compressed() &&
                         !entry.is_compressed();
  const bool was_readable = same_kind && diagnosis.issues == 0;
  mending.recovered =
      was_readable ? DataSubclusters(explanation) : kAllSubclusters;
  return mending;
}

std::optional<L2Mending> L2EntryMender::Mend(const L2Table& table,
                                             L2Entry entry,
                                             const Neighbours& neighbours,
                                             const EntryClaims& claims) {
  const Diagnosis diagnosis = Diagnose(entry);
  if (diagnosis.issues == 0 && !diagnosis.past_end && !diagnosis.misdirected) {
    return std::nullopt;
  }
  const std::vector<L2Entry> explanations =
      Explanations(table, entry, neighbours);
  if (explanations.size() == 1 && claims.IsSole(PlaceOf(explanations[0]))) {
    const std::optional<uint64_t> departure = DepartureOf(entry);
    if (!departure.has_value() || claims.IsSole(*departure)) {
      return Explained(entry, explanations[0], diagnosis);
    }
  }
  if (model_.external_data_file) {
    // Where its data lies is another file's affair.
    if ((diagnosis.issues & kBitsToClear) == 0 || entry.is_compressed()) {
      return std::nullopt;
    }
    return ClearBits(entry, diagnosis);
  }
  const bool ambiguous = !explanations.empty();
  return entry.is_compressed() ? MendCompressed(entry, diagnosis, ambiguous)
                               : MendStandard(entry, diagnosis, ambiguous);
}

}  // namespace qcow2::repair
