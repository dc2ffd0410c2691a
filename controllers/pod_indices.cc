#include "controllers/pod_indices.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "base/heap_size.h"

namespace spillway::controllers {
namespace {

bool IsOnNode(const kube::KeptPod* pod) {
  return pod != nullptr && pod->own == nullptr && pod->UsesNode();
}
bool TakeTheSame(const kube::KeptPod& one, const kube::KeptPod& other) {
  return one.node == other.node && one.requests == other.requests &&
         one.comes_with_node == other.comes_with_node;
}

}  // namespace

void OthersByNode::Change(const kube::KeptPod* before, const kube::KeptPod* after) {
  const bool was = IsOnNode(before);
  const bool is = IsOnNode(after);
  if (was && is && TakeTheSame(*before, *after)) return;  // as in most changes
  if (is) Count(*after, 1);
  if (was) Count(*before, -1);
}

void OthersByNode::Count(const kube::KeptPod& pod, int times) {
  const auto [at, fresh] = nodes_.try_emplace(pod.node);
  Sum& sum = at->second;
  if (fresh) bytes_ += BytesEach(pod.node.Get());
  bytes_ -= HeapOf(sum.requests);
  for (const auto& [resource, amount] : pod.requests.Get()) {
    Add(at->first.Get(), resource, Wide{amount} * times, sum.requests);
  }
  sum.pods += times;
  if (!pod.comes_with_node) sum.staying += times;
  if (sum.pods > 0) {
    bytes_ += HeapOf(sum.requests);
    return;
  }
  bytes_ -= BytesEach(at->first.Get());
  nodes_.erase(at);
}

// With the name, which the node's pods share.
size_t OthersByNode::BytesEach(const std::string& node) {
  return HeapOfTreeNode<Nodes::value_type>() + HeapOfMadeShared<std::string>() + HeapOf(node);
}

void OthersByNode::Add(const std::string& node, const std::string& resource, Wide amount,
                       Resources& to) {
  using Ends = std::numeric_limits<int64_t>;
  Wide exact = Wide{to.Get(resource)} + amount;
  if (!beyond_.empty()) {  // as never
    const auto at = beyond_.find({node, resource});
    if (at != beyond_.end()) {
      exact += at->second;
      beyond_.erase(at);
    }
  }
  const Wide within = std::clamp(exact, Wide{Ends::min()}, Wide{Ends::max()});
  to.Set(resource, static_cast<int64_t>(within));
  if (within != exact) beyond_[{node, resource}] = exact - within;
}

std::vector<OthersOnNode> OthersByNode::List() const {
  std::vector<OthersOnNode> all;
  all.reserve(nodes_.size());
  for (const auto& [node, sum] : nodes_) all.push_back({node, sum.requests, sum.staying});
  return all;
}

void OwnPods::Change(const kube::KeptPod* before, const kube::KeptPod* after) {
  auto next = pods_.end();
  if (before != nullptr && before->own != nullptr) {
    next = pods_.erase(pods_.find(kube::KeyOf(before->own->meta)));
  }
  if (after != nullptr && after->own != nullptr) pods_.insert(next, after->own);
}

size_t OwnPods::Bytes() const { return pods_.size() * HeapOfTreeNode<Ptr>(); }

}  // namespace spillway::controllers
