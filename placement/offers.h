#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "placement/capacity.h"
#include "placement/gangs.h"
#include "placement/nodes.h"

// What groups offer to pools that ask for the same: worked out once in a pass, and brought up to
// date where rooms have changed since, so that thousands of pools do not each look at every node.
namespace spillway::placement {

// How many nodes there are of each of a group's shapes.
using ShapeCounts = std::vector<int64_t>;

struct DomainShapes {
  uint32_t domain = 0;  // in World::DomainsOf a level
  ShapeCounts shapes;
};

// Workers that nodes take when they are empty; `each`: by shape, what one of them takes.
int64_t WorkersIn(const ShapeCounts& shapes, const std::vector<int64_t>& each);

// Nodes of a group that pools with the same constraints may use.
struct Ground {
  std::vector<size_t> nodes;     // ascending, in World::nodes
  std::vector<size_t> shape;     // of each
  ShapeCounts all;               // members, and what is left of them when only …
  ShapeCounts usable;            // … usable ones count,
  ShapeCounts own;               // … of these, those that no other group matches,
  ShapeCounts allowed;           // … and of these `nodes`
  std::vector<size_t> unusable;  // members that are not usable now, and not lost
  std::string left_out;          // why constraints leave others out
  std::string let_in;            // what would let them in
  bool shared = false;           // by all pools with the same constraints
  std::map<std::string, std::vector<DomainShapes>> domains;  // of the group's labels, ascending
};

// What a ground's nodes have free for one request.
struct Offer {
  struct Place {
    Slot slot;               // `workers`: as many as fit, without a limit
    bool contested = false;  // only so many may count on it whom that is enough for
  };
  std::vector<Place> places;  // by node
  std::vector<size_t> open;   // those of them where at least one worker fits
  int64_t free = 0;           // accelerators on all of them
  std::optional<Slot> piece;  // of those where no worker fits, the first with the most free
};

// The same for one pool: of its own pods and claims nothing stands in its way.
struct Room {
  std::vector<Slot> slots;  // by node: where its workers fit
  int64_t free = 0;
  // Of the nodes where none fits, the first with the most accelerators free.
  std::optional<Slot> piece;
};

// The nodes of a group that could serve the pool, whatever their health: `nodes`, `allowed` and
// `domains` of a ground.
Ground HealthyGroundOf(const World& world, const GroupView& group, const TrainingPool& pool);

// What a node offers the pool now.
Slot SlotOn(const World& world, const Capacity& capacity, size_t pool, const GroupView& group,
            size_t node, const Need& need);

class Offers {
 public:
  // Both outlive this. `most_nodes` bounds what is kept where hardly two pools ask for the same:
  // nodes, each counted as often as something is known of it.
  Offers(const World& world, const Capacity& capacity, size_t most_nodes = 4'000'000);

  std::shared_ptr<const Ground> GroundFor(const GroupView& group, const TrainingPool& pool,
                                          const PoolMemory& memory);
  std::shared_ptr<const Ground> HealthyGroundFor(const GroupView& group, const TrainingPool& pool);

  Room RoomFor(const GroupView& group, const std::shared_ptr<const Ground>& ground, size_t pool,
               const Need& need);

 private:
  // Grounds and offers of one group, each with the first pool that asked for it.
  struct Known {
    const TrainingPool* like = nullptr;
    std::shared_ptr<const Ground> ground;
  };
  struct KnownOffer {
    std::shared_ptr<const Ground> ground;
    Resources request;
    Row row;
    size_t column = 0;               // of the accelerators
    std::vector<int64_t> when_free;  // accelerators of an empty node, by shape
    uint64_t seen = 0;               // what Capacity::Changes was when it was brought up to date
    Offer offer;
  };
  struct KnownGroup {
    std::vector<Known> grounds;
    std::vector<Known> healthy;
    std::vector<KnownOffer> offers;
  };

  [[nodiscard]] KnownOffer MakeOffer(const GroupView& group, std::shared_ptr<const Ground> ground,
                                     const Resources& request) const;
  const Offer& OfferFor(const GroupView& group, const std::shared_ptr<const Ground>& ground,
                        const Resources& request);
  [[nodiscard]] Room RoomIn(const GroupView& group, const Ground& ground, const Offer& offer,
                            size_t pool, const Need& need) const;
  [[nodiscard]] Offer::Place PlaceOn(const GroupView& group, const KnownOffer& known,
                                     size_t index) const;
  void Update(const GroupView& group, KnownOffer& known) const;
  void MakeRoomFor(size_t nodes);

  const World& world_;
  const Capacity& capacity_;
  std::vector<KnownGroup> groups_;  // by group
  size_t most_nodes_;
  size_t held_ = 0;  // nodes in all that is kept here
};

}  // namespace spillway::placement
