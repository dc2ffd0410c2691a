#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/boxed.h"
#include "base/shared.h"

// How many bytes a value keeps on the heap, beside itself. `of`: what one that it holds keeps,
// where that may be anything. What is Shared counts whole, as if nobody shared it. Any thread, as
// for reading the value.
namespace spillway {

// What glibc's allocator takes for a block: a word more, in steps of 16, at least 32.
constexpr size_t HeapBlock(size_t bytes) {
  constexpr size_t kWord = sizeof(size_t);
  return bytes == 0 ? 0 : std::max(4 * kWord, (bytes + 3 * kWord - 1) / (2 * kWord) * (2 * kWord));
}
// Of std::make_shared<T>: two counters and a table of functions stand before the value.
template <class T>
constexpr size_t HeapOfMadeShared() {
  return HeapBlock(2 * sizeof(void*) + sizeof(T));
}
// Of what is in a node of a std::map or a std::set: a colour and three nodes stand before it.
template <class T>
constexpr size_t HeapOfTreeNode() {
  return HeapBlock(4 * sizeof(void*) + sizeof(T));
}

inline size_t HeapOf(const std::string& text) {
  const size_t within = std::string().capacity();  // shorter ones are in the string itself
  return text.capacity() <= within ? 0 : HeapBlock(text.capacity() + 1);
}
template <std::same_as<std::string>... Texts>
size_t HeapOfTexts(const Texts&... texts) {
  return (HeapOf(texts) + ... + 0);
}

template <class T>
  requires std::is_trivially_copyable_v<T>
size_t HeapOf(const std::vector<T>& list) {
  return HeapBlock(list.capacity() * sizeof(T));
}
template <class T, class Of>
size_t HeapOf(const std::vector<T>& list, Of of) {
  size_t bytes = HeapBlock(list.capacity() * sizeof(T));
  for (const T& one : list) bytes += of(one);
  return bytes;
}
inline size_t HeapOf(const std::vector<std::string>& list) {
  return HeapOf(list, [](const std::string& text) { return HeapOf(text); });
}
template <class Compare>
size_t HeapOf(const std::map<std::string, std::string, Compare>& texts) {
  size_t bytes = texts.size() * HeapOfTreeNode<std::pair<const std::string, std::string>>();
  for (const auto& [key, text] : texts) bytes += HeapOfTexts(key, text);
  return bytes;
}

template <class T, class Of>
size_t HeapOf(const std::optional<T>& value, Of of) {
  return value ? of(*value) : 0;
}
template <class T, class Of>
size_t HeapOf(const Boxed<T>& value, Of of) {
  return value ? HeapBlock(sizeof(T)) + of(*value) : 0;
}
template <class T, class Of>
size_t HeapOf(const Shared<T>& value, Of of) {
  return value.IsSameAs({}) ? 0 : HeapBlock(Shared<T>::BlockBytes()) + of(value.Get());
}

}  // namespace spillway
