#pragma once

#include <cstdint>

// For a test that links counted_heap.cc, which stands in for the operators new and delete: what is
// allocated and not freed, with what the allocator takes beside it. Sanitizers' allocators count as
// glibc's would. For tests of one thread.
namespace spillway::support {

int64_t HeapInUse();
// The most that it has been, since the program's start or the last call of the other.
int64_t MostHeapInUse();
void ForgetMostHeapInUse();

}  // namespace spillway::support
