// Any arguments of qcow2-tool are parsed, and any of them is a size, a list of
// options of a new image, a list of options of an open one, a format or a
// policy: refused with a reason, or within its bounds. Nothing is carried out.
//
// The input is the arguments with a zero byte between them.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/option_parser.h"
#include "cli/tool/command.h"
#include "cli/tool/create_arguments.h"
#include "cli/tool/disk_options.h"
#include "cli/tool/key_values.h"
#include "cli/tool/parser.h"
#include "fuzz/arguments.h"
#include "fuzz/fuzz_target.h"

namespace {

using qcow2::tool::CreateArguments;
using Arguments = std::vector<std::string>;

constexpr size_t kMaxInputBytes = 4096;

// As RunTool() does it, up to the point where something would be done.
void Parse(const Arguments& arguments) {
  qcow2::tool::Action chosen;
  const std::unique_ptr<CLI::App> app = qcow2::tool::MakeParser(chosen);
  try {
    app->parse(Arguments(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    FUZZ_CHECK(!app->help().empty());
    return;
  } catch (const CLI::ParseError& error) {
    FUZZ_CHECK(!std::string(error.what()).empty());
    return;
  }
  FUZZ_CHECK(chosen != nullptr);
}

void TakeSize(const std::string& text) {
  const std::optional<uint64_t> bytes = qcow2::tool::ParseBytes(text);
  if (!bytes.has_value()) return;
  // What was taken for a number is it, whatever unit it is written in.
  FUZZ_CHECK(qcow2::tool::ParseBytes(std::to_string(*bytes)) == bytes);
  FUZZ_CHECK(text.front() >= '0' && text.front() <= '9');
}

void TakeCreateOptions(const std::string& list) {
  CreateArguments arguments;
  const std::string wrong = qcow2::tool::ForEachPair(
      list, [&](const std::string& key, const std::string& value) {
        return TakeCreateOption(key, value, arguments);
      });
  if (!wrong.empty()) return;
  const auto& cipher = arguments.luks.cipher;
  const size_t keys = cipher.mode == qcow2::CipherMode::kXts ? 2 : 1;
  const size_t key_bytes = cipher.key_bytes / keys;
  FUZZ_CHECK(key_bytes == 16 || key_bytes == 24 || key_bytes == 32);
  FUZZ_CHECK(arguments.luks.derivation.time.count() > 0);
  FUZZ_CHECK(arguments.create.cluster_bits < 64);
  if (arguments.size.has_value()) {
    arguments.create.virtual_size = *arguments.size / 512 * 512;
  }
  const absl::Status status = CheckCreateOptions(arguments.create);
  FUZZ_CHECK(status.ok() || !status.message().empty());
}

void TakeOpenOptions(const std::string& text) {
  qcow2::ImageTuning tuning;
  if (qcow2::tool::TakeTuning(text, tuning).empty()) {
    FUZZ_CHECK(tuning.cache_clean_interval.count() >= 0);
  }
  qcow2::DiskFormat format = qcow2::DiskFormat::kAuto;
  if (qcow2::tool::TakeFormat(text, format).empty()) {
    FUZZ_CHECK(text == qcow2::NameOfFormat(format));
  }
  const auto policy = qcow2::PolicyFromName(text);
  FUZZ_CHECK(!policy.has_value() || text == qcow2::NameOfPolicy(*policy));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > kMaxInputBytes) return 0;
  const Arguments arguments = qcow2::fuzz::ArgumentsIn(data, size);
  Parse(arguments);
  for (const std::string& argument : arguments) {
    TakeSize(argument);
    TakeCreateOptions(argument);
    TakeOpenOptions(argument);
  }
  return 0;
}
