#include "base/shared_optional.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

namespace spillway {
namespace {

struct Place {
  std::string group;
  int workers = 0;
  bool operator==(const Place&) const = default;
};
using MaybePlace = SharedOptional<Place>;

TEST(SharedOptionalTest, HasNothingFromTheStartAndAfterItWasMovedFrom) {
  MaybePlace place;
  EXPECT_FALSE(place);
  EXPECT_EQ(place, std::nullopt);
  place = Place{.group = "home", .workers = 2};
  const MaybePlace taken = std::move(place);
  EXPECT_EQ(taken->workers, 2);
  EXPECT_FALSE(place);  // NOLINT(bugprone-use-after-move): it is a value still
}

TEST(SharedOptionalTest, CopiesAreOneUntilOneIsChanged) {
  MaybePlace first = Place{.group = "home", .workers = 2};
  const MaybePlace second = first;
  EXPECT_EQ(&*std::as_const(first), &*second);
  first->workers = 3;
  EXPECT_EQ(first->workers, 3);
  EXPECT_EQ(second->workers, 2);
  first.reset();
  EXPECT_FALSE(first);
  EXPECT_TRUE(second.has_value());
}

TEST(SharedOptionalTest, WhatNobodyElseHasIsChangedInPlace) {
  MaybePlace place = Place{.group = "home"};
  const Place* before = &*std::as_const(place);
  place->workers = 3;
  EXPECT_EQ(&*std::as_const(place), before);
}

TEST(SharedOptionalTest, ANewValueIsNobodyElses) {
  MaybePlace first = Place{.group = "home", .workers = 2};
  const MaybePlace second = first;
  first.emplace().workers = 1;
  EXPECT_EQ(first, (Place{.group = "", .workers = 1}));
  EXPECT_EQ(second, (Place{.group = "home", .workers = 2}));
}

TEST(SharedOptionalTest, IsEqualByValue) {
  const MaybePlace one = Place{.group = "home", .workers = 2};
  const MaybePlace like_it = Place{.group = "home", .workers = 2};
  EXPECT_EQ(one, like_it);
  EXPECT_NE(one, MaybePlace());
  EXPECT_NE(one, (Place{.group = "home", .workers = 3}));
}

}  // namespace
}  // namespace spillway
