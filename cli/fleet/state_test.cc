#include "cli/fleet/state.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

FleetState Sample() {
  FleetState state;
  state.round = 3;
  state.round_finished = false;
  state.images["/images/a b%\n\xff.qcow2"] = {.round = 3,
                                              .checked = 1'800'000'000,
                                              .succeeded = 1'700'000'000,
                                              .status = ImageStatus::kLeaks,
                                              .exit_code = 4,
                                              .corruptions = 0,
                                              .leaks = 7,
                                              .warnings = 1,
                                              .suspect_orphans = 2,
                                              .leaked_bytes = 458752,
                                              .seconds = 0.25};
  state.images["/images/old.qcow2"] = {.round = 2, .checked = 1'600'000'000};
  return state;
}

std::string TestPath(const std::string& name) {
  return testing::TempDir() + "/" + name;
}

TEST(StateTest, IsReadAsItIsWritten) {
  const FleetState state = Sample();
  const absl::StatusOr<FleetState> read = ParseState(StateText(state));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->round, 3u);
  EXPECT_FALSE(read->round_finished);
  EXPECT_EQ(read->images, state.images);
}

TEST(StateTest, WhatCouldNotBeReadIsNotWritten) {
  FleetState state = Sample();
  const std::string longest(4096, '\xff');
  state.images[longest] = {.round = 3};
  const auto images = state.images;
  state.images[longest + longest] = {.round = 3};
  const absl::StatusOr<FleetState> read = ParseState(StateText(state));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->images, images);
}

// Every text that differs in one line from a good one, or ends early.
TEST(StateTest, WhatIsNotWholeIsRefused) {
  const std::string text = StateText(Sample());
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(ParseState(text.substr(0, length)).ok()) << length;
  }
  EXPECT_FALSE(ParseState(text + "\n").ok());
  EXPECT_FALSE(ParseState(text + text).ok());
}

TEST(StateTest, WrongValuesAreRefused) {
  const std::string text = StateText(Sample());
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{
           {"state\":1", "state\":2"},
           {"\"round\":3,\"round_f", "\"round\":-3,\"round_f"},
           {"\"round\":2", "\"round\":4"},  // later than the state's own
           {"\"leaks\":7", "\"leaks\":-7"},
           {"\"leaks\":7", "\"leaks\":7.5"},
           {"\"leaks\":7", "\"leaks\":\"7\""},
           {"\"leaks\":7", "\"lacks\":7"},
           {"\"seconds\":0.25", "\"seconds\":1e300"},
           {"\"seconds\":0.25", "\"seconds\":-1"},
           {"\"exit_code\":4", "\"exit_code\":4000"},
           {"\"status\":\"leaks\"", "\"status\":\"fine\""},
           {"1800000000", "999999999999999"},
           {"%ff", "%fg"},
           {"%ff.qcow2", "%f"},
           {"\"images\":2", "\"images\":3"}}) {
    std::string wrong = text;
    const size_t at = wrong.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    wrong.replace(at, from.size(), to);
    EXPECT_TRUE(absl::IsInvalidArgument(ParseState(wrong).status())) << to;
  }
}

TEST(StateTest, APathTwiceIsRefused) {
  std::string text = StateText(Sample());
  const size_t begin = text.find("{\"path\"");
  const std::string line =
      text.substr(begin, text.find('\n', begin) + 1 - begin);
  text.insert(begin, line);
  text.replace(text.find("\"images\":2"), 10, "\"images\":3");
  EXPECT_FALSE(ParseState(text).ok());
}

TEST(StateTest, ARoundEndsBeforeTheNextBegins) {
  FleetState state = Sample();
  BeginRound(state);
  EXPECT_EQ(state.round, 3u);
  EXPECT_TRUE(IsDue(state, "/images/old.qcow2"));
  EXPECT_TRUE(IsDue(state, "/images/new.qcow2"));
  EXPECT_FALSE(IsDue(state, "/images/a b%\n\xff.qcow2"));
  state.round_finished = true;
  BeginRound(state);
  EXPECT_EQ(state.round, 4u);
  EXPECT_TRUE(IsDue(state, "/images/a b%\n\xff.qcow2"));
}

TEST(StateTest, ImagesThatAreGoneAreForgottenInTheEnd) {
  FleetState state = Sample();
  for (uint64_t i = 0; i <= kRoundsRemembered; ++i) {
    EXPECT_TRUE(state.images.contains("/images/a b%\n\xff.qcow2")) << i;
    state.round_finished = true;
    BeginRound(state);
  }
  EXPECT_TRUE(state.images.empty());
}

TEST(StateTest, TheFileIsForItsOwnerOnly) {
  const std::string path = TestPath("state");
  std::ofstream(path) << "someone else's\n";
  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  ASSERT_TRUE(WriteState(Sample(), path).ok());
  struct stat status;
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  const absl::StatusOr<FleetState> read = ReadState(path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->images, Sample().images);
}

TEST(StateTest, NoFileIsAnEmptyState) {
  const absl::StatusOr<FleetState> state = ReadState(TestPath("none"));
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_TRUE(state->images.empty());
  EXPECT_TRUE(state->round_finished);
}

TEST(StateTest, WhatIsNoStateIsAnErrorThatNamesIt) {
  const std::string path = TestPath("not-a-state");
  std::ofstream(path) << "{\"schema_version\":1}\n";
  const absl::Status status = ReadState(path).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_NE(status.message().find(path), std::string::npos);
  const std::string fifo = TestPath("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(ReadState(fifo).status()));
  unlink(fifo.c_str());
}

}  // namespace
}  // namespace qcow2::cli
