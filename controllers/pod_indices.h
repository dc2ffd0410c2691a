#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/interner.h"
#include "base/quantity.h"
#include "kube/store.h"
#include "kube/types/pod.h"

// What decisions read of all pods at once, kept as pods come and go: there may be a million of
// them, of which next to none changes between two passes.
namespace spillway::controllers {

// What pods of others take of a node.
struct OthersOnNode {
  Interned<std::string> node;
  Resources requests;  // of all that are bound to it and have not ended
  int staying = 0;     // of these, how many do not come and go with the node
  bool operator==(const OthersOnNode&) const = default;
};

// By node, whether it is there or not; those that no such pod is on are not in it.
class OthersByNode final : public kube::Index<kube::KeptPod> {
 public:
  void Change(const kube::KeptPod* before, const kube::KeptPod* after) override;
  [[nodiscard]] size_t Bytes() const override { return bytes_; }
  // Sorted by the node's name. The amounts share their memory with those here.
  [[nodiscard]] std::vector<OthersOnNode> List() const;

 private:
  __extension__ using Wide = __int128;  // both our compilers have it

  struct Sum {
    Resources requests;
    int pods = 0;
    int staying = 0;
  };
  struct ByName {
    bool operator()(const Interned<std::string>& left, const Interned<std::string>& right) const {
      return left.Get() < right.Get();
    }
  };
  using Nodes = std::map<Interned<std::string>, Sum, ByName>;

  static size_t BytesEach(const std::string& node);
  void Count(const kube::KeptPod& pod, int times);
  void Add(const std::string& node, const std::string& resource, Wide amount, Resources& to);

  Nodes nodes_;
  // By node and resource, what of a sum is beyond the ends of int64_t. There is no such node, but
  // anybody may bind pods to one that it has no room for, and they have to go out of the sum again.
  std::map<std::pair<std::string, std::string>, Wide> beyond_;
  size_t bytes_ = 0;
};

// Those with a label of ours.
class OwnPods final : public kube::Index<kube::KeptPod> {
 public:
  void Change(const kube::KeptPod* before, const kube::KeptPod* after) override;
  [[nodiscard]] size_t Bytes() const override;
  // Sorted by key.
  [[nodiscard]] std::vector<std::shared_ptr<const kube::Pod>> List() const {
    return {pods_.begin(), pods_.end()};
  }

 private:
  using Ptr = std::shared_ptr<const kube::Pod>;
  struct ByKey {
    using is_transparent = void;
    static kube::KeyView Of(const Ptr& pod) { return kube::KeyOf(pod->meta); }
    static kube::KeyView Of(kube::KeyView key) { return key; }
    bool operator()(const auto& left, const auto& right) const { return Of(left) < Of(right); }
  };

  std::set<Ptr, ByKey> pods_;
};

}  // namespace spillway::controllers
