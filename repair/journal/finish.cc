#include "repair/journal/finish.h"

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "repair/journal/applier.h"
#include "repair/journal/journal_writer.h"

namespace qcow2::repair {
namespace {

// Moves an undo file that is there already out of the way. Returns its new
// name.
absl::StatusOr<std::string> KeepOlderUndoFile(const JournalPlace& place) {
  ASSIGN_OR_RETURN(const bool taken, place.directory.Exists(place.undo_name));
  if (!taken) return "";
  constexpr int kOlderMax = 100000;
  for (int i = 1; i <= kOlderMax; ++i) {
    std::string older = absl::StrCat(place.undo_name, ".", i);
    ASSIGN_OR_RETURN(const bool used, place.directory.Exists(older));
    if (used) continue;
    RETURN_IF_ERROR(place.directory.Rename(place.undo_name, older));
    // The journal takes the name over next: both renames in the wrong order
    // would be the end of the older file.
    RETURN_IF_ERROR(place.directory.Sync());
    return older;
  }
  return absl::AlreadyExistsError(absl::StrCat(
      "no free name for the older undo file '", place.undo_name, "'"));
}

}  // namespace

absl::Status FinishForward(File& image, File& journal,
                           const JournalFront& front) {
  RETURN_IF_ERROR(ApplyJournal(image, journal, front, Direction::kToNew));
  return WriteState(journal, JournalState::kApplied, *front.seal);
}

absl::Status FinishBackward(File& image, File& journal,
                            const JournalFront& front) {
  RETURN_IF_ERROR(WriteState(journal, JournalState::kUndoing, *front.seal));
  RETURN_IF_ERROR(ApplyJournal(image, journal, front, Direction::kToOld));
  return WriteState(journal, JournalState::kUndone, *front.seal);
}

absl::StatusOr<RetiredNames> RetireJournal(const JournalPlace& place,
                                           bool keep_undo) {
  if (!keep_undo) {
    RETURN_IF_ERROR(RemoveJournal(place));
    return RetiredNames{};
  }
  RetiredNames names;
  ASSIGN_OR_RETURN(names.older_undo_name, KeepOlderUndoFile(place));
  RETURN_IF_ERROR(place.directory.Rename(place.journal_name, place.undo_name));
  RETURN_IF_ERROR(place.directory.Sync());
  names.undo_name = place.undo_name;
  return names;
}

absl::Status RemoveJournal(const JournalPlace& place) {
  RETURN_IF_ERROR(place.directory.Remove(place.journal_name));
  return place.directory.Sync();
}

}  // namespace qcow2::repair
