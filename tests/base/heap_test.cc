#include "base/heap.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace spillway {
namespace {

constexpr int kProcesses = 200;
constexpr int kThreads = 8;

template <class Do>
void AllAtOnce(Do&& act) {
  std::barrier together(kThreads);
  std::vector<std::jthread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      together.arrive_and_wait();
      act();
      together.arrive_and_wait();
    });
  }
}

// In the child only, as what an allocator has once made stays: 0, or what `act` exits with.
template <class Do>
int ExitOfChild(Do&& act) {
  const pid_t child = fork();
  if (child == 0) {
    act();
    _exit(0);
  }
  int status = -1;
  const bool ended = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status);
  return ended ? WEXITSTATUS(status) : -1;
}

int Heaps() {
  char* text = nullptr;
  size_t size = 0;
  FILE* const stream = open_memstream(&text, &size);
  malloc_info(0, stream);
  std::fclose(stream);
  const std::string all(text, size);
  std::free(text);  // NOLINT(cppcoreguidelines-no-malloc): the stream allocated it so
  int heaps = 0;
  for (size_t at = 0; (at = all.find("<heap ", at)) != std::string::npos; ++at) ++heaps;
  return heaps;
}

// What can go wrong does so only at a process's first calls, and only where the allocator is not
// glibc's own, as under AddressSanitizer.
TEST(Heap, FirstCallsMayComeFromManyThreadsAtOnce) {
  for (int i = 0; i < kProcesses; ++i) {
    ASSERT_EQ(ExitOfChild([] { AllAtOnce(GiveBackFreeHeap); }), 0) << "process " << i;
  }
}

TEST(Heap, ThreadsShareTwo) {
  const int heaps = ExitOfChild([] {
    KeepFewHeaps();
    AllAtOnce([] { std::vector<std::string>(100, std::string(1000, 'x')); });
    _exit(Heaps());
  });
  EXPECT_LE(heaps, std::max(2, Heaps()));
  EXPECT_GT(heaps, 0);
}

}  // namespace
}  // namespace spillway
