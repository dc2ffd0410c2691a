#include "kube/exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

namespace spillway::kube {
namespace {

using namespace std::chrono_literals;
using Wake = Exchange::Wake;

Exchange::Moment Soon() { return std::chrono::steady_clock::now() + 10s; }
HttpResponse Head(int status) { return {.status = status, .headers = {}, .body = {}}; }
void NotCalled() { ADD_FAILURE() << "resumed"; }

TEST(ExchangeTest, GathersTheBodyOfASend) {
  Exchange exchange(false, 100);
  exchange.SetHead(Head(200));
  EXPECT_TRUE(exchange.Put("ab", NotCalled));
  EXPECT_TRUE(exchange.Put("cd", NotCalled));
  exchange.Finish(std::nullopt);
  std::string bytes;
  EXPECT_EQ(exchange.Await(Soon(), 0ms, bytes), Wake::kFinished);
  EXPECT_FALSE(exchange.Failure());
  EXPECT_EQ(exchange.TakeResponse().body, "abcd");
}

TEST(ExchangeTest, RefusesALongBodyOfASendAndCutsThatOfARefusedStream) {
  std::string bytes;
  Exchange send(false, 3);
  EXPECT_TRUE(send.Put("abcd", NotCalled));
  EXPECT_EQ(send.Await(Soon(), 0ms, bytes), Wake::kTooLong);
  Exchange stream(true, 3);
  stream.SetHead(Head(500));
  EXPECT_TRUE(stream.Put("abcd", NotCalled));
  stream.Finish(std::nullopt);
  EXPECT_EQ(stream.Await(Soon(), 0ms, bytes), Wake::kFinished);
  EXPECT_EQ(stream.TakeResponse().body, "abc");
}

TEST(ExchangeTest, BytesThatComeBeforeTheHeadWaitForIt) {
  Exchange exchange(true, 100);
  EXPECT_TRUE(exchange.Put("early", NotCalled));
  std::string bytes;
  EXPECT_EQ(exchange.Await(std::chrono::steady_clock::now(), 0ms, bytes), Wake::kDeadline);
  exchange.SetHead(Head(200));
  EXPECT_EQ(exchange.Await(Soon(), 0ms, bytes), Wake::kBytes);
  EXPECT_EQ(bytes, "early");
}

TEST(ExchangeTest, HoldsTheLibraryBackUntilTheConsumerHasTakenWhatIsThere) {
  Exchange exchange(true, 100);
  exchange.SetHead(Head(200));
  bool resumed = false;
  EXPECT_TRUE(exchange.Put("a", NotCalled));
  EXPECT_FALSE(exchange.Put(std::string(1 << 20, 'x'), [&] { resumed = true; }));
  EXPECT_FALSE(resumed);
  std::string bytes;
  EXPECT_EQ(exchange.Await(Soon(), 0ms, bytes), Wake::kBytes);
  EXPECT_TRUE(resumed);
  EXPECT_EQ(bytes.size(), (1U << 20) + 1);
}

TEST(ExchangeTest, ALibraryHeldBackGoesOnWhenNobodyWaitsAnyMore) {
  Exchange exchange(true, 100);
  bool resumed = false;
  EXPECT_FALSE(exchange.Put(std::string(1 << 20, 'x'), [&] { resumed = true; }));
  EXPECT_TRUE(exchange.Abandon());
  EXPECT_TRUE(resumed);
  EXPECT_TRUE(exchange.Put(std::string(1 << 20, 'x'), NotCalled));
  EXPECT_FALSE(exchange.Abandon());
}

TEST(ExchangeTest, ALibraryHeldBackBeforeTheHeadGoesOnWhenTheStreamIsRefused) {
  Exchange exchange(true, 2 << 20);
  bool resumed = false;
  EXPECT_FALSE(exchange.Put(std::string(1 << 20, 'x'), [&] { resumed = true; }));
  exchange.SetHead(Head(429));
  EXPECT_TRUE(resumed);
}

TEST(ExchangeTest, WhatCameIsDeliveredBeforeTheFailure) {
  Exchange exchange(true, 100);
  exchange.SetHead(Head(200));
  EXPECT_TRUE(exchange.Put("last words", NotCalled));
  exchange.Finish("cut off");
  std::string bytes;
  EXPECT_EQ(exchange.Await(Soon(), 0ms, bytes), Wake::kBytes);
  EXPECT_EQ(exchange.Await(Soon(), 0ms, bytes), Wake::kFinished);
  EXPECT_EQ(exchange.Failure(), "cut off");
  EXPECT_FALSE(exchange.Abandon());  // nothing to stop
}

TEST(ExchangeTest, CountsSilenceFromTheLastByteOrTheConsumersWork) {
  Exchange exchange(true, 100);
  exchange.SetHead(Head(200));
  std::string bytes;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(exchange.Await(Soon(), 30ms, bytes), Wake::kIdle);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 30ms);
  exchange.RestartIdle();
  EXPECT_EQ(exchange.Await(std::chrono::steady_clock::now() + 5ms, 10s, bytes), Wake::kDeadline);
}

TEST(ExchangeTest, EndWakesTheWaitingThread) {
  Exchange exchange(true, 100);
  std::jthread other([&] { exchange.End(); });
  std::string bytes;
  EXPECT_EQ(exchange.Await(Soon(), 0ms, bytes), Wake::kEnded);
}

// A library's thread against a consumer: every byte once, in order, in bounded memory.
TEST(ExchangeTest, CarriesABodyBetweenTwoThreads) {
  constexpr size_t kPieces = 2000;
  Exchange exchange(true, 100);
  std::jthread library([&] {
    exchange.SetHead(Head(200));
    for (size_t i = 0; i < kPieces; ++i) {
      const auto turn = std::make_shared<std::atomic<bool>>(false);
      const std::string piece(4096, static_cast<char>('a' + i % 26));
      if (exchange.Put(piece, [turn] {
            *turn = true;
            turn->notify_one();
          })) {
        continue;
      }
      turn->wait(false);
    }
    exchange.Finish(std::nullopt);
  });
  std::string bytes;
  size_t total = 0;
  size_t most = 0;
  while (exchange.Await(Soon(), 0ms, bytes) == Wake::kBytes) {
    for (size_t i = 0; i < bytes.size(); i += 4096) {
      EXPECT_EQ(bytes[i], static_cast<char>('a' + (total + i) / 4096 % 26));
    }
    total += bytes.size();
    most = std::max(most, bytes.size());
  }
  EXPECT_EQ(total, kPieces * 4096);
  EXPECT_LE(most, (1U << 20) + 4096);
}

TEST(LedgerTest, ClosingEndsEveryExchangeAndWaitsForBothSides) {
  Ledger ledger;
  const auto exchange = std::make_shared<Exchange>(true, 100);
  ASSERT_TRUE(ledger.Add(exchange));
  std::atomic<bool> cancelled = false;
  std::jthread waiting([&] {
    std::string bytes;
    EXPECT_EQ(exchange->Await(Soon(), 0ms, bytes), Wake::kEnded);
    ledger.Left();
  });
  std::jthread library([&] {
    while (!cancelled) std::this_thread::yield();
    ledger.Finished(exchange);
  });
  EXPECT_TRUE(ledger.Close(10s, [&](Exchange&) { cancelled = true; }));
  EXPECT_FALSE(ledger.Add(std::make_shared<Exchange>(true, 100)));
}

TEST(LedgerTest, ClosingGivesUpOnALibraryThatDoesNotLetGo) {
  Ledger ledger;
  ASSERT_TRUE(ledger.Add(std::make_shared<Exchange>(true, 100)));
  ledger.Left();
  EXPECT_FALSE(ledger.Close(20ms, [](Exchange&) {}));
}

}  // namespace
}  // namespace spillway::kube
