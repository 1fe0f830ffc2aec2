#include "repair/journal/recover.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "repair/journal/finish.h"
#include "repair/journal/image_verifier.h"
#include "repair/journal/journal_reader.h"
#include "repair/journal/journal_writer.h"
#include "repair/journal/transaction_check.h"

namespace qcow2::repair {
namespace {

// One journal that was found.
class Recoverer {
 public:
  Recoverer(File& image, const ImageIdentity& identity,
            const JournalPlace& place, const RecoverOptions& options,
            File& journal, JournalFront front)
      : image_(image),
        identity_(identity),
        place_(place),
        options_(options),
        journal_(journal),
        front_(front) {
    result_.found = front_.state;
  }

  absl::StatusOr<RecoverResult> Run();

 private:
  absl::Status Discard();
  absl::Status RollForward();
  absl::Status RollBack();
  absl::Status Retire();

  File& image_;
  const ImageIdentity& identity_;
  const JournalPlace& place_;
  const RecoverOptions& options_;
  File& journal_;
  JournalFront front_;
  RecoverResult result_;
};

absl::Status Recoverer::Discard() {
  result_.image = ImageState::kOld;
  if (front_.header.has_value() && !options_.accept_moved_image) {
    RETURN_IF_ERROR(CheckIdentity(image_, identity_, *front_.header));
  }
  if (front_.commit_record_broken) {
    // A crash while it was written leaves the image as it was. If it is not, it
    // was written whole and then damaged.
    const absl::Status untouched =
        VerifyImage(image_, journal_, front_, ExpectImage::kOld);
    if (!untouched.ok()) {
      return absl::DataLossError(absl::StrCat(
          "the journal '", journal_.name(),
          "' is damaged: its commit record is not whole, and yet it cannot be "
          "thrown away, as ",
          untouched.message()));
    }
  }
  return RemoveJournal(place_);
}

absl::Status Recoverer::RollForward() {
  RETURN_IF_ERROR(CheckTransaction(image_, identity_, journal_, front_,
                                   ExpectImage::kMixed,
                                   options_.accept_moved_image));
  // It may be read from memory only, after a flush that failed; it must be
  // stored before the image is touched.
  RETURN_IF_ERROR(WriteState(journal_, front_.state, *front_.seal));
  RETURN_IF_ERROR(FinishForward(image_, journal_, front_));
  return Retire();
}

absl::Status Recoverer::RollBack() {
  RETURN_IF_ERROR(CheckTransaction(image_, identity_, journal_, front_,
                                   ExpectImage::kMixed,
                                   options_.accept_moved_image));
  RETURN_IF_ERROR(FinishBackward(image_, journal_, front_));
  result_.image = ImageState::kOld;
  return RemoveJournal(place_);
}

absl::Status Recoverer::Retire() {
  result_.image = ImageState::kNew;
  if (!options_.accept_moved_image) {
    RETURN_IF_ERROR(CheckIdentity(image_, identity_, *front_.header));
  }
  ASSIGN_OR_RETURN(RetiredNames names,
                   RetireJournal(place_, front_.header->keep_undo));
  result_.undo_name = std::move(names.undo_name);
  result_.older_undo_name = std::move(names.older_undo_name);
  return absl::OkStatus();
}

absl::StatusOr<RecoverResult> Recoverer::Run() {
  absl::Status status;
  switch (front_.state) {
    case JournalState::kNone:
      break;
    case JournalState::kIncomplete:
      status = Discard();
      break;
    case JournalState::kCommitted:
      status = RollForward();
      break;
    case JournalState::kApplied:
      status = Retire();
      break;
    case JournalState::kUndoing:
      status = RollBack();
      break;
    case JournalState::kUndone:
      status = Discard();
      break;
  }
  RETURN_IF_ERROR(status);
  return result_;
}

}  // namespace

absl::StatusOr<JournalInfo> InspectJournal(const Directory& directory,
                                           const std::string& name) {
  absl::StatusOr<std::unique_ptr<File>> journal =
      directory.Open(name, OpenFor::kReading);
  if (absl::IsNotFound(journal.status())) return JournalInfo{};
  RETURN_IF_ERROR(journal.status());
  ASSIGN_OR_RETURN(const JournalFront front, ReadJournalFront(**journal));
  JournalInfo info;
  info.state = front.state;
  ASSIGN_OR_RETURN(info.journal_bytes, (*journal)->Size());
  if (front.header.has_value()) {
    info.identity = front.header->identity;
    info.old_size = front.header->old_size;
    info.new_size = front.header->new_size;
  }
  return info;
}

absl::StatusOr<RecoverResult> Recover(File& image,
                                      const ImageIdentity& identity,
                                      const JournalPlace& place,
                                      const RecoverOptions& options) {
  absl::StatusOr<std::unique_ptr<File>> journal =
      place.directory.Open(place.journal_name, OpenFor::kWriting);
  if (absl::IsNotFound(journal.status())) return RecoverResult{};
  RETURN_IF_ERROR(journal.status());
  ASSIGN_OR_RETURN(JournalFront front, ReadJournalFront(**journal));
  return Recoverer(image, identity, place, options, **journal, front).Run();
}

}  // namespace qcow2::repair
