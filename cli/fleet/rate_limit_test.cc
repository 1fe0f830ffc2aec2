#include "cli/fleet/rate_limit.h"

#include <array>
#include <vector>

#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

using std::chrono::seconds;
using Time = RateLimit::Clock::time_point;

TEST(RateLimitTest, ReadsWaitForThoseBeforeThem) {
  RateLimit limit(1000);
  const Time begin = Time() + seconds(100);
  EXPECT_EQ(limit.Account(1000, begin), begin + seconds(1));
  EXPECT_EQ(limit.Account(3000, begin), begin + seconds(4));
  EXPECT_EQ(limit.Account(1000, begin + seconds(2)), begin + seconds(5));
}

TEST(RateLimitTest, TimeThatWasNotUsedIsGone) {
  RateLimit limit(1000);
  const Time begin = Time() + seconds(100);
  EXPECT_EQ(limit.Account(1000, begin), begin + seconds(1));
  EXPECT_EQ(limit.Account(1000, begin + seconds(50)), begin + seconds(51));
}

TEST(RateLimitTest, ACancelledReadDoesNotWait) {
  MemoryFile memory;
  ASSERT_TRUE(memory.Pwrite(0, std::vector<std::byte>(4096)).ok());
  RateLimit limit(1);  // more than an hour for the read below
  const std::atomic<bool> cancel = true;
  const RateLimitedFile file(memory, limit, &cancel);
  std::array<std::byte, 4096> buffer;
  const absl::StatusOr<size_t> count = file.Pread(0, buffer);
  ASSERT_TRUE(count.ok());
  EXPECT_EQ(*count, 4096u);
}

// What is brought in without being read would not be accounted for.
TEST(RateLimitTest, NothingIsAskedForAhead) {
  class AskedFile : public ForwardingFile {
   public:
    using ForwardingFile::ForwardingFile;
    void Advise(Access access, ByteRange /*range*/) const override {
      asked.push_back(access);
    }
    mutable std::vector<Access> asked;
  };
  MemoryFile memory;
  AskedFile asked(memory);
  RateLimit limit(1);
  const RateLimitedFile file(asked, limit, nullptr);
  for (const Access access :
       {Access::kWillNeed, Access::kWillFollow, Access::kRowWillNeed}) {
    file.Advise(access, {0, 4096});
  }
  EXPECT_TRUE(asked.asked.empty());
  file.Advise(Access::kDontNeed, {0, 4096});
  EXPECT_EQ(asked.asked, std::vector<Access>{Access::kDontNeed});
}

}  // namespace
}  // namespace qcow2::cli
