#include "repair/plan.h"

#include <algorithm>
#include <utility>

namespace qcow2::repair {
namespace {

bool Adjoins(const GuestChange& a, const GuestChange& b) {
  return a.kind == b.kind && a.reason == b.reason &&
         a.range.snapshot == b.range.snapshot &&
         a.range.vm_state == b.range.vm_state &&
         a.range.offset_bytes + a.range.length_bytes == b.range.offset_bytes;
}

}  // namespace

std::string_view NameOf(Mode mode) {
  switch (mode) {
    case Mode::kLeaks:
      return "leaks";
    case Mode::kAll:
      return "all";
    case Mode::kSalvage:
      return "salvage";
  }
  return "";
}

Edit EditFor(checker::Problem problem, std::string where, std::string before,
             std::string after) {
  Edit edit;
  edit.problem = problem;
  edit.action = checker::RowOf(problem).action;
  edit.where = std::move(where);
  edit.before = std::move(before);
  edit.after = std::move(after);
  return edit;
}

void Plan::Add(Edit edit) {
  changes_ += edit.count;
  if (!edits_.empty()) {
    Edit& last = edits_.back();
    if (last.problem == edit.problem && last.action == edit.action &&
        last.where == edit.where && last.before == edit.before &&
        last.after == edit.after) {
      last.count += edit.count;
      return;
    }
  }
  if (edits_.size() >= kMaxListedEdits) {
    ++edits_omitted_;
    return;
  }
  edits_.push_back(std::move(edit));
}

void Plan::AddReasonToStay(std::string note) {
  has_reason_to_stay_ = true;
  if (std::find(notes_.begin(), notes_.end(), note) == notes_.end()) {
    AddNote(std::move(note));
  }
}

void Plan::AddGuestChange(GuestChange change) {
  if (!guest_changes_.empty() && Adjoins(guest_changes_.back(), change)) {
    guest_changes_.back().range.length_bytes += change.range.length_bytes;
    return;
  }
  guest_changes_.push_back(std::move(change));
}

}  // namespace qcow2::repair
