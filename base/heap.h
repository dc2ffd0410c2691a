#pragma once

namespace spillway {

// Hands what is free on the heap back to the system, for when much was freed at once that will not
// be needed again soon: the allocator would hold on to it for good. Takes some milliseconds with a
// large heap; does nothing where the C library is not glibc. Any thread.
void GiveBackFreeHeap();

// Keeps the allocator to two heaps for all threads, where it would make eight for each core: what
// one thread has freed is then there for the next, and what stays free in them is little. For
// programs most of whose threads wait most of the time. Before other threads are started.
void KeepFewHeaps();

}  // namespace spillway
