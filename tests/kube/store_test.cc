#include "kube/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <random>
#include <thread>

namespace spillway::kube {
namespace {

using testing::ElementsAre;

struct Item {
  ObjectMeta meta;
  int value = 0;
  bool operator==(const Item&) const = default;
};

Item Make(const std::string& name, const std::string& version, int value,
          const std::string& uid = "u") {
  Item item;
  item.meta.ns = "ns";
  item.meta.name = name;
  item.meta.uid = uid;
  item.meta.resource_version = version;
  item.value = value;
  return item;
}

// How many items there are of each value.
struct ByValue final : Index<Item> {
  std::map<int, int> counts;
  int told = 0;
  void Change(const Item* before, const Item* after) override {
    ++told;
    if (after != nullptr) ++counts[after->value];
    if (before != nullptr && --counts[before->value] == 0) counts.erase(before->value);
  }
  [[nodiscard]] size_t Bytes() const override { return 7 * counts.size(); }
};

std::map<int, int> CountsOf(const Store<Item>& store) {
  std::map<int, int> counts;
  for (const auto& item : store.List()) ++counts[item->value];
  return counts;
}

// A store whose calls are counted, and printed: "a=1@5 b=2@6 | 6".
struct Fixture {
  int changes = 0;
  int advances = 0;
  Store<Item> store{[this] { ++changes; }};
  Fixture() {
    store.SetOnAdvance([this] { ++advances; });
  }

  void Replace(std::vector<Item> items, const std::string& version) {
    std::vector<Store<Item>::Ptr> list;
    for (Item& item : items) list.push_back(store.Share(std::move(item)));
    store.Replace(std::move(list), version);
  }
  [[nodiscard]] std::string Print() const {
    std::string text;
    for (const auto& item : store.List()) {
      text += item->meta.name + "=" + std::to_string(item->value) + "@" +
              item->meta.resource_version + " ";
    }
    return text + "| " + store.ResourceVersion();
  }
  [[nodiscard]] std::vector<int> Calls() const { return {changes, advances}; }
};

TEST(Store, StartsEmptyAndUnsynced) {
  const Fixture f;
  EXPECT_FALSE(f.store.Synced());
  EXPECT_EQ(f.Print(), "| ");
  EXPECT_EQ(f.store.Get("ns/a"), nullptr);
}

TEST(Store, TheFirstListIsAChangeEvenIfEmpty) {
  Fixture f;
  f.Replace({}, "5");
  EXPECT_TRUE(f.store.Synced());
  EXPECT_EQ(f.Print(), "| 5");
  EXPECT_THAT(f.Calls(), ElementsAre(1, 0));
}

TEST(Store, ListsAreSortedAndReplaceTheWorld) {
  Fixture f;
  f.Replace({Make("b", "2", 2), Make("a", "1", 1)}, "5");
  EXPECT_EQ(f.Print(), "a=1@1 b=2@2 | 5");
  f.Replace({Make("b", "2", 2), Make("c", "6", 3)}, "7");
  EXPECT_EQ(f.Print(), "b=2@2 c=3@6 | 7");
  EXPECT_THAT(f.Calls(), ElementsAre(2, 0));
}

TEST(Store, AListOfTheSameFactsOnlyAdvances) {
  Fixture f;
  f.Replace({Make("a", "1", 1), Make("b", "2", 2)}, "5");
  f.Replace({Make("a", "8", 1), Make("b", "2", 2)}, "9");
  EXPECT_EQ(f.Print(), "a=1@8 b=2@2 | 9");
  EXPECT_THAT(f.Calls(), ElementsAre(1, 1));
}

TEST(Store, AListWithoutAnObjectIsAChange) {
  Fixture f;
  f.Replace({Make("a", "1", 1), Make("b", "2", 2)}, "5");
  f.Replace({Make("a", "1", 1)}, "9");
  EXPECT_THAT(f.Calls(), ElementsAre(2, 0));
}

TEST(Store, AListOfWhatIsKnownKeepsWhatIsThere) {
  Fixture f;
  f.Replace({Make("a", "1", 1), Make("b", "2", 2), Make("c", "3", 3)}, "5");
  const auto before = f.store.List();
  f.Replace({Make("a", "1", 1), Make("b", "6", 2), Make("c", "3", 3, "v")}, "7");
  const auto after = f.store.List();
  EXPECT_EQ(after[0], before[0]);
  EXPECT_NE(after[1], before[1]) << "another version";
  EXPECT_NE(after[2], before[2]) << "another object";
  EXPECT_THAT(f.Calls(), ElementsAre(2, 0));
}

// Held against a map, over lists of any order in which objects come twice, go and come again.
TEST(Store, ListsLeaveWhatTheyHold) {
  std::mt19937 random(1);
  Fixture f;
  for (int round = 0; round < 2000; ++round) {
    std::vector<Item> items;
    std::map<std::string, int> last;
    const int count = static_cast<int>(random() % 12);
    for (int i = 0; i < count; ++i) {
      const std::string name(1, static_cast<char>('a' + random() % 8));
      const int value = static_cast<int>(random() % 3);
      items.push_back(Make(name, std::to_string(value), value));
      last[name] = value;
    }
    if (random() % 2 == 0) std::ranges::sort(items, {}, [](const Item& i) { return i.meta.name; });
    for (const Item& item : items) last[item.meta.name] = item.value;
    const std::string before = f.Print();
    const std::vector<int> calls = f.Calls();
    f.Replace(items, "1");
    std::string expected;
    for (const auto& [name, value] : last) {
      expected += name + "=" + std::to_string(value) + "@" + std::to_string(value) + " ";
    }
    ASSERT_EQ(f.Print(), expected + "| 1");
    const bool changed = round == 0 || before != f.Print();
    ASSERT_EQ(f.Calls()[0], calls[0] + (changed ? 1 : 0)) << before << " then " << f.Print();
    ASSERT_EQ(f.Calls()[1], calls[1] + (changed ? 0 : 1));
  }
}

// An upsert, a deletion or a list, of few names, so that most meet what is there.
void Happen(Fixture& f, std::mt19937& random) {
  const auto item = [&] {
    const std::string name(1, static_cast<char>('a' + random() % 8));
    return Make(name, std::to_string(random() % 3), static_cast<int>(random() % 3));
  };
  switch (random() % 4) {
    case 0:
      return f.store.Erase(Key(item().meta), "1");
    case 1: {
      std::vector<Item> items(random() % 12);
      std::ranges::generate(items, item);
      return f.Replace(std::move(items), "1");
    }
    default:
      return f.store.Upsert(item());
  }
}

TEST(Store, BytesAreWhatIsMeasuredOfEachWhateverHappens) {
  constexpr auto kMeasure = [](const Item& item) -> size_t {
    const std::string facts = std::to_string(item.value) + item.meta.resource_version;
    return 100 * std::stoul(facts) + static_cast<size_t>(item.meta.name.front());
  };
  std::mt19937 random(1);
  Fixture f;
  f.store.SetMeasure(kMeasure);
  EXPECT_EQ(f.store.Bytes(), 0U);
  for (int step = 0; step < 5000; ++step) {
    const std::string before = f.Print();
    Happen(f, random);
    size_t expected = 0;
    for (const auto& item : f.store.List()) expected += Store<Item>::BytesEach() + kMeasure(*item);
    ASSERT_EQ(f.store.Bytes(), expected) << before << " then " << f.Print();
  }
  f.Replace({}, "1");
  EXPECT_EQ(f.store.Bytes(), 0U);
}

TEST(Store, AnIndexIsOfAllThatIsThereWhateverHappens) {
  std::mt19937 random(1);
  ByValue index;
  Fixture f;
  f.store.AddIndex(index);
  for (int step = 0; step < 5000; ++step) {
    const std::string before = f.Print();
    Happen(f, random);
    ASSERT_EQ(index.counts, CountsOf(f.store)) << before << " then " << f.Print();
  }
  f.Replace({}, "1");
  EXPECT_TRUE(index.counts.empty());
}

TEST(Store, AListTellsAnIndexOnlyOfWhatIsNew) {
  ByValue index;
  Fixture f;
  f.store.AddIndex(index);
  f.Replace({Make("a", "1", 1), Make("b", "2", 2)}, "5");
  EXPECT_EQ(index.told, 2);
  f.Replace({Make("a", "1", 1), Make("b", "6", 2), Make("c", "3", 3)}, "7");
  EXPECT_EQ(index.told, 4);
}

TEST(Store, BytesHaveThoseOfTheIndices) {
  ByValue index;
  Fixture f;
  f.store.AddIndex(index);
  f.store.SetMeasure([](const Item& /*item*/) -> size_t { return 1; });
  f.Replace({Make("a", "1", 1), Make("b", "2", 1)}, "5");
  EXPECT_EQ(f.store.Bytes(), 2 * (Store<Item>::BytesEach() + 1) + 7);
}

TEST(Store, WhoIsToldOfAChangeSeesItInTheIndices) {
  ByValue index;
  std::vector<std::map<int, int>> seen;
  Store<Item> store([&] { seen.push_back(index.counts); });
  store.AddIndex(index);
  store.Replace({store.Share(Make("a", "1", 1))}, "1");
  store.Upsert(Make("b", "2", 1));
  store.Upsert(Make("b", "3", 5));
  store.Erase("ns/a", "4");
  EXPECT_THAT(seen, ElementsAre(std::map<int, int>{{1, 1}}, std::map<int, int>{{1, 2}},
                                std::map<int, int>{{1, 1}, {5, 1}}, std::map<int, int>{{5, 1}}));
}

// All are swapped for those of the next value at each version, but for one that has come besides
// at uneven ones.
TEST(Store, AReaderSeesIndicesOfOneVersion) {
  constexpr int kItems = 20;
  ByValue index;
  Fixture f;
  f.store.AddIndex(index);
  f.Replace({}, "0");
  std::atomic<bool> over = false;
  std::atomic<int> mixed = 0;
  std::atomic<int> looks = 0;
  std::jthread reader([&] {
    while (!over) {
      f.store.Look([&](const std::string& version) {
        const int at = std::stoi(version);
        const std::map<int, int> expected = {{at / 2, kItems + at % 2}};
        if (at > 1 && index.counts != expected) ++mixed;
      });
      ++looks;
    }
  });
  for (int version = 2; version <= 4000 || looks < 10; version += 2) {
    std::vector<Item> items;
    for (int i = 0; i < kItems; ++i) {
      items.push_back(Make("n" + std::to_string(i), std::to_string(version), version / 2));
    }
    f.Replace(std::move(items), std::to_string(version));
    f.store.Upsert(Make("z", std::to_string(version + 1), version / 2));
  }
  over = true;
  reader.join();
  EXPECT_EQ(mixed, 0);
}

TEST(Store, AListMeasuresOnlyWhatIsNew) {
  static int measured = 0;
  Fixture f;
  f.store.SetMeasure([](const Item& /*item*/) -> size_t {
    ++measured;
    return 1;
  });
  f.Replace({Make("a", "1", 1), Make("b", "2", 2)}, "5");
  EXPECT_EQ(measured, 2);
  f.Replace({Make("a", "1", 1), Make("b", "6", 2), Make("c", "3", 3)}, "7");
  EXPECT_EQ(measured, 4);
  EXPECT_EQ(f.store.Bytes(), 3 * (Store<Item>::BytesEach() + 1));
}

TEST(Store, WithoutAMeasureHasNoBytes) {
  Fixture f;
  f.Replace({Make("a", "1", 1)}, "5");
  f.store.Upsert(Make("b", "6", 1));
  EXPECT_EQ(f.store.Bytes(), 0U);
}

TEST(Store, AReaderSeesAListWholeOrNotAtAll) {
  Fixture f;
  const auto list = [&](int round) {
    std::vector<Item> items;
    for (int i = 0; i < 50; ++i) {
      items.push_back(Make("n" + std::to_string((round % 2) * 25 + i), "1", round));
    }
    f.Replace(std::move(items), std::to_string(round));
  };
  list(0);
  std::atomic<bool> over = false;
  std::atomic<int> mixed = 0;
  std::jthread reader([&] {
    while (!over) {
      const auto all = f.store.List();
      const int64_t same = std::count_if(all.begin(), all.end(), [&](const auto& one) {
        return one->value == all.front()->value;
      });
      if (all.size() != 50 || same != static_cast<int64_t>(all.size())) ++mixed;
    }
  });
  for (int round = 1; round <= 2000; ++round) list(round);
  over = true;
  reader.join();
  EXPECT_EQ(mixed, 0);
}

TEST(Store, AnObjectTwiceInAListCountsOnceAndTheLaterWins) {
  Fixture f;
  f.Replace({Make("a", "1", 1)}, "5");
  f.Replace({Make("a", "1", 1), Make("a", "1", 1)}, "6");
  EXPECT_THAT(f.Calls(), ElementsAre(1, 1));
  f.Replace({Make("a", "1", 1), Make("a", "7", 2)}, "7");
  EXPECT_EQ(f.Print(), "a=2@7 | 7");
}

TEST(Store, UpsertsThatChangeFactsAndThoseThatDoNot) {
  Fixture f;
  f.Replace({}, "1");
  f.store.Upsert(Make("a", "2", 1));
  EXPECT_THAT(f.Calls(), ElementsAre(2, 0));
  f.store.Upsert(Make("a", "3", 1));
  EXPECT_THAT(f.Calls(), ElementsAre(2, 1));
  EXPECT_EQ(f.Print(), "a=1@3 | 3");
  f.store.Upsert(Make("a", "4", 2));
  EXPECT_THAT(f.Calls(), ElementsAre(3, 1));
  EXPECT_EQ(f.Print(), "a=2@4 | 4");
}

TEST(Store, AnObjectMadeAnewIsAChange) {
  Fixture f;
  f.Replace({Make("a", "1", 1, "first")}, "1");
  f.store.Upsert(Make("a", "2", 1, "second"));
  EXPECT_THAT(f.Calls(), ElementsAre(2, 0));
}

TEST(Store, ErasingWhatIsNotThereOnlyAdvances) {
  Fixture f;
  f.Replace({Make("a", "1", 1)}, "1");
  f.store.Erase("ns/a", "2");
  EXPECT_THAT(f.Calls(), ElementsAre(2, 0));
  f.store.Erase("ns/a", "3");
  EXPECT_THAT(f.Calls(), ElementsAre(2, 1));
  EXPECT_EQ(f.Print(), "| 3");
}

TEST(Store, ABookmarkAdvances) {
  Fixture f;
  f.Replace({Make("a", "1", 1)}, "1");
  f.store.Advance("90");
  EXPECT_THAT(f.Calls(), ElementsAre(1, 1));
  EXPECT_EQ(f.Print(), "a=1@1 | 90");
}

TEST(Store, WhatAReaderHoldsStays) {
  Fixture f;
  f.Replace({Make("a", "1", 1)}, "1");
  const auto held = f.store.Get("ns/a");
  f.store.Upsert(Make("a", "2", 2));
  f.store.Erase("ns/a", "3");
  EXPECT_EQ(held->value, 1);
}

TEST(Store, ACallComesAfterTheStateIsVisible) {
  std::string seen;
  Store<Item>* self = nullptr;
  Store<Item> store([&] { seen += "change:" + self->ResourceVersion() + " "; });
  self = &store;
  store.SetOnAdvance([&] { seen += "advance:" + self->ResourceVersion() + " "; });
  store.Replace({store.Share(Make("a", "1", 1))}, "1");
  store.Upsert(Make("a", "2", 1));
  store.Upsert(Make("a", "3", 9));
  store.Erase("ns/a", "4");
  store.Advance("5");
  EXPECT_EQ(seen, "change:1 advance:2 change:3 change:4 advance:5 ");
}

// A reader that waits for its own write is woken by whatever brings the version, and readers beside
// it always see whole objects.
TEST(Store, ReadersWaitForTheirOwnWrites) {
  constexpr int kWrites = 2000;
  std::mutex mutex;
  std::condition_variable_any moved;
  const auto wake = [&] {
    {
      const std::scoped_lock lock(mutex);
    }
    moved.notify_all();
  };
  Store<Item> store(wake);
  store.SetOnAdvance(wake);

  const auto wait_for = [&](const std::string& mark) {
    std::unique_lock lock(mutex);
    return moved.wait_for(lock, std::chrono::seconds(60), [&] {
      return !NewerVersion(mark, store.ResourceVersion()) && store.Synced();
    });
  };
  std::vector<std::jthread> readers;
  std::atomic<int> woken = 0;
  for (int reader = 0; reader < 3; ++reader) {
    readers.emplace_back([&, reader] {
      for (int mark = 1 + reader; mark <= kWrites; mark += 97) {
        if (!wait_for(std::to_string(mark))) return;
        for (const auto& item : store.List()) {
          if (item->value != item->meta.generation) return;
        }
        ++woken;
      }
    });
  }
  store.Replace({}, "1");
  for (int version = 2; version <= kWrites; ++version) {
    const std::string text = std::to_string(version);
    if (version % 5 == 0) {
      store.Advance(text);
    } else if (version % 7 == 0) {
      store.Erase("ns/a", text);
    } else {
      Item item = Make(version % 2 == 0 ? "a" : "b", text, version / 3);
      item.meta.generation = item.value;
      store.Upsert(std::move(item));
    }
  }
  readers.clear();
  EXPECT_EQ(woken, 3 * ((kWrites - 3) / 97 + 1));
}

}  // namespace
}  // namespace spillway::kube
