#include "tests/support/counted_heap.h"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include "base/heap_size.h"

namespace {

std::atomic<int64_t> in_use = 0;
std::atomic<int64_t> most_in_use = 0;

int64_t Taken(void* at) {
  return static_cast<int64_t>(spillway::HeapBlock(malloc_usable_size(at)));
}

void Count(void* at) {
  in_use += Taken(at);
  most_in_use = std::max(most_in_use.load(), in_use.load());
}

}  // namespace

void* operator new(size_t size) {
  void* at = std::malloc(size);
  if (at == nullptr) throw std::bad_alloc();
  Count(at);
  return at;
}
void* operator new(size_t size, const std::nothrow_t& /*tag*/) noexcept {
  void* at = std::malloc(size);
  if (at != nullptr) Count(at);
  return at;
}
void operator delete(void* at) noexcept {
  if (at != nullptr) in_use -= Taken(at);
  std::free(at);
}
void operator delete(void* at, size_t /*size*/) noexcept { operator delete(at); }

namespace spillway::support {

int64_t HeapInUse() { return in_use; }
int64_t MostHeapInUse() { return most_in_use; }
void ForgetMostHeapInUse() { most_in_use = in_use.load(); }

}  // namespace spillway::support
