#pragma once

namespace spillway::kube {

// A deleter for std::unique_ptr that calls a C library's function.
template <class T, void (*Free)(T*)>
struct Freed {
  void operator()(T* value) const { Free(value); }
};

}  // namespace spillway::kube
