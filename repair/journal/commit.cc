#include "repair/journal/commit.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "repair/journal/applier.h"
#include "repair/journal/difference_writer.h"
#include "repair/journal/finish.h"
#include "repair/journal/journal_format.h"
#include "repair/journal/journal_reader.h"
#include "repair/journal/journal_writer.h"

namespace qcow2::repair {
namespace {

// `first`, and that something else went wrong because of it.
absl::Status WithConsequence(const absl::Status& first, const char* attempt,
                             const absl::Status& second) {
  return absl::Status(first.code(),
                      absl::StrCat(first.message(), "; then ", attempt,
                                   " failed: ", second.message()));
}

// One transaction on its way.
class Committer {
 public:
  explicit Committer(const Transaction& transaction)
      : transaction_(transaction) {}

  CommitResult Run();

 private:
  absl::StatusOr<JournalHeader> MakeHeader() const;
  absl::Status CreateJournal();

  // Writes everything but the commit record and flushes it. Returns whether
  // there is anything to commit.
  absl::StatusOr<bool> WriteJournal(const JournalHeader& header);

  // For a journal that was not applied in any part.
  void Discard(const absl::Status& reason);
  // For one that was.
  void RollBack(const absl::Status& reason);
  void Retire();

  const Transaction& transaction_;
  std::unique_ptr<File> journal_;
  JournalFront front_;
  CommitResult result_;
};

absl::StatusOr<JournalHeader> Committer::MakeHeader() const {
  ASSIGN_OR_RETURN(const uint64_t old_size, transaction_.image.Size());
  ASSIGN_OR_RETURN(const uint64_t new_size, transaction_.planned.Size());
  if (transaction_.identity.is_block_device && old_size != new_size) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the repair needs ", new_size, " bytes, but '",
        transaction_.image.name(), "' has ", old_size, " and cannot grow"));
  }
  return JournalHeader{.identity = transaction_.identity,
                       .old_size = old_size,
                       .new_size = new_size,
                       .keep_undo = transaction_.keep_undo};
}

absl::Status Committer::CreateJournal() {
  const JournalPlace& place = transaction_.place;
  if (place.journal_name == place.undo_name) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", place.undo_name, "' cannot be both journal and undo file"));
  }
  absl::StatusOr<std::unique_ptr<File>> journal =
      place.directory.CreateExclusive(place.journal_name);
  if (absl::IsAlreadyExists(journal.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "there is a journal already: ", journal.status().message()));
  }
  RETURN_IF_ERROR(journal.status());
  journal_ = *std::move(journal);
  return absl::OkStatus();
}

absl::StatusOr<bool> Committer::WriteJournal(const JournalHeader& header) {
  JournalWriter writer(*journal_);
  RETURN_IF_ERROR(writer.Begin(header));
  ASSIGN_OR_RETURN(const bool differs,
                   WriteDifferences(transaction_.image, transaction_.planned,
                                    transaction_.witnesses, header, writer));
  if (!differs) return false;
  ASSIGN_OR_RETURN(const JournalSeal seal, writer.Finish());
  front_ = {.state = JournalState::kCommitted, .header = header, .seal = seal};
  result_.changed_bytes = writer.record_bytes();
  result_.witness_bytes = writer.witness_bytes();
  result_.journal_bytes = kBodyOffset + seal.body_length;
  // The commit record must not be stored before what it vouches for, nor the
  // image be touched while a crash could still take the journal's name away.
  RETURN_IF_ERROR(journal_->Flush());
  RETURN_IF_ERROR(transaction_.place.directory.Sync());
  return true;
}

void Committer::Discard(const absl::Status& reason) {
  result_ = CommitResult();
  result_.status = reason;
  journal_.reset();
  const absl::Status removed = RemoveJournal(transaction_.place);
  if (removed.ok()) return;
  result_.image = ImageState::kPending;
  result_.status =
      reason.ok() ? removed
                  : WithConsequence(reason, "removing the journal", removed);
}

void Committer::RollBack(const absl::Status& reason) {
  result_.status = reason;
  result_.image = ImageState::kPending;
  absl::Status back = FinishBackward(transaction_.image, *journal_, front_);
  if (!back.ok()) {
    result_.status =
        WithConsequence(reason, "putting the old bytes back", back);
    return;
  }
  Discard(reason);
  result_.image = ImageState::kOld;
}

void Committer::Retire() {
  result_.image = ImageState::kNew;
  journal_.reset();
  absl::StatusOr<RetiredNames> names =
      RetireJournal(transaction_.place, transaction_.keep_undo);
  result_.status = names.status();
  if (!names.ok()) return;
  result_.undo_name = std::move(names->undo_name);
  result_.older_undo_name = std::move(names->older_undo_name);
}

CommitResult Committer::Run() {
  const absl::StatusOr<JournalHeader> header = MakeHeader();
  result_.status = header.status();
  if (!header.ok()) return result_;
  result_.status = CreateJournal();
  if (!result_.status.ok()) return result_;

  const absl::StatusOr<bool> written = WriteJournal(*header);
  if (!written.ok() || !*written) {
    Discard(written.status());
    return result_;
  }
  absl::Status step =
      WriteState(*journal_, JournalState::kCommitted, *front_.seal);
  if (!step.ok()) {
    Discard(step);
    return result_;
  }
  step = ApplyJournal(transaction_.image, *journal_, front_, Direction::kToNew);
  if (!step.ok()) {
    RollBack(step);
    return result_;
  }
  result_.status = WriteState(*journal_, JournalState::kApplied, *front_.seal);
  result_.image = ImageState::kPending;
  if (result_.status.ok()) Retire();
  return result_;
}

}  // namespace

CommitResult Commit(const Transaction& transaction) {
  return Committer(transaction).Run();
}

}  // namespace qcow2::repair
