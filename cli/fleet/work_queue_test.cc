#include "cli/fleet/work_queue.h"

#include <map>

#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

using std::chrono::hours;
using std::chrono::steady_clock;

// However images come and go, what runs together keeps to the limits.
TEST(WorkQueueTest, TheSharesNeverAddUpToMoreThanThereIs) {
  constexpr uint64_t kMemory = 1000;
  for (const unsigned jobs : {1u, 2u, 3u, 8u}) {
    for (const size_t images : {1u, 2u, 5u, 20u}) {
      WorkQueue queue(std::vector<double>(images),
                      {.jobs = jobs, .memory_bytes = kMemory});
      std::map<size_t, Work> running;
      size_t taken = 0;
      for (unsigned step = 0; taken < images || !running.empty(); ++step) {
        const bool take = taken < images && running.size() < jobs &&
                          (step % 3 != 0 || running.empty());
        if (take) {
          const std::optional<Work> work = queue.Take();
          ASSERT_TRUE(work.has_value());
          EXPECT_EQ(work->index, taken++);
          running[work->index] = *work;
        } else {
          running.erase(running.begin());
          queue.Done();
        }
        uint64_t memory = 0;
        unsigned threads = 0;
        for (const auto& [index, work] : running) {
          memory += work.memory_bytes;
          threads += work.jobs;
        }
        EXPECT_LE(memory, kMemory);
        EXPECT_LE(threads, jobs);
      }
      EXPECT_FALSE(queue.Take().has_value());
      EXPECT_FALSE(queue.out_of_time());
    }
  }
}

TEST(WorkQueueTest, TheLastImageHasAllToItself) {
  WorkQueue queue({0, 0}, {.jobs = 4, .memory_bytes = 100});
  const std::optional<Work> first = queue.Take();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->jobs, 2u);
  EXPECT_EQ(first->memory_bytes, 50u);
  queue.Done();
  const std::optional<Work> last = queue.Take();
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->jobs, 4u);
  EXPECT_EQ(last->memory_bytes, 100u);
}

TEST(WorkQueueTest, NothingBeginsWhenTheTimeIsUp) {
  WorkQueue queue({0, 0}, {.deadline = steady_clock::now()});
  EXPECT_FALSE(queue.Take().has_value());
  EXPECT_TRUE(queue.out_of_time());
}

TEST(WorkQueueTest, WhatTakesTooLongIsLeftUnlessItIsTheFirst) {
  const SharedLimits limits = {.deadline = steady_clock::now() + hours(1)};
  WorkQueue queue({1e6, 1e6, 5}, limits);
  EXPECT_EQ(queue.Take().value_or(Work{99}).index, 0u);
  EXPECT_EQ(queue.Take().value_or(Work{99}).index, 2u);
  EXPECT_FALSE(queue.Take().has_value());
  EXPECT_TRUE(queue.out_of_time());
}

TEST(WorkQueueTest, NothingBeginsAfterAStop) {
  std::atomic<bool> cancel = false;
  WorkQueue cancelled({0, 0}, {.cancel = &cancel});
  EXPECT_TRUE(cancelled.Take().has_value());
  cancel = true;
  EXPECT_FALSE(cancelled.Take().has_value());
  WorkQueue stopped({0, 0}, {});
  stopped.Stop();
  EXPECT_FALSE(stopped.Take().has_value());
  EXPECT_FALSE(stopped.out_of_time());
}

}  // namespace
}  // namespace qcow2::cli
