#include "repair/journal/undo.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "repair/journal/finish.h"
#include "repair/journal/image_verifier.h"
#include "repair/journal/journal_reader.h"
#include "repair/journal/transaction_check.h"

namespace qcow2::repair {
namespace {

struct FoundJournal {
  std::unique_ptr<File> file;
  JournalFront front;
};

absl::StatusOr<std::optional<FoundJournal>> Find(const JournalPlace& place,
                                                 const std::string& name) {
  absl::StatusOr<std::unique_ptr<File>> file =
      place.directory.Open(name, OpenFor::kWriting);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  RETURN_IF_ERROR(file.status());
  ASSIGN_OR_RETURN(JournalFront front, ReadJournalFront(**file));
  return FoundJournal{*std::move(file), front};
}

// Undoes with `found`, which has the journal's name by now.
absl::StatusOr<UndoResult> GoBack(File& image, const JournalPlace& place,
                                  FoundJournal& found) {
  RETURN_IF_ERROR(FinishBackward(image, *found.file, found.front));
  RETURN_IF_ERROR(RemoveJournal(place));
  return UndoResult{.image_size = found.front.header->old_size};
}

absl::StatusOr<UndoResult> UndoPending(File& image,
                                       const ImageIdentity& identity,
                                       const JournalPlace& place,
                                       const RecoverOptions& options,
                                       FoundJournal& journal) {
  // A repair that came to its end left every byte as planned, one that did not
  // may have left any part of its work.
  const ExpectImage expected = journal.front.state == JournalState::kApplied
                                   ? ExpectImage::kNew
                                   : ExpectImage::kMixed;
  RETURN_IF_ERROR(CheckTransaction(image, identity, *journal.file,
                                   journal.front, expected,
                                   options.accept_moved_image));
  return GoBack(image, place, journal);
}

absl::StatusOr<UndoResult> UndoFinished(File& image,
                                        const ImageIdentity& identity,
                                        const JournalPlace& place,
                                        const RecoverOptions& options) {
  ASSIGN_OR_RETURN(std::optional<FoundJournal> undo,
                   Find(place, place.undo_name));
  if (!undo.has_value()) {
    return absl::NotFoundError(absl::StrCat("there is no undo file '",
                                            place.undo_name, "' in '",
                                            place.directory.name(), "'"));
  }
  if (!undo->front.seal.has_value()) {
    return absl::DataLossError(absl::StrCat("the undo file '",
                                            undo->file->name(),
                                            "' is damaged: it is not whole"));
  }
  RETURN_IF_ERROR(CheckTransaction(image, identity, *undo->file, undo->front,
                                   ExpectImage::kNew,
                                   options.accept_moved_image));
  // From here on it is the journal, so that whoever comes after a crash finds
  // it where a journal is looked for.
  RETURN_IF_ERROR(place.directory.Rename(place.undo_name, place.journal_name));
  RETURN_IF_ERROR(place.directory.Sync());
  return GoBack(image, place, *undo);
}

}  // namespace

absl::StatusOr<UndoResult> Undo(File& image, const ImageIdentity& identity,
                                const JournalPlace& place,
                                const RecoverOptions& options) {
  ASSIGN_OR_RETURN(std::optional<FoundJournal> journal,
                   Find(place, place.journal_name));
  if (!journal.has_value()) {
    return UndoFinished(image, identity, place, options);
  }
  if (journal->front.state == JournalState::kCommitted ||
      journal->front.state == JournalState::kApplied) {
    return UndoPending(image, identity, place, options, *journal);
  }
  // One that never began, or an undo that was cut short.
  ASSIGN_OR_RETURN(const RecoverResult recovered,
                   Recover(image, identity, place, options));
  if (recovered.found == JournalState::kIncomplete) {
    return UndoFinished(image, identity, place, options);
  }
  return UndoResult{.image_size = journal->front.header->old_size};
}

}  // namespace qcow2::repair
