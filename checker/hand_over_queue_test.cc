#include "checker/hand_over_queue.h"

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using Batch = std::vector<int>;
using Queue = HandOverQueue<Batch>;

// What Next has, as the taker takes it in.
std::vector<int> TakeAll(Queue& queue) {
  std::vector<int> all;
  std::optional<Batch> batch;
  while ((batch = queue.Next(std::move(batch)))) {
    all.insert(all.end(), batch->begin(), batch->end());
    batch->clear();
  }
  return all;
}

// Two members of a queue.
class HandOverQueueTest : public testing::Test {
 protected:
  // A becomes the taker; there is nothing to take in yet.
  void LetATakeIn() {
    Batch batch;
    EXPECT_TRUE(queue_.TakesIn(&a_, batch));
    EXPECT_THAT(TakeAll(queue_), IsEmpty());
  }
  // B has a batch, which goes into the queue.
  void HandOverFromB(Batch batch) {
    EXPECT_FALSE(queue_.TakesIn(&b_, batch));
    EXPECT_THAT(batch, IsEmpty());
  }

  const char a_ = 0;
  const char b_ = 0;
  Queue queue_{2};
};

TEST_F(HandOverQueueTest, TheFirstTakesInWhatTheOthersCollect) {
  EXPECT_TRUE(queue_.IsTaker(&a_));
  EXPECT_TRUE(queue_.IsTaker(&b_));
  LetATakeIn();
  EXPECT_TRUE(queue_.IsTaker(&a_));
  EXPECT_FALSE(queue_.IsTaker(&b_));

  HandOverFromB({2, 3});
  HandOverFromB({4});
  Batch batch = {5};
  EXPECT_TRUE(queue_.TakesIn(&a_, batch));
  EXPECT_THAT(batch, ElementsAre(5));
  EXPECT_THAT(TakeAll(queue_), ElementsAre(2, 3, 4));
}

TEST_F(HandOverQueueTest, WithoutABatchTheFirstBecomesTheTakerToo) {
  EXPECT_TRUE(queue_.BecomesTaker(&a_));
  EXPECT_FALSE(queue_.BecomesTaker(&b_));
  HandOverFromB({1, 2});
  EXPECT_TRUE(queue_.BecomesTaker(&a_));
  EXPECT_THAT(TakeAll(queue_), ElementsAre(1, 2));
  EXPECT_TRUE(queue_.Leave(&a_));
  EXPECT_TRUE(queue_.BecomesTaker(&b_));
}

TEST_F(HandOverQueueTest, BatchesAreUsedAgain) {
  LetATakeIn();
  Batch batch = {1, 2, 3};
  const int* const place = batch.data();
  EXPECT_FALSE(queue_.TakesIn(&b_, batch));
  EXPECT_THAT(TakeAll(queue_), ElementsAre(1, 2, 3));
  batch = {4};
  EXPECT_FALSE(queue_.TakesIn(&b_, batch));
  EXPECT_EQ(batch.data(), place);
}

TEST_F(HandOverQueueTest, AFullQueueGoesToWhoFindsItUnattended) {
  LetATakeIn();
  HandOverFromB({1});
  HandOverFromB({2});
  Batch batch = {3};
  EXPECT_TRUE(queue_.TakesIn(&b_, batch));
  EXPECT_THAT(batch, ElementsAre(3));
  EXPECT_THAT(TakeAll(queue_), ElementsAre(1, 2));
  EXPECT_TRUE(queue_.IsTaker(&b_));
  EXPECT_FALSE(queue_.IsTaker(&a_));
}

TEST_F(HandOverQueueTest, WhoLeavesTakesInTheRest) {
  LetATakeIn();
  HandOverFromB({1});
  EXPECT_TRUE(queue_.Leave(&b_));
  EXPECT_FALSE(queue_.Leave(&a_));
  EXPECT_THAT(TakeAll(queue_), ElementsAre(1));
  EXPECT_TRUE(queue_.Leave(&a_));
  EXPECT_TRUE(queue_.IsTaker(&b_));
}

// Each of many threads hands over numbers; none may be lost, and no two may
// take in at a time. A small queue, so that they wait for room.
TEST(HandOverQueueThreadsTest, NothingIsLostAndOneTakesInAtATime) {
  constexpr int kThreads = 8;
  constexpr int kBatches = 2000;
  Queue queue(3);
  std::atomic<int> taking_in{0};
  std::atomic<int> together{0};
  int64_t sum = 0;  // the taker's alone
  const auto take_in = [&](std::optional<Batch> batch) {
    if (++taking_in > 1) ++together;
    do {
      if (batch.has_value()) {
        for (const int number : *batch) sum += number;
        batch->clear();
      }
      // Before Next, which may make another thread the taker.
      --taking_in;
      batch = queue.Next(std::move(batch));
      if (batch.has_value() && ++taking_in > 1) ++together;
    } while (batch.has_value());
  };
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      Batch batch;
      for (int i = 0; i < kBatches; ++i) {
        batch.push_back(thread * kBatches + i);
        if (queue.TakesIn(&batch, batch)) {
          take_in(std::exchange(batch, {}));
        }
      }
      while (!queue.Leave(&batch)) take_in(std::nullopt);
    });
  }
  for (std::thread& thread : threads) thread.join();
  constexpr int64_t kNumbers = int64_t{kThreads} * kBatches;
  EXPECT_EQ(sum, kNumbers * (kNumbers - 1) / 2);
  EXPECT_EQ(together, 0);
}

}  // namespace
}  // namespace qcow2::checker
