#include "kube/work_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "tests/support/eventually.h"
#include "tests/support/fake_clock.h"

namespace spillway::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

class WorkQueueTest : public testing::Test {
 protected:
  // REQUIRES that one is due: waits for it.
  std::string Take(int least = 0) {
    const std::string* key = queue_.Get(least);
    return *key;
  }
  // Takes all that is due, and is done with each at once.
  std::vector<std::string> TakeAll(int least = 0) {
    std::vector<std::string> keys;
    queue_.Add("end", least - 1);
    while (true) {
      const std::string key = *queue_.Get(least - 1);
      queue_.Done(key);
      if (key == "end") return keys;
      keys.push_back(key);
    }
  }

  support::FakeClock clock_;
  WorkQueue queue_{clock_, {}, {}};
};

TEST_F(WorkQueueTest, FirstComeFirstServedWithinAPriority) {
  for (const char* key : {"c", "a", "b"}) queue_.Add(key, 1);
  queue_.Add("z", 2);
  queue_.Add("y", 0);
  EXPECT_THAT(TakeAll(), ElementsAre("z", "c", "a", "b", "y"));
}

TEST_F(WorkQueueTest, WhatIsDueOnceIsNotDueTwice) {
  for (int i = 0; i < 3; ++i) queue_.Add("a", 1);
  EXPECT_EQ(queue_.size(), 1U);
  EXPECT_THAT(TakeAll(), ElementsAre("a"));
  EXPECT_EQ(queue_.size(), 0U);
}

TEST_F(WorkQueueTest, AddedWhileItIsWorkedOnItIsHandedOutOnceMoreAfterwards) {
  queue_.Add("a", 1);
  ASSERT_EQ(Take(), "a");
  for (int i = 0; i < 3; ++i) queue_.Add("a", 1);
  EXPECT_THAT(TakeAll(), IsEmpty()) << "not by two at once";
  queue_.Done("a");
  EXPECT_THAT(TakeAll(), ElementsAre("a"));
}

TEST_F(WorkQueueTest, TheEarliestTimeAndTheHighestPriorityCount) {
  queue_.Add("a", 0, seconds(10));
  queue_.Add("a", 1, seconds(5));
  queue_.Add("a", 0, seconds(20));
  queue_.Add("b", 0, seconds(5));
  clock_.Advance(milliseconds(4999));
  EXPECT_TRUE(queue_.Waits("a"));
  EXPECT_THAT(TakeAll(), IsEmpty());
  clock_.Advance(milliseconds(1));
  EXPECT_FALSE(queue_.Waits("a")) << "due, whether or not somebody has looked";
  EXPECT_THAT(TakeAll(), ElementsAre("a", "b"));
  clock_.Advance(minutes(1));
  EXPECT_THAT(TakeAll(), IsEmpty()) << "there was one entry of it";
}

TEST_F(WorkQueueTest, AddedAtOnceItNoLongerWaits) {
  queue_.Add("a", 1, seconds(10));
  queue_.Add("a", 1);
  EXPECT_FALSE(queue_.Waits("a"));
  EXPECT_THAT(TakeAll(), ElementsAre("a"));
  clock_.Advance(seconds(10));
  EXPECT_THAT(TakeAll(), IsEmpty());
}

// Nobody has looked since it fell due.
TEST_F(WorkQueueTest, WhatHasFallenDueIsSeenAsSuch) {
  queue_.Add("added", 1, seconds(1));
  queue_.Add("forgotten", 1, seconds(1));
  clock_.Advance(seconds(1));
  queue_.Add("added", 1);
  for (const char* key : {"added", "forgotten"}) queue_.Forget(key);
  EXPECT_THAT(TakeAll(), testing::UnorderedElementsAre("added", "forgotten"));
}

// A priority that is raised does not begin the wait anew.
TEST_F(WorkQueueTest, TheWaitCountsFromWhenItFellDue) {
  queue_.Add("low", 0, seconds(1));
  clock_.Advance(seconds(31));
  queue_.Add("low", 1);
  clock_.Advance(seconds(30));
  queue_.Add("urgent", 2);
  EXPECT_THAT(TakeAll(), ElementsAre("low", "urgent"));
}

TEST_F(WorkQueueTest, AHigherPriorityRaisesWhatIsDue) {
  queue_.Add("low", 0);
  queue_.Add("first", 1);
  queue_.Add("low", 1);
  EXPECT_THAT(TakeAll(), ElementsAre("first", "low"));
}

TEST_F(WorkQueueTest, AWorkerTakesNothingBelowItsPriority) {
  queue_.Add("low", 0);
  queue_.Add("high", 2);
  EXPECT_EQ(Take(1), "high");
  queue_.Done("high");
  std::atomic<bool> taken = false;
  std::jthread worker([&] { taken = queue_.Get(1) != nullptr; });
  EXPECT_EQ(Take(0), "low");
  queue_.Done("low");
  EXPECT_FALSE(taken);
  queue_.Add("middle", 1);
  worker.join();
  EXPECT_TRUE(taken);
}

TEST_F(WorkQueueTest, NothingStarvesBehindWhatIsMoreUrgent) {
  queue_.Add("low", 0);
  for (int i = 0; i < 59; ++i) {
    queue_.Add("urgent", 1);
    ASSERT_EQ(Take(), "urgent") << i;
    queue_.Done("urgent");
    clock_.Advance(seconds(1));
  }
  clock_.Advance(seconds(1));
  queue_.Add("urgent", 1);
  EXPECT_THAT(TakeAll(), ElementsAre("low", "urgent"));
}

TEST_F(WorkQueueTest, PromotedOrNotAWorkerTakesNothingBelowItsPriority) {
  queue_.Add("low", 0);
  clock_.Advance(minutes(2));
  queue_.Add("urgent", 1);
  EXPECT_EQ(Take(1), "urgent");
}

// --- failures ---

TEST_F(WorkQueueTest, RetriesOfAKeyWaitLongerEachTime) {
  const std::vector<milliseconds> expected = {
      milliseconds(200),   milliseconds(400),  milliseconds(800),   milliseconds(1600),
      milliseconds(3200),  milliseconds(6400), milliseconds(12800), milliseconds(25600),
      milliseconds(30000), milliseconds(30000)};
  for (const milliseconds wait : expected) {
    queue_.Retry("a", 0);
    clock_.Advance(wait - milliseconds(1));
    ASSERT_TRUE(queue_.Waits("a")) << wait.count();
    clock_.Advance(milliseconds(1));
    ASSERT_FALSE(queue_.Waits("a")) << wait.count();
    ASSERT_THAT(TakeAll(), ElementsAre("a"));
  }
  EXPECT_EQ(queue_.Failures("a"), 10);
  queue_.Forget("a");
  EXPECT_EQ(queue_.Failures("a"), 0);
  queue_.Retry("a", 0);
  clock_.Advance(milliseconds(200));
  EXPECT_THAT(TakeAll(), ElementsAre("a"));
}

TEST_F(WorkQueueTest, ManyFailuresOverflowNothing) {
  for (int i = 0; i < 100'000; ++i) queue_.Retry("a", 0);
  queue_.Forget("a");
  for (int i = 0; i < 70; ++i) {
    queue_.Retry("a", 0);
    clock_.Advance(seconds(30));
    ASSERT_THAT(TakeAll(), ElementsAre("a")) << i;
  }
}

TEST_F(WorkQueueTest, ARetryWaitsAtLeastAsLongAsTheServerAsks) {
  queue_.Retry("a", 0, minutes(5));
  clock_.Advance(minutes(5) - milliseconds(1));
  EXPECT_TRUE(queue_.Waits("a"));
  clock_.Advance(milliseconds(1));
  EXPECT_THAT(TakeAll(), ElementsAre("a"));
}

// Whoever has worked on it says that it failed before saying that it is done.
TEST_F(WorkQueueTest, ARetryFromWithinItsWorkWaits) {
  queue_.Add("a", 1);
  ASSERT_EQ(Take(), "a");
  queue_.Retry("a", 0);
  EXPECT_TRUE(queue_.Waits("a"));
  queue_.Done("a");
  EXPECT_TRUE(queue_.Waits("a"));
  EXPECT_THAT(TakeAll(), IsEmpty());
  clock_.Advance(milliseconds(200));
  EXPECT_THAT(TakeAll(), ElementsAre("a"));
}

TEST_F(WorkQueueTest, ForgottenItWaitsForNothing) {
  queue_.Retry("waiting", 0);
  queue_.Add("due", 1);
  queue_.Add("taken", 2);
  ASSERT_EQ(Take(2), "taken");
  queue_.Retry("taken", 0);
  for (const char* key : {"waiting", "due", "taken", "unknown"}) {
    queue_.Forget(key);
    EXPECT_EQ(queue_.Failures(key), 0) << key;
  }
  queue_.Done("taken");
  clock_.Advance(minutes(1));
  EXPECT_THAT(TakeAll(), ElementsAre("due")) << "what is due stays";
}

TEST_F(WorkQueueTest, CalledOffItIsNotHandedOutAndHasStillFailed) {
  queue_.Retry("waiting", 0);
  queue_.Add("due", 1);
  queue_.Add("taken", 2);
  ASSERT_EQ(Take(2), "taken");
  queue_.Retry("taken", 0);
  for (const char* key : {"waiting", "due", "taken", "unknown"}) queue_.CallOff(key);
  queue_.Done("taken");
  EXPECT_EQ(queue_.size(), 0U);
  EXPECT_EQ(queue_.Failures("waiting"), 1);
  queue_.Retry("waiting", 0);
  clock_.Advance(milliseconds(399));
  EXPECT_TRUE(queue_.Waits("waiting"));
  clock_.Advance(milliseconds(1));
  EXPECT_THAT(TakeAll(), ElementsAre("waiting"));
}

TEST_F(WorkQueueTest, NothingIsLeftOfAMillionKeys) {
  for (int i = 0; i < 1'000'000; ++i) {
    const std::string key = std::to_string(i);
    queue_.Retry(key, 0);
    if (i % 2 == 0) queue_.Forget(key);
  }
  const auto failing = [this] {
    int count = 0;
    for (int i = 0; i < 1'000'000; ++i) count += queue_.Failures(std::to_string(i)) > 0 ? 1 : 0;
    return count;
  };
  EXPECT_EQ(failing(), 500'000);
  clock_.Advance(seconds(1));
  for (const std::string& key : TakeAll()) queue_.Forget(key);
  EXPECT_EQ(queue_.size(), 0U);
  EXPECT_EQ(failing(), 0);
}

// --- the end ---

TEST_F(WorkQueueTest, ShutDownItHandsOutWhatIsDueAndTakesNothingMore) {
  queue_.Add("due", 1);
  queue_.Add("later", 1, seconds(1));
  queue_.ShutDown();
  queue_.Add("new", 1);
  queue_.Retry("newer", 1);
  EXPECT_EQ(Take(), "due");
  queue_.Done("due");
  EXPECT_EQ(queue_.Get(0), nullptr);
}

TEST_F(WorkQueueTest, ShuttingDownEndsAllThatWait) {
  std::vector<std::jthread> workers;
  std::atomic<int> ended = 0;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&, i] { ended += queue_.Get(i) == nullptr ? 1 : 0; });
  }
  queue_.ShutDown();
  workers.clear();
  EXPECT_EQ(ended, 4);
}

TEST(WorkQueueHooks, TellOfAllThatHappens) {
  support::FakeClock clock;
  std::map<int, size_t> due;
  int added = 0;
  int retried = 0;
  std::vector<nanoseconds> waited;
  std::vector<nanoseconds> worked;
  WorkQueue queue(clock, {},
                  {[&](int priority, size_t count) { due[priority] = count; }, [&] { ++added; },
                   [&] { ++retried; }, [&](nanoseconds time) { waited.push_back(time); },
                   [&](nanoseconds time) { worked.push_back(time); }});
  queue.Add("a", 1);
  queue.Add("a", 1);
  queue.Add("b", 1);
  EXPECT_EQ(added, 2);
  EXPECT_EQ(due[1], 2U);
  clock.Advance(seconds(3));
  queue.Get(0);
  EXPECT_EQ(due[1], 1U);
  queue.Add("a", 0);
  EXPECT_EQ(added, 3);
  clock.Advance(seconds(2));
  EXPECT_EQ(queue.Working().all, seconds(2));
  queue.Get(0);
  clock.Advance(seconds(1));
  EXPECT_EQ(queue.Working().all, seconds(4));
  EXPECT_EQ(queue.Working().longest, seconds(3));
  queue.Done("a");
  EXPECT_EQ(due[0], 1U);
  EXPECT_EQ(queue.Working().all, seconds(1));
  EXPECT_THAT(waited, ElementsAre(seconds(3), seconds(5)));
  EXPECT_THAT(worked, ElementsAre(seconds(3)));
  queue.Retry("b", 0);
  EXPECT_EQ(retried, 1);
}

// --- by chance ---

// Held against a list of what was asked for, in which the next is looked for one by one.
class Oracle {
 public:
  void Add(const std::string& key, int priority, nanoseconds due) {
    Entry& entry = entries_[key];
    auto& wish = entry.taken ? entry.again : entry.wish;
    if (!wish) {
      wish = {priority, due};
      return;
    }
    wish->priority = std::max(wish->priority, priority);
    wish->due = std::min(wish->due, due);
  }
  // What is due next: one of these, as the order within a priority has a test of its own.
  [[nodiscard]] std::set<std::string> Next(int least, nanoseconds now) const {
    int best = least - 1;
    for (const auto& [key, entry] : entries_) {
      if (IsDue(entry, now)) best = std::max(best, entry.wish->priority);
    }
    std::set<std::string> next;
    for (const auto& [key, entry] : entries_) {
      if (best >= least && IsDue(entry, now) && entry.wish->priority == best) next.insert(key);
    }
    return next;
  }
  void Take(const std::string& key) {
    entries_[key].taken = true;
    entries_[key].wish.reset();
  }
  void Done(const std::string& key) {
    Entry& entry = entries_[key];
    entry.taken = false;
    entry.wish = std::exchange(entry.again, std::nullopt);
    if (!entry.wish) entries_.erase(key);
  }
  [[nodiscard]] size_t size() const { return entries_.size(); }

 private:
  struct Wish {
    int priority = 0;
    nanoseconds due{0};
  };
  struct Entry {
    std::optional<Wish> wish;
    bool taken = false;
    std::optional<Wish> again;
  };
  static bool IsDue(const Entry& entry, nanoseconds now) {
    return entry.wish && !entry.taken && entry.wish->due <= now;
  }
  std::map<std::string, Entry> entries_;
};

TEST(WorkQueueByChance, HandsOutWhatAListDoes) {
  for (int seed = 0; seed < 2000; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](int n) { return static_cast<int>(random() % n); };
    support::FakeClock clock;
    WorkQueue queue(clock, {.promote_after = minutes(60)}, {});
    Oracle oracle;
    std::vector<std::string> taken;
    for (int step = 0; step < 60; ++step) {
      const std::string key(1, static_cast<char>('a' + below(6)));
      const int priority = below(3);
      const seconds after(below(2) * below(4));
      switch (below(4)) {
        case 0:
        case 1:
          queue.Add(key, priority, after);
          oracle.Add(key, priority, clock.Elapsed() + after);
          break;
        case 2:
          if (below(2) == 0) clock.Advance(seconds(below(3)));
          if (!taken.empty() && below(2) == 0) {
            queue.Done(taken.back());
            oracle.Done(taken.back());
            taken.pop_back();
          }
          break;
        default:
          if (const auto next = oracle.Next(priority, clock.Elapsed()); !next.empty()) {
            taken.push_back(*queue.Get(priority));
            ASSERT_TRUE(next.contains(taken.back())) << seed << " " << step;
            oracle.Take(taken.back());
          }
      }
      ASSERT_EQ(queue.size(), oracle.size()) << seed << " " << step;
    }
  }
}

// Several add, several work: nobody works on a key while another does, and the last time that a key
// was added is before the last time that work on it began.
TEST(WorkQueueByChance, OneWorksOnAKeyAndNoAdditionIsLost) {
  constexpr int kKeys = 7;
  SystemClock clock;
  WorkQueue queue(clock, {.first_retry = milliseconds(1), .longest_retry = milliseconds(3)}, {});
  std::array<std::atomic<int>, kKeys> version{};
  std::array<std::atomic<int>, kKeys> seen{};
  std::array<std::atomic<int>, kKeys> at_work{};
  std::atomic<int> met = 0;
  std::vector<std::jthread> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&, i] {
      std::mt19937 random(i);
      while (const std::string* key = queue.Get(i == 0 ? 1 : 0)) {
        const int k = std::stoi(*key);
        if (at_work[k]++ != 0) ++met;
        seen[k] = version[k].load();
        if (random() % 4 == 0) queue.Retry(*key, 0);
        if (random() % 4 == 0) std::this_thread::yield();
        --at_work[k];
        queue.Done(*key);
      }
    });
  }
  {
    std::vector<std::jthread> adders;
    for (int i = 0; i < 3; ++i) {
      adders.emplace_back([&, i] {
        std::mt19937 random(100 + i);
        for (int n = 0; n < 3000; ++n) {
          const int k = static_cast<int>(random() % kKeys);
          ++version[k];
          const nanoseconds after = random() % 8 == 0 ? milliseconds(1) : milliseconds(0);
          queue.Add(std::to_string(k), static_cast<int>(random() % 3), after);
        }
      });
    }
  }
  const auto settled = [&] {
    for (int k = 0; k < kKeys; ++k) {
      if (seen[k] != version[k]) return false;
    }
    return true;
  };
  EXPECT_TRUE(support::Eventually(settled));
  queue.ShutDown();
  workers.clear();
  EXPECT_EQ(met, 0);
}

}  // namespace
}  // namespace spillway::kube
