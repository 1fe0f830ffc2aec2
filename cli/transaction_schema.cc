#include "cli/transaction_schema.h"

#include "cli/schema_parts.h"
#include "repair/transaction_report.h"

namespace qcow2::cli::schema {
namespace {

constexpr Presence kKnown = Presence::kWhenKnown;

Json EditSchema() {
  return Object({
      {"code", Text("the problem it answers")},
      {"action", RepairActionSchema()},
      {"findings", Described(ArrayOf(Number()),
                             "ids in problems and warnings; empty if it "
                             "answers too many, or what came to light later")},
      {"where", Text()},
      {"before", Text("the old meaning, for people; may change")},
      {"after", Text("the new meaning")},
      {"count", Number("entries, fields or clusters")},
  });
}

// A guest range with more keys.
Json GuestChangeSchema() {
  Json schema = GuestRangeSchema();
  schema["properties"]["kind"] = {{"enum", {"recovered", "lost"}}};
  schema["properties"]["reason"] = Text();
  schema["required"].push_back("kind");
  schema["required"].push_back("reason");
  return schema;
}

Json PlanSchema() {
  return Object({
      {"changes", Number("entries, fields or clusters, all in all")},
      {"edits", ArrayOf(EditSchema())},
      {"edits_omitted", Number("beyond those listed")},
      {"guest_changes",
       Described(ArrayOf(GuestChangeSchema()),
                 "the only ranges that read differently afterwards")},
      {"notes", ArrayOf(Text())},
  });
}

Json ProofSchema() {
  Json failure = Object({
      {"kind", NamesUpTo(repair::ProofFailure::Kind::kIncomplete)},
      {"message", Text()},
      {"guest", Reference("guest_range"), kKnown},
  });
  return Object({
      {"ok", Flag()},
      {"failures", ArrayOf(failure)},
      {"failures_omitted", Number("beyond those listed")},
      {"guest_bytes_by_mapping",
       Number("guest data proven to be the same without reading it")},
      {"guest_bytes_by_content", Number("guest data read and compared")},
      {"l2_tables_compared", Number("pairs of tables")},
      {"seconds", Seconds()},
  });
}

Json CommitSchema() {
  return Object({
      {"state", Described(NamesUpTo(repair::ImageState::kPending),
                          "what the image is: as before, as planned, or in "
                          "between, to be finished from the journal")},
      {"changed_bytes", Number("of the image")},
      {"witness_bytes", Number("of the image the plan was made from")},
      {"journal_bytes", Number()},
  });
}

Json DiscardSchema() {
  return Object({
      {"clusters", Number("free clusters that hold something")},
      {"bytes", Number("of them that can be, or were, given back")},
      {"applied", Described(Flag(), "whether all of it was given back")},
      {"removed_undo_file", Text("its name"), kKnown},
  });
}

Json RecoveredSchema() {
  return Object({
      {"found", NamesUpTo(repair::JournalState::kUndone)},
      {"state", NamesUpTo(repair::ImageState::kPending)},
  });
}

Json LeftSchema() {
  return Object({
      {"code", Text()},
      {"count", Number("entries or clusters")},
      {"suspect_orphan", Flag(), kKnown},
      {"why", Text()},
      {"remedy", Text("an option that deals with it"), kKnown},
  });
}

}  // namespace

Json TransactionSchema() {
  return Object({
      {"action", NamesUpTo(repair::Action::kDiscardFreed)},
      {"mode", NamesUpTo(repair::Mode::kSalvage), kKnown},
      {"dry_run", Flag(), kKnown},
      {"conclusion", NamesUpTo(repair::Conclusion::kPending)},
      {"error", Text("what could not be done"), kKnown},
      {"recovered", RecoveredSchema(), kKnown},
      {"plan", PlanSchema()},
      {"stopped", Text("why planning ended early"), kKnown},
      {"proof", ProofSchema(), kKnown},
      {"commit", CommitSchema(), kKnown},
      {"discard", DiscardSchema(), kKnown},
      {"journal", Text("path"), kKnown},
      {"undo_file", Text("path"), kKnown},
      {"older_undo_file", Text("what an older undo file is called now"),
       kKnown},
      {"fixes", Number("problems that are mended by the plan")},
      {"left", Described(ArrayOf(LeftSchema()),
                         "corruptions and leaks after the plan")},
  });
}

}  // namespace qcow2::cli::schema
