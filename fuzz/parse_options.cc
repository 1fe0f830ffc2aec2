// Any arguments of qcow2-fsck: they are refused with a reason, or what they ask
// for is within the bounds that --help gives, and nothing may be written unless
// it was asked for.
//
// The input is the arguments with a zero byte between them.
#include <algorithm>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "cli/options.h"
#include "fuzz/arguments.h"
#include "fuzz/fuzz_target.h"

namespace {

using qcow2::cli::CommandLine;
using qcow2::cli::FleetOptions;
using qcow2::cli::Options;
using qcow2::cli::Task;
using Arguments = std::vector<std::string>;

constexpr size_t kMaxInputBytes = 4096;

bool AnyBeginsWith(const Arguments& arguments,
                   std::initializer_list<std::string_view> beginnings) {
  return std::ranges::any_of(arguments, [&](const std::string& argument) {
    return std::ranges::any_of(beginnings, [&](std::string_view beginning) {
      return argument.starts_with(beginning);
    });
  });
}

void CheckNumbers(const Options& options) {
  FUZZ_CHECK(options.jobs <= 256);
  FUZZ_CHECK(options.memory_limit_bytes > 0);
  FUZZ_CHECK(options.remote_timeout_seconds >= 1 &&
             options.remote_timeout_seconds <= 86400);
  // That no sum with a time of our days leaves 64 bits.
  constexpr int64_t kFar = std::numeric_limits<int64_t>::max() / 4;
  const FleetOptions& fleet = options.fleet;
  FUZZ_CHECK(fleet.shard.index < fleet.shard.count);
  FUZZ_CHECK(fleet.max_rate_bytes == 0 || fleet.max_rate_bytes >= 4096);
  FUZZ_CHECK(fleet.time_budget_seconds.value_or(0) >= 0 &&
             fleet.time_budget_seconds.value_or(0) < kFar);
  FUZZ_CHECK(fleet.newer_than.value_or(0) > -kFar &&
             fleet.newer_than.value_or(0) < kFar);
}

void CheckNames(const Options& options) {
  const auto sound = [](const Arguments& names) {
    return std::ranges::find(names, "") == names.end();
  };
  FUZZ_CHECK(sound(options.drop_snapshots));
  FUZZ_CHECK(sound(options.fleet.exclude));
  FUZZ_CHECK(sound(options.fleet.baselines));
  FUZZ_CHECK(options.images.empty() == !options.explain.empty());
}

// What changes an image has to be in the arguments, letter by letter.
void CheckTask(const Arguments& arguments, const Options& options) {
  switch (options.task) {
    case Task::kCheck:
      break;
    case Task::kRepair:
      FUZZ_CHECK(AnyBeginsWith(arguments, {"--repair", "-"}));
      FUZZ_CHECK(options.qemu_compatible ||
                 AnyBeginsWith(arguments, {"--repair"}));
      break;
    case Task::kRecover:
      FUZZ_CHECK(AnyBeginsWith(arguments, {"--recover"}));
      break;
    case Task::kUndo:
      FUZZ_CHECK(AnyBeginsWith(arguments, {"--undo"}));
      break;
    case Task::kDiscard:
      FUZZ_CHECK(AnyBeginsWith(arguments, {"--discard-freed"}));
      break;
  }
  FUZZ_CHECK(!MayWrite(options) || (!options.sandbox && !options.force_share &&
                                    !options.fleet.any()));
  FUZZ_CHECK(options.keep_undo || AnyBeginsWith(arguments, {"--no-undo"}));
  FUZZ_CHECK(!options.free_suspects ||
             AnyBeginsWith(arguments, {"--free-suspects"}));
}

void CheckTogether(const Options& options) {
  using qcow2::NamedFilePolicy;
  FUZZ_CHECK(!options.sandbox ||
             (options.images.size() == 1 && options.task == Task::kCheck &&
              options.named_files == NamedFilePolicy::kNone));
  FUZZ_CHECK(!WantsPicture(options) ||
             (options.images.size() == 1 && !options.fleet.any()));
  FUZZ_CHECK(!options.qemu_compatible || options.images.size() == 1);
}

void CheckRefusal(const CommandLine& result) {
  if (!result.standard_error.empty()) {
    FUZZ_CHECK(result.standard_output.empty() && result.exit_code != 0);
  } else {
    FUZZ_CHECK(!result.standard_output.empty() && result.exit_code == 0);
  }
}

// Behind "--" everything is the name of an image, whatever it looks like.
void CheckImageNames(const Arguments& arguments) {
  if (arguments.empty()) return;
  Arguments only_images = {"--"};
  only_images.insert(only_images.end(), arguments.begin(), arguments.end());
  const CommandLine result = qcow2::cli::ParseCommandLine(only_images);
  FUZZ_CHECK(result.options.has_value());
  FUZZ_CHECK(result.options->images == arguments);
  FUZZ_CHECK(result.options->task == Task::kCheck);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > kMaxInputBytes) return 0;
  const Arguments arguments = qcow2::fuzz::ArgumentsIn(data, size);
  const CommandLine result = qcow2::cli::ParseCommandLine(arguments);
  if (!result.options.has_value()) {
    CheckRefusal(result);
  } else {
    CheckNumbers(*result.options);
    CheckNames(*result.options);
    CheckTask(arguments, *result.options);
    CheckTogether(*result.options);
  }
  CheckImageNames(arguments);
  return 0;
}
