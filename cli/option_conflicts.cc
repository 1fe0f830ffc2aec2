#include "cli/option_conflicts.h"

#include <initializer_list>

#include "engine/storage/nbd_address.h"

namespace qcow2::cli {
namespace {

// An option that has no meaning beside the others.
struct Misfit {
  bool given;
  const char* what;
};

std::string FirstOf(std::initializer_list<Misfit> misfits) {
  for (const Misfit& misfit : misfits) {
    if (misfit.given) return misfit.what;
  }
  return {};
}

std::string WrongRepair(const CLI::App& app, const Options& options) {
  const bool repair = options.task == Task::kRepair;
  const bool check = options.task == Task::kCheck;
  const bool discard = options.task == Task::kDiscard;
  const bool paths =
      !options.journal_file.empty() || !options.undo_file.empty();
  const auto given = [&](const char* name) { return app.count(name) > 0; };
  return FirstOf({
      {options.dry_run && !repair && !discard,
       "--dry-run needs --repair or --discard-freed"},
      {options.free_suspects && !repair, "--free-suspects needs --repair"},
      {!options.drop_snapshots.empty() &&
           !(repair && options.repair_mode == repair::Mode::kSalvage),
       "--drop-snapshot needs --repair=salvage"},
      {!options.keep_undo && !repair && !discard,
       "--no-undo needs --repair or --discard-freed"},
      {!options.keep_undo && !discard && !options.undo_file.empty(),
       "--no-undo and --undo-file exclude each other"},
      {options.moved_image && options.task != Task::kRecover &&
           options.task != Task::kUndo,
       "--moved-image needs --recover or --undo"},
      {paths && check,
       "--journal and --undo-file need --repair, --recover, --undo or "
       "--discard-freed"},
      {paths && options.images.size() > 1,
       "--journal and --undo-file take one IMAGE only"},
      {options.force_share && !check,
       "--force-share is for checks: an image in use cannot be repaired"},
      {(repair || discard) && given("--overlap-check"),
       "--overlap-check is for checks: a repair watches all metadata"},
  });
}

std::string WrongPicture(const Options& options) {
  if (!WantsPicture(options)) return {};
  if (options.images.size() == 1 && !ChecksMany(options)) return {};
  return "--html and --map draw one IMAGE; they take none of the options of "
         "runs over many";
}

// The report of a check in the sandbox is what it prints: it can open nothing.
std::string WrongSandbox(const CLI::App& app, const Options& options) {
  if (!options.sandbox) return {};
  return FirstOf({
      {options.task != Task::kCheck, "--sandbox is for checks"},
      {ChecksMany(options),
       "--sandbox takes one IMAGE, and none of the options of runs over many"},
      {!options.images.empty() && IsNbdAddress(options.images[0]),
       "--sandbox takes a local IMAGE: a server has to be written to"},
      {!options.report_file.empty() || !options.metrics_file.empty() ||
           WantsPicture(options),
       "--sandbox can write no file: its report is what it prints"},
      {app.count("--backing") > 0 &&
           options.named_files != NamedFilePolicy::kNone,
       "--sandbox can look at no other file: --backing=none is what it does"},
  });
}

// Images are what both kinds of command lines cannot do without.
std::string WrongImages(const Options& options) {
  if (options.qemu_compatible) {
    return options.images.size() == 1 ? "" : "Expecting one image file name";
  }
  const bool explain = !options.explain.empty();
  if (explain == options.images.empty()) return {};
  if (options.fleet.merge) return "a REPORT is needed";
  return explain ? "--explain takes no IMAGE" : "an IMAGE is needed";
}

}  // namespace

std::string WrongTogether(const CLI::App& app, const Options& options) {
  std::string wrong = WrongImages(options);
  if (!wrong.empty()) return wrong;
  if (options.qemu_compatible) {
    return options.force_share && MayWrite(options)
               ? "-U cannot be combined with -r: an image in use is not "
                 "repaired"
               : "";
  }
  wrong = WrongRepair(app, options);
  if (wrong.empty()) wrong = WrongSandbox(app, options);
  if (wrong.empty()) {
    wrong = WrongFleet(options.fleet, options.task == Task::kCheck);
  }
  if (wrong.empty()) wrong = WrongPicture(options);
  return wrong;
}

}  // namespace qcow2::cli
