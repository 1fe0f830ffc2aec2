// What a damaged L2 entry should be: judges one entry after the other by the
// evidence there is, without changing anything.
//
// Reads only.
#ifndef REPAIR_L2_ENTRY_MENDER_H_
#define REPAIR_L2_ENTRY_MENDER_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "checker/graph.h"
#include "checker/problems.h"
#include "engine/format/l2_entry.h"
#include "engine/storage/file.h"
#include "repair/compressed_evidence.h"
#include "repair/entry_claims.h"
#include "repair/orphan_clusters.h"
#include "repair/plan.h"

namespace qcow2::repair {

// How an entry is mended.
enum class Mending {
  kOrphan,       // names the one orphan that explains it
  kCompressed,   // names the compressed data that explains it
  kShortened,    // names less of the same compressed data
  kBitsCleared,  // loses bits that must be zero
  kZeros,        // reads as zeros without a cluster
  kFreshZeros,   // reads as zeros, and needs a cluster of them
  kDataWins,     // subclusters both allocated and zero are allocated
  kZerosWin,     // they are zero, and their bytes are
};

// A set of subclusters, bit i for number i; without extended L2 all or none.
inline constexpr uint32_t kAllSubclusters = ~uint32_t{0};

struct L2Mending {
  L2Entry after;
  Mending how = Mending::kBitsCleared;
  checker::Problem problem = checker::Problem::kL2EntryReserved;
  // What reads as it did before the damage, and what is gone.
  uint32_t recovered = 0;
  uint32_t lost = 0;
};

// The entries beside one in its table; zero where there is none.
struct Neighbours {
  L2Entry previous;
  L2Entry next;
};

class L2EntryMender {
 public:
  // All must outlive the object. `misdirected`: clusters named more often than
  // they are counted, ascending, if entries that name one of them and could
  // have named an orphan are to be mended, too.
  L2EntryMender(const checker::Graph& graph, const File& view, Mode mode,
                std::span<const uint64_t> misdirected, OrphanClusters& orphans,
                CompressedEvidence& compressed)
      : model_(graph.model),
        geometry_(*graph.model.geometry),
        view_(view),
        mode_(mode),
        misdirected_(misdirected),
        orphans_(orphans),
        compressed_(compressed) {}

  // Whether anything may be wrong with the entry: cheap, for entries in order.
  bool IsSuspicious(L2Entry entry) const;

  // The entries that `entry` of `table` may have been. Empty if it is in order
  // or nothing explains it.
  std::vector<L2Entry> Explanations(const checker::L2Table& table,
                                    L2Entry entry,
                                    const Neighbours& neighbours);

  // What becomes of the entry; nothing if it is in order or stays. `claims`
  // hold the places of the explanations of all entries.
  std::optional<L2Mending> Mend(const checker::L2Table& table, L2Entry entry,
                                const Neighbours& neighbours,
                                const EntryClaims& claims);

  // The place an entry names, as EntryClaims know it.
  uint64_t PlaceOf(L2Entry entry) const;
  // The same of the place that an entry would leave, if it names one that can
  // be read: of several entries that do, only one can be wrong.
  std::optional<uint64_t> DepartureOf(L2Entry entry) const;

 private:
  // What is wrong with an entry.
  struct Diagnosis {
    uint32_t issues = 0;  // of L2EntryIssues
    L2EntryType type = L2EntryType::kUnallocated;
    bool past_end = false;
    // It names a cluster that is named too often, or flags nothing.
    bool misdirected = false;
  };
  Diagnosis Diagnose(L2Entry entry) const;
  bool NamesShortCluster(L2Entry entry) const;
  bool IsMisdirected(L2Entry entry) const;
  uint64_t OwnReferences(const checker::L2Table& table, L2Entry entry,
                         uint64_t cluster) const;
  bool IsOrphan(const checker::L2Table& table, L2Entry entry, uint64_t offset,
                bool exact);
  bool IsCompressedOrphan(const checker::L2Table& table, L2Entry entry,
                          const CompressedDescriptor& data);
  void ExplainStandard(const checker::L2Table& table, L2Entry entry,
                       const Diagnosis& diagnosis, const Neighbours& neighbours,
                       std::vector<L2Entry>& found);
  void ExplainCompressed(const checker::L2Table& table, L2Entry entry,
                         const Diagnosis& diagnosis,
                         std::vector<L2Entry>& found);
  void AddFlips(const checker::L2Table& table, L2Entry entry, bool exact,
                std::vector<L2Entry>& found);
  // Whether the cluster of `entry` adjoins that of a neighbour, as it does in
  // data that was written in order.
  bool Fits(L2Entry entry, const Neighbours& neighbours) const;
  L2Entry WithoutReservedBits(L2Entry entry) const;

  L2Mending Explained(L2Entry entry, L2Entry explanation,
                      const Diagnosis& diagnosis) const;
  std::optional<L2Mending> MendCompressed(L2Entry entry,
                                          const Diagnosis& diagnosis,
                                          bool ambiguous);
  std::optional<L2Mending> MendStandard(L2Entry entry,
                                        const Diagnosis& diagnosis,
                                        bool ambiguous);
  std::optional<L2Mending> MendContradiction(L2Entry entry);
  std::optional<L2Mending> ClearBits(L2Entry entry, const Diagnosis& diagnosis);
  L2Mending MakeZeros(L2Entry entry, checker::Problem problem,
                      bool readable) const;
  // The subclusters whose bytes the entry allocates; all or none without
  // extended L2.
  uint32_t DataSubclusters(L2Entry entry) const;
  bool HoldsZeros(L2Entry entry, uint32_t subclusters);
  bool CountsAgree(const CompressedDescriptor& data);

  const checker::ImageModel& model_;
  const Geometry& geometry_;
  const File& view_;
  const Mode mode_;
  const std::span<const uint64_t> misdirected_;
  OrphanClusters& orphans_;
  CompressedEvidence& compressed_;
};

}  // namespace qcow2::repair

#endif  // REPAIR_L2_ENTRY_MENDER_H_
