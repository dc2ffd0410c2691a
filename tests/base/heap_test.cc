#include "base/heap.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <barrier>
#include <thread>
#include <vector>

namespace spillway {
namespace {

constexpr int kProcesses = 200;
constexpr int kThreads = 8;

void AllAtOnce() {
  std::barrier together(kThreads);
  std::vector<std::jthread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&together] {
      together.arrive_and_wait();
      GiveBackFreeHeap();
    });
  }
}

// What can go wrong does so only at a process's first calls, and only where the allocator is not
// glibc's own, as under AddressSanitizer.
TEST(Heap, FirstCallsMayComeFromManyThreadsAtOnce) {
  for (int i = 0; i < kProcesses; ++i) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      AllAtOnce();
      _exit(0);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
        << "process " << i << " ended with " << status;
  }
}

}  // namespace
}  // namespace spillway
