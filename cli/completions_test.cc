#include "cli/completions.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "cli/completion_words.h"
#include "cli/option_parser.h"
#include "cli/options.h"
#include "cli/tool/parser.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

constexpr char kHowTo[] =
    "bazel run //cli:generate_completions -- $PWD/packaging/completions";

std::string File(const std::string& name) {
  std::ifstream stream("packaging/completions/" + name);
  EXPECT_TRUE(stream) << name;
  return {std::istreambuf_iterator<char>(stream), {}};
}

CommandRow ToolProgram() {
  tool::Action chosen;
  return DescribeCommand(*tool::MakeParser(chosen));
}

TEST(CompletionsTest, TheFilesAreUpToDate) {
  for (const CommandRow& program : {DescribeProgram(), ToolProgram()}) {
    EXPECT_TRUE(File(program.name + ".bash") == BashCompletion(program))
        << kHowTo;
    EXPECT_TRUE(File(program.name + ".zsh") == ZshCompletion(program))
        << kHowTo;
    EXPECT_TRUE(File(program.name + ".fish") == FishCompletion(program))
        << kHowTo;
  }
}

TEST(CompletionsTest, TheCheckTakesEveryWord) {
  size_t words = 0;
  for (const OptionRow& option : DescribeProgram().options) {
    for (const std::string& word : WordsOf(option)) {
      std::vector<std::string> arguments = {option.names.back() + "=" + word};
      if (option.value != "CODE") arguments.emplace_back("image");
      const CommandLine line = ParseCommandLine(arguments);
      EXPECT_TRUE(line.options.has_value()) << line.standard_error;
      ++words;
    }
  }
  EXPECT_GT(words, 100);
}

// What the parser says of the value of one option; nothing if it takes it.
std::string WrongValue(std::vector<std::string> arguments) {
  tool::Action chosen;
  const std::unique_ptr<CLI::App> parser = tool::MakeParser(chosen);
  std::reverse(arguments.begin(), arguments.end());
  try {
    parser->parse(arguments);
  } catch (const CLI::ValidationError& error) {
    return error.what();
  } catch (const CLI::RequiredError&) {
    // There is no image: values are judged first.
  }
  return {};
}

TEST(CompletionsTest, TheToolTakesEveryWord) {
  const CommandRow program = ToolProgram();
  size_t words = 0;
  for (const CommandPath& path : AllCommands(program)) {
    for (const OptionRow& option : path.command->options) {
      for (const std::string& word : WordsOf(option)) {
        std::vector<std::string> arguments = path.names;
        arguments.push_back(option.names.back() + "=" + word);
        EXPECT_EQ(WrongValue(arguments), "");
        ++words;
      }
    }
  }
  EXPECT_GT(words, 100);
  EXPECT_NE(WrongValue({"info", "--output=xml"}), "");
}

TEST(CompletionsTest, AnOptionHasTheWordsOfItsOwnHelp) {
  OptionRow option;
  option.names = {"--output"};
  option.value = "FORMAT";
  option.help = "human (default) or json";
  EXPECT_EQ(WordsOf(option), (std::vector<std::string>{"human", "json"}));
  option.help = "How";
  EXPECT_EQ(WordsOf(option).size(), 3);
  option.value = "N";
  EXPECT_TRUE(WordsOf(option).empty());
}

TEST(CompletionsTest, HelpIsShort) {
  EXPECT_EQ(ShortHelp("What to print: human (default)"), "What to print");
  EXPECT_EQ(ShortHelp("With --repair: also this. And that"),
            "With --repair: also this");
  EXPECT_EQ(ShortHelp("Read it."), "Read it");
}

TEST(CompletionsTest, QuotesAndBracketsStayText) {
  OptionRow option;
  option.names = {"--c"};
  option.help = "It's [d] of \\e";
  CommandRow program;
  program.name = "a-b";
  program.takes_files = true;
  program.options = {option};
  EXPECT_NE(ZshCompletion(program).find(R"([It'\''s \[d\] of \\e])"),
            std::string::npos);
  EXPECT_NE(FishCompletion(program).find(R"(-d 'It\'s [d] of \\e')"),
            std::string::npos);
}

}  // namespace
}  // namespace qcow2::cli
