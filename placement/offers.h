#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "placement/capacity.h"
#include "placement/constraints.h"
#include "placement/gangs.h"
#include "placement/nodes.h"

// What groups offer to pools that ask for the same: worked out once in a pass, and brought up to
// date where rooms have changed since, so that thousands of pools do not each look at every node.
namespace spillway::placement {

struct DomainShapes {
  uint32_t domain = 0;  // in World::DomainsOf a level
  ShapeCounts shapes;
  std::vector<size_t> places;  // its nodes: where they are in the ground's
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
  LeftOut left_out;              // by constraints
  bool shared = false;           // by all pools with the same constraints
  std::map<std::string, std::vector<DomainShapes>> domains;  // of the group's labels, ascending
};

// What a ground's nodes have free for one request.
struct Offer {
  struct Place {
    Slot slot;               // `workers`: as many as fit, without a limit
    bool contested = false;  // only so many may count on it whom that is enough for
    bool operator==(const Place&) const = default;
  };
  std::vector<Place> places;  // by node
  std::vector<size_t> open;   // those of them where at least one worker fits
  int64_t free = 0;           // accelerators on all of them
  int64_t workers = 0;        // on all of them, of each at the most kManyReplicas
  std::optional<Slot> piece;  // of those where no worker fits, the first with the most free
};

// The same for one pool: of its own pods and claims nothing stands in its way.
struct Room {
  std::vector<Slot> slots;  // by node: where its workers fit
  int64_t free = 0;
  // Of the nodes where none fits, the first with the most accelerators free.
  std::optional<Slot> piece;
};

// What a node offers the pool now.
Slot SlotOn(const World& world, const Capacity& capacity, size_t pool, const GroupView& group,
            size_t node, const Need& need);

// Bounds what one node counts for, where what is asked for takes nothing of it.
inline constexpr int64_t kManyReplicas = 1'000'000;

class Offers {
 public:
  // Both outlive this. `most_nodes` bounds what is kept where hardly two pools ask for the same:
  // nodes, each counted as often as something is known of it.
  Offers(const World& world, const Capacity& capacity, size_t most_nodes = 4'000'000);

  std::shared_ptr<const Ground> GroundFor(const GroupView& group, const TrainingPool& pool,
                                          const PoolMemory& memory);
  std::shared_ptr<const Ground> HealthyGroundFor(const GroupView& group, const TrainingPool& pool);
  // As GroundFor, as if the nodes that are NotReady within the grace were ready again.
  std::shared_ptr<const Ground> GroundOnceBack(const GroupView& group, const TrainingPool& pool,
                                               const PoolMemory& memory);

  Room RoomFor(const GroupView& group, const std::shared_ptr<const Ground>& ground, size_t pool,
               const Need& need);

  // What the ground's nodes have for a pool that has nothing there, `open` and `piece` left out.
  // Until the next question. REQUIRES that the ground is shared.
  const Offer& OfferFor(const GroupView& group, const std::shared_ptr<const Ground>& ground,
                        const Resources& request) {
    return KnownFor(group, ground, request).offer;
  }

  // What FitGang finds in RoomFor's slots, where that is known without a look at every slot: within
  // a domain of the topology's levels, mostly, and for a single worker. nullopt: it takes such a
  // look; an answer without a fit: there is none.
  struct Answer {
    std::optional<Fit> fit;
  };
  std::optional<Answer> QuickFit(const GroupView& group,
                                 const std::shared_ptr<const Ground>& ground, size_t pool,
                                 const Need& need, const Topology& topology);

 private:
  // Grounds and offers of one group, each with the first pool that asked for it.
  struct Known {
    const TrainingPool* like = nullptr;
    std::shared_ptr<const Ground> ground;
  };
  // Workers that fit in each domain of a level, those on contested places left out. A node counts
  // for no more than a gang has: a small one asks what it would find itself.
  struct Level {
    const Domains* domains = nullptr;
    const std::vector<DomainShapes>* list = nullptr;  // of the ground
    int64_t most = 0;                                 // of one node
    std::vector<int64_t> workers;                     // of each of them
    [[nodiscard]] int64_t On(const Offer::Place& place) const;
  };
  // A place where workers fit, as a Choice has it: nodes in use first, the fullest of them first.
  struct InOrder {
    bool whole = false;
    int64_t free = 0;
    size_t place = 0;
    auto operator<=>(const InOrder&) const = default;
  };
  struct KnownOffer {
    std::shared_ptr<const Ground> ground;
    Resources request;
    Row row;
    size_t column = 0;               // of the accelerators
    std::vector<int64_t> when_free;  // accelerators of an empty node, by shape
    size_t seen = 0;                 // what Capacity::Changes was when it was brought up to date
    int64_t most = 0;                // no place has had more workers
    std::set<size_t> contested;      // places where a worker fits, but not for everybody
    // That were asked for, by label and `most`.
    std::map<std::pair<std::string, int64_t>, Level> levels;
    bool listed = false;  // `open` and `piece` are as the places are
    // The open places in the order in which a Choice takes them, once asked for.
    std::optional<std::vector<InOrder>> in_order;
    Offer offer;
  };
  struct KnownGroup {
    std::vector<Known> grounds;
    std::vector<Known> once_back;
    std::vector<Known> healthy;
    std::vector<KnownOffer> offers;
  };

  // The one that is known for pools of such constraints, or else that which `make` makes.
  template <class Make>
  std::shared_ptr<const Ground> Find(std::vector<Known>& grounds, const GroupView& group,
                                     const TrainingPool& pool, const Make& make);
  [[nodiscard]] KnownOffer MakeOffer(const GroupView& group, std::shared_ptr<const Ground> ground,
                                     const Resources& request) const;
  KnownOffer& KnownFor(const GroupView& group, const std::shared_ptr<const Ground>& ground,
                       const Resources& request);
  const Level& LevelOf(KnownOffer& known, const std::string& label, int64_t most) const;
  [[nodiscard]] std::optional<Fit> FitInDomain(KnownOffer& known, const Need& need,
                                               const Topology& topology) const;
  // Wherever in the group.
  [[nodiscard]] std::optional<Fit> FitAnywhere(KnownOffer& known, const Need& need,
                                               const Topology& topology) const;
  static const std::vector<InOrder>& OrderOf(KnownOffer& known);
  // Workers of a gang of so many that fit on all places.
  static int64_t RoomAnywhere(KnownOffer& known, int workers);
  // The place had the one slot, and has the other.
  static void PutInOrder(std::vector<InOrder>& order, size_t place, const Slot& before,
                         const Slot& now);
  // The domain of the level that would have the least room left, of several the first: where it is
  // in the list.
  static std::optional<size_t> Tightest(const KnownOffer& known, const Level& level, int workers);
  [[nodiscard]] Room RoomIn(const GroupView& group, const Ground& ground, const Offer& offer,
                            size_t pool, const Need& need) const;
  [[nodiscard]] Offer::Place PlaceOn(const GroupView& group, const KnownOffer& known,
                                     size_t index) const;
  void Update(const GroupView& group, KnownOffer& known) const;
  void LookAgain(const GroupView& group, KnownOffer& known, size_t index) const;
  void MakeRoomFor(size_t nodes);

  const World& world_;
  const Capacity& capacity_;
  std::vector<KnownGroup> groups_;  // by group
  size_t most_nodes_;
  size_t held_ = 0;  // nodes in all that is kept here
};

}  // namespace spillway::placement
