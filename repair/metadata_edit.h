// What the steps that mend the header, its extensions, the snapshot table and
// the bitmaps have in common: a plan told of what was done, fields of the
// header written, tables put where there is room for them.
//
// Writes to the view it is given and nowhere else.
#ifndef REPAIR_METADATA_EDIT_H_
#define REPAIR_METADATA_EDIT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checker/finding.h"
#include "checker/graph.h"
#include "checker/image_model.h"
#include "checker/report.h"
#include "engine/format/geometry.h"
#include "engine/format/header.h"
#include "engine/storage/file.h"
#include "engine/storage/overlay_file.h"
#include "repair/header_fields.h"
#include "repair/plan.h"
#include "repair/repair_context.h"
#include "repair/stored_refcounts.h"

namespace qcow2::repair {

// The first finding of `problem`, whatever its severity, or null.
const checker::Finding* FindingOf(const checker::CheckReport& report,
                                  checker::Problem problem);

absl::Status WriteBe32(File& view, uint64_t offset, uint32_t value);
absl::Status WriteBe64(File& view, uint64_t offset, uint64_t value);

// Whether all clusters that [offset, offset + length) touches lie inside the
// file and have exactly one owner, so that writing there concerns nobody else.
// `graph` has a map.
bool HasSoleOwner(const checker::Graph& graph, uint64_t offset,
                  uint64_t length);

// Whether the cluster is counted, but nothing refers to it.
bool IsOrphan(const checker::Graph& graph, StoredRefcounts& stored,
              uint64_t cluster);

// Whether an L1 table of `entries` entries at `offset`, cluster aligned, may
// really have `wanted` of them: the clusters it would go on into are counted
// but belong to nobody, and what stands there is zeros or names clusters that
// are counted and are L2 tables or belong to nobody.
bool L1TableGoesOn(const checker::Graph& graph, const File& view,
                   uint64_t offset, uint64_t entries, uint64_t wanted);

// Whether any of the entries [first, end) of the L1 table at `offset` is not
// zero. What cannot be read counts as such.
bool HasL1Entries(const File& view, uint64_t offset, uint64_t first,
                  uint64_t end);

// Writes `table` over the old one, which lies at `old_offset` and fills
// `old_length` bytes, if its clusters have room for it and no second owner;
// else into free clusters. Returns where it is now. What is left over of the
// last cluster becomes zeros.
absl::StatusOr<uint64_t> PlaceTable(RepairContext& context, uint64_t old_offset,
                                    uint64_t old_length,
                                    std::span<const std::byte> table);

// What one of these steps knows of the image, and what it is going to do: the
// plan is told once the view has it all.
class MetadataMender {
 protected:
  // `context` is needed as long as the mender; its graph has a geometry.
  explicit MetadataMender(RepairContext& context) : context_(context) {}
  ~MetadataMender() = default;

  RepairContext& context() const { return context_; }
  OverlayFile& view() const { return context_.view; }
  const checker::Graph& graph() const { return context_.graph; }
  const checker::ImageModel& model() const { return graph().model; }
  const Header& header() const { return model().header; }
  const Geometry& geometry() const { return *model().geometry; }

  bool Found(checker::Problem problem) const {
    return context_.report.Found(problem);
  }
  // The first finding of `problem`, or null.
  const checker::Finding* FirstFinding(checker::Problem problem) const {
    return FindingOf(context_.report, problem);
  }

  // Keeps an edit, as EditFor() makes it, and a guest range for the plan.
  void Record(checker::Problem problem, std::string where, std::string before,
              std::string after, uint64_t count = 1);
  void RecordChange(GuestChange change);
  bool has_edits() const { return !edits_.empty(); }
  // Tells the plan of all that was recorded.
  void TellPlan();

 private:
  RepairContext& context_;
  std::vector<Edit> edits_;
  std::vector<GuestChange> guest_changes_;
};

}  // namespace qcow2::repair

#endif  // REPAIR_METADATA_EDIT_H_
