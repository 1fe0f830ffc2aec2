#include "cli/transaction_json.h"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "checker/finding.h"

namespace qcow2::cli {
namespace {

using repair::GuestChange;
using repair::TransactionReport;

// The ids of the findings an edit answers: those at its very place, else all
// of its problem unless they are too many to tell anything.
Json FindingIdsJson(const repair::Edit& edit,
                    const checker::CheckReport& found) {
  constexpr size_t kMany = 16;
  Json exact = Json::array();
  Json all = Json::array();
  for (const auto* list : {&found.problems, &found.warnings}) {
    for (const checker::Finding& finding : *list) {
      if (finding.problem != edit.problem) continue;
      if (DescribeWhere(finding) == edit.where) exact.push_back(finding.id);
      if (all.size() <= kMany) all.push_back(finding.id);
    }
  }
  if (!exact.empty()) return exact;
  return all.size() <= kMany ? all : Json::array();
}

Json EditJson(const repair::Edit& edit, const checker::CheckReport& found) {
  Json json;
  json["code"] = checker::RowOf(edit.problem).code;
  json["action"] = checker::RowOf(edit.action).code;
  json["findings"] = FindingIdsJson(edit, found);
  json["where"] = edit.where;
  json["before"] = edit.before;
  json["after"] = edit.after;
  json["count"] = edit.count;
  return json;
}

Json GuestChangeJson(const GuestChange& change) {
  Json json = GuestRangeJson(change.range);
  json["kind"] =
      change.kind == GuestChange::Kind::kRecovered ? "recovered" : "lost";
  json["reason"] = change.reason;
  return json;
}

Json PlanJson(const repair::Plan& plan, const checker::CheckReport& found) {
  Json json;
  json["changes"] = plan.changes();
  json["edits"] = Json::array();
  for (const repair::Edit& edit : plan.edits()) {
    json["edits"].push_back(EditJson(edit, found));
  }
  json["edits_omitted"] = plan.edits_omitted();
  json["guest_changes"] = Json::array();
  for (const GuestChange& change : plan.guest_changes()) {
    json["guest_changes"].push_back(GuestChangeJson(change));
  }
  json["notes"] = plan.notes();
  return json;
}

Json ProofJson(const repair::ProofResult& proof) {
  Json json;
  json["ok"] = proof.ok;
  json["failures"] = Json::array();
  for (const repair::ProofFailure& failure : proof.failures) {
    Json item;
    item["kind"] = NameOf(failure.kind);
    item["message"] = failure.message;
    if (failure.kind == repair::ProofFailure::Kind::kGuestData) {
      item["guest"] = GuestRangeJson(failure.range);
    }
    json["failures"].push_back(std::move(item));
  }
  json["failures_omitted"] = proof.failures_omitted;
  json["guest_bytes_by_mapping"] = proof.statistics.guest_bytes_by_mapping;
  json["guest_bytes_by_content"] = proof.statistics.guest_bytes_by_content;
  json["l2_tables_compared"] = proof.statistics.l2_tables_compared;
  json["seconds"] = proof.statistics.seconds;
  return json;
}

Json CommitJson(const repair::CommitResult& commit) {
  Json json;
  json["state"] = NameOf(commit.image);
  json["changed_bytes"] = commit.changed_bytes;
  json["witness_bytes"] = commit.witness_bytes;
  json["journal_bytes"] = commit.journal_bytes;
  return json;
}

Json DiscardJson(const repair::Discard& discard) {
  Json json;
  json["clusters"] = discard.clusters;
  json["bytes"] = discard.bytes;
  json["applied"] = discard.applied;
  AddUnlessEmpty("removed_undo_file", discard.removed_undo_name, json);
  return json;
}

Json RecoveredJson(const repair::RecoverResult& recovered) {
  Json json;
  json["found"] = NameOf(recovered.found);
  json["state"] = NameOf(recovered.image);
  return json;
}

Json LeftJson(const std::vector<repair::LeftOver>& left) {
  Json json = Json::array();
  for (const repair::LeftOver& item : left) {
    Json object;
    object["code"] = checker::RowOf(item.problem).code;
    object["count"] = item.count;
    if (item.suspect_orphan) object["suspect_orphan"] = true;
    object["why"] = item.why;
    AddUnlessEmpty("remedy", item.remedy, object);
    json.push_back(std::move(object));
  }
  return json;
}

void AddPaths(const TransactionReport& transaction, Json& json) {
  AddUnlessEmpty("journal", transaction.journal_path, json);
  AddUnlessEmpty("undo_file", transaction.undo_path, json);
  AddUnlessEmpty("older_undo_file", transaction.older_undo_path, json);
}

}  // namespace

Json TransactionJson(const ImageReport& report) {
  const TransactionReport& transaction = *report.transaction;
  Json json;
  json["action"] = NameOf(transaction.action);
  if (transaction.action == repair::Action::kRepair) {
    json["mode"] = NameOf(transaction.mode);
  }
  if (transaction.action == repair::Action::kRepair ||
      transaction.action == repair::Action::kDiscardFreed) {
    json["dry_run"] = transaction.dry_run;
  }
  json["conclusion"] = NameOf(transaction.conclusion);
  if (!transaction.error.ok()) {
    json["error"] = std::string(transaction.error.message());
  }
  if (transaction.recovered.has_value()) {
    json["recovered"] = RecoveredJson(*transaction.recovered);
  }
  json["plan"] = PlanJson(transaction.plan, report.found);
  AddUnlessEmpty("stopped", transaction.stopped, json);
  if (transaction.proof.has_value()) {
    json["proof"] = ProofJson(*transaction.proof);
  }
  if (transaction.commit.has_value()) {
    json["commit"] = CommitJson(*transaction.commit);
  }
  if (transaction.discard.has_value()) {
    json["discard"] = DiscardJson(*transaction.discard);
  }
  AddPaths(transaction, json);
  json["fixes"] = transaction.fixed;
  json["left"] = LeftJson(transaction.left);
  return json;
}

}  // namespace qcow2::cli
