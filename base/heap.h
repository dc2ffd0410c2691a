#pragma once

namespace spillway {

// Hands what is free on the heap back to the system, for when much was freed at once that will not
// be needed again soon: the allocator would hold on to it for good. Takes some milliseconds with a
// large heap; does nothing where the C library is not glibc. Any thread.
void GiveBackFreeHeap();

}  // namespace spillway
