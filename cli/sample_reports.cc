#include "cli/sample_reports.h"

namespace qcow2::cli {

using checker::CheckReport;
using checker::CheckStatus;
using checker::Finding;
using checker::GuestRange;
using checker::HostRun;
using checker::Problem;
using checker::Structure;

namespace {

Finding BrokenEntry() {
  Finding finding;
  finding.id = 1;
  finding.problem = Problem::kL2EntryUnaligned;
  finding.location.structure = Structure::kActiveL2;
  finding.location.table_offset = 0x50000;
  finding.location.index = 12;
  finding.guest = {GuestRange{786432, 65536, "", false}};
  finding.actual = 0x60200;
  finding.root_cause = 1;
  return finding;
}

Finding Leak(uint32_t id, uint64_t clusters) {
  Finding finding;
  finding.id = id;
  finding.problem = Problem::kClusterLeaked;
  finding.count = clusters;
  finding.location.structure = Structure::kHostCluster;
  finding.host = HostRun{6, clusters, 0x60000};
  finding.actual = 1;
  finding.expected = 0;
  finding.root_cause = id;
  return finding;
}

Finding LowRefcount() {
  Finding finding = Leak(3, 1);
  finding.problem = Problem::kRefcountTooLow;
  finding.host = HostRun{7, 1, 0x70000};
  finding.guest = {GuestRange{0, 65536, "", false},
                   GuestRange{0, 65536, "before\nupdate", false}};
  finding.owners = checker::kOwnerGuestData;
  finding.expected = 2;
  return finding;
}

Finding Dirty() {
  Finding finding;
  finding.id = 4;
  finding.problem = Problem::kDirtyBit;
  finding.location.structure = Structure::kHeader;
  finding.location.field = "incompatible_features";
  finding.root_cause = 4;
  return finding;
}

}  // namespace

CheckReport CleanReport() {
  CheckReport report;
  report.status = CheckStatus::kClean;
  report.image.path = "disk.qcow2";
  report.image.recognised = true;
  report.image.version = 3;
  report.image.virtual_size_bytes = 1 << 30;
  report.image.cluster_size_bytes = 65536;
  report.image.refcount_bits = 16;
  report.image.file_size_bytes = 1376256;
  report.image.image_end_offset_bytes = 1376256;
  report.image.snapshots = 1;
  report.image.compression_type = "deflate";
  report.allocation = {.total_clusters = 16384,
                       .allocated_clusters = 16,
                       .fragmented_clusters = 1,
                       .compressed_clusters = 0};
  report.statistics = {.host_clusters = 21,
                       .metadata_bytes = 262144,
                       .l2_tables = 1,
                       .refcount_blocks = 1,
                       .passes = 1,
                       .map_memory_bytes = 4096,
                       .peak_memory_bytes = 3145728,
                       .seconds = 0.25};
  return report;
}

CheckReport LeakyReport() {
  CheckReport report = CleanReport();
  report.status = CheckStatus::kLeaks;
  report.counts.leaks = 2;
  report.qemu.leaks = 2;
  report.problems = {Leak(1, 2)};
  return report;
}

CheckReport CorruptReport() {
  CheckReport report = CleanReport();
  report.status = CheckStatus::kCorrupt;
  report.counts = {.corruptions = 2,
                   .leaks = 1,
                   .warnings = 1,
                   .notes = 0,
                   .suspect_orphans = 1,
                   .unreadable_bytes = 0};
  report.qemu = {.corruptions = 2,
                 .leaks = 1,
                 .check_errors = 0,
                 .unseen = 0,
                 .refused = false};
  Finding leak = Leak(2, 1);
  leak.root_cause = 1;
  leak.suspect_orphan = true;
  report.problems = {BrokenEntry(), leak, LowRefcount()};
  report.warnings = {Dirty()};
  return report;
}

CheckReport UnopenedReport() {
  CheckReport report;
  report.image.path = "gone.qcow2";
  report.errors = {"cannot open 'gone.qcow2': No such file or directory"};
  return report;
}

namespace {

repair::Plan SamplePlan() {
  repair::Plan plan;
  plan.Add({Problem::kL2EntryUnaligned, checker::RepairAction::kMendEntry,
            "active L2 table at 0x50000, entry 12",
            "names 0x60200, which is not cluster aligned",
            "names the cluster at 0x60000", 1});
  plan.Add({Problem::kRefcountTooLow, checker::RepairAction::kCorrectRefcount,
            "host cluster 7 (offset 0x70000)", "refcount 1", "refcount 2", 1});
  plan.Add({Problem::kDirtyBit, checker::RepairAction::kClearHeaderBit,
            "header, dirty bit", "set", "clear", 1});
  plan.AddGuestChange(
      {GuestRange{786432, 65536, "", false},
       repair::GuestChange::Kind::kRecovered,
       "the entry names the cluster that was left without one"});
  plan.AddNote("the file keeps its length");
  return plan;
}

repair::TransactionReport SampleTransaction() {
  repair::TransactionReport transaction;
  transaction.conclusion = repair::Conclusion::kCommitted;
  transaction.plan = SamplePlan();
  transaction.proof.emplace();
  transaction.proof->ok = true;
  transaction.proof->statistics = {.guest_bytes_by_mapping = 1 << 20,
                                   .guest_bytes_by_content = 65536,
                                   .l2_tables_compared = 1,
                                   .seconds = 0.5};
  transaction.commit.emplace();
  transaction.commit->image = repair::ImageState::kNew;
  transaction.commit->changed_bytes = 4096;
  transaction.commit->journal_bytes = 20480;
  transaction.journal_path = "/images/disk.qcow2.fsck-journal";
  transaction.undo_path = "/images/disk.qcow2.fsck-undo";
  transaction.mended = {1, 3, 4};
  transaction.fixed = 3;
  transaction.left = {{Problem::kClusterLeaked, true, 1,
                       "they may be what is left of guest data",
                       "--free-suspects"}};
  return transaction;
}

CheckReport AfterSampleRepair() {
  CheckReport report = LeakyReport();
  report.counts.leaks = 1;
  report.counts.suspect_orphans = 1;
  return report;
}

}  // namespace

ImageReport RepairedReport() {
  return {CorruptReport(), AfterSampleRepair(), SampleTransaction()};
}

ImageReport PlannedReport() {
  ImageReport report = RepairedReport();
  report.transaction->dry_run = true;
  report.transaction->conclusion = repair::Conclusion::kPlanned;
  report.transaction->commit.reset();
  report.transaction->journal_path.clear();
  report.transaction->undo_path.clear();
  return report;
}

ImageReport NotProvenReport() {
  ImageReport report = PlannedReport();
  report.transaction->dry_run = false;
  report.transaction->conclusion = repair::Conclusion::kNotProven;
  repair::ProofResult& proof = *report.transaction->proof;
  proof.ok = false;
  proof.failures.emplace_back();
  proof.failures[0].kind = repair::ProofFailure::Kind::kGuestData;
  proof.failures[0].message = "65536 bytes at 0 would read differently";
  proof.failures[0].range = GuestRange{0, 65536, "", false};
  proof.failures_omitted = 2;
  return report;
}

ImageReport PendingReport() {
  ImageReport report = RepairedReport();
  report.transaction->conclusion = repair::Conclusion::kPending;
  report.transaction->error = absl::DataLossError(
      "cannot write 4096 bytes at offset 0 of 'disk.qcow2'");
  report.transaction->commit->image = repair::ImageState::kPending;
  report.transaction->undo_path.clear();
  return report;
}

ImageReport UndoneReport() {
  repair::TransactionReport transaction;
  transaction.action = repair::Action::kUndo;
  transaction.conclusion = repair::Conclusion::kCommitted;
  transaction.undo_path = "/images/disk.qcow2.fsck-undo";
  return {LeakyReport(), LeakyReport(), transaction};
}

ImageReport DiscardedReport() {
  repair::TransactionReport transaction;
  transaction.action = repair::Action::kDiscardFreed;
  transaction.conclusion = repair::Conclusion::kCommitted;
  transaction.discard = {.clusters = 3,
                         .bytes = 196608,
                         .applied = true,
                         .removed_undo_name = "disk.qcow2.fsck-undo"};
  return {CleanReport(), CleanReport(), transaction};
}

ImageReport RecoveredReport() {
  repair::TransactionReport transaction;
  transaction.conclusion = repair::Conclusion::kNothingToDo;
  transaction.recovered.emplace();
  transaction.recovered->found = repair::JournalState::kCommitted;
  transaction.recovered->image = repair::ImageState::kNew;
  transaction.undo_path = "/images/disk.qcow2.fsck-undo";
  transaction.older_undo_path = "/images/disk.qcow2.fsck-undo.1";
  return {CleanReport(), CleanReport(), transaction};
}

CheckReport FullReport() {
  CheckReport report = CorruptReport();
  report.status = CheckStatus::kInconclusive;
  report.image.backing_file = "base.qcow2";
  report.image.data_file = "data.raw";
  report.image.encryption = "luks";
  report.image.features = {"dirty", "lazy refcounts"};
  report.problems_omitted = 7;
  report.errors = {"cannot read 65536 bytes at offset 0"};
  Finding& finding = report.problems[0];
  finding.location.field = "offset";
  finding.location.snapshot = "one";
  finding.host = HostRun{6, 1, 0x60000};
  finding.guest[0].snapshot = "one";
  finding.guest[0].vm_state = true;
  finding.guest_ranges_omitted = 3;
  finding.owners = checker::kOwnerActiveL2 | checker::kOwnerGuestData;
  finding.expected = UINT64_MAX;
  finding.suspect_orphan = true;
  return report;
}

}  // namespace qcow2::cli
