#include "base/heap.h"

#include <malloc.h>

#include <mutex>

namespace spillway {

void GiveBackFreeHeap() {
#ifdef __GLIBC__
  // One at a time: under another allocator (one that is preloaded, or a sanitizer's) the first call
  // is what sets up glibc's own heap, which it does without a lock.
  static std::mutex mutex;
  const std::scoped_lock lock(mutex);
  malloc_trim(0);
#endif
}

void KeepFewHeaps() {
#ifdef __GLIBC__
  mallopt(M_ARENA_MAX, 2);
#endif
}

}  // namespace spillway
