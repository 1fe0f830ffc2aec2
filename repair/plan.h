// What a repair is going to do, as data: every edit with the problem it
// answers, and every guest range that will not read as it did.
//
// Pure values, no I/O. The edits' bytes are in the view (an OverlayFile); this
// is what people and reports are told of them.
#ifndef REPAIR_PLAN_H_
#define REPAIR_PLAN_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checker/finding.h"
#include "checker/problems.h"
#include "engine/storage/file.h"

namespace qcow2::repair {

// How far a repair may go.
enum class Mode {
  kLeaks,    // frees what is leaked, changes nothing else
  kAll,      // mends everything that costs no guest data
  kSalvage,  // also gives up what cannot be had, and names it
};
// "leaks", "all", "salvage".
std::string_view NameOf(Mode mode);

// One change, or a run of like ones next to each other.
struct Edit {
  checker::Problem problem = checker::Problem::kHeaderTruncated;
  checker::RepairAction action = checker::RepairAction::kNone;
  // "active L2 table at 0x50000, entry 12": as findings name places.
  std::string where;
  // The old and the new meaning, in words: "names a cluster at 0x7fff0000,
  // past the end of the file"; "reads as zeros".
  std::string before;
  std::string after;
  // Entries, fields or clusters changed.
  uint64_t count = 1;

  friend bool operator==(const Edit&, const Edit&) = default;
};

// An edit of one thing, with the action of the problem's row.
Edit EditFor(checker::Problem problem, std::string where, std::string before,
             std::string after);

// A guest range that reads differently after the repair.
struct GuestChange {
  enum class Kind {
    kRecovered,  // reads what was there before the damage
    kLost,       // its content is gone: it reads zeros, or cannot be read
  };
  checker::GuestRange range;
  Kind kind = Kind::kLost;
  std::string reason;
};

class Plan {
 public:
  // Edits that are listed; all are counted.
  static constexpr size_t kMaxListedEdits = 1000;

  // Adds an edit. It is merged with the last one when both say the same of
  // the same place.
  void Add(Edit edit);

  // Whether another edit would be listed: the texts of one that is not are
  // never seen.
  bool ListsMore() const { return edits_.size() < kMaxListedEdits; }

  // Names a range that will read differently. Adjoining ranges of one snapshot,
  // kind and reason become one.
  void AddGuestChange(GuestChange change);

  // Bytes of the image that were copied elsewhere: who applies the plan has to
  // make sure that they did not change meanwhile.
  void AddSource(ByteRange range) { sources_.push_back(range); }

  // Something about the plan as a whole: "refcounts are widened to 32 bits".
  void AddNote(std::string note) { notes_.push_back(std::move(note)); }

  // Why something stays as it is although it could be mended (there is no room
  // for it, say), as a note. The same note is added once.
  void AddReasonToStay(std::string note);

  // Refcounts that are too high stay, as damage may refer to their clusters.
  void KeepSuspectCounts() { keeps_suspect_counts_ = true; }
  bool keeps_suspect_counts() const { return keeps_suspect_counts_; }

  const std::vector<Edit>& edits() const { return edits_; }
  uint64_t edits_omitted() const { return edits_omitted_; }
  // Sum of the edits' counts.
  uint64_t changes() const { return changes_; }
  bool empty() const { return changes_ == 0; }
  const std::vector<GuestChange>& guest_changes() const {
    return guest_changes_;
  }
  const std::vector<ByteRange>& sources() const { return sources_; }
  const std::vector<std::string>& notes() const { return notes_; }
  bool has_reason_to_stay() const { return has_reason_to_stay_; }

 private:
  std::vector<Edit> edits_;
  uint64_t edits_omitted_ = 0;
  uint64_t changes_ = 0;
  std::vector<GuestChange> guest_changes_;
  std::vector<ByteRange> sources_;
  std::vector<std::string> notes_;
  bool has_reason_to_stay_ = false;
  bool keeps_suspect_counts_ = false;
};

}  // namespace qcow2::repair

#endif  // REPAIR_PLAN_H_
