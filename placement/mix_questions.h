#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "placement/cell_limits.h"
#include "placement/cells.h"
#include "placement/mixes.h"

// An inference pool's cells, as the question which mix of them is the cheapest. Nobody keeps a
// replica to one node: beside pods of one variant that are not bound yet, another may get fewer on
// the same nodes than fit there together.
namespace spillway::placement {

enum class Freedom {
  kGrow,    // everything stays, and more may come
  kShrink,  // nothing comes
  kMove,    // whatever is best
  kAsk,     // everything stays, what is asked for too, and more may come to nodes yet to come
};

// What a cell could have on nodes that do not exist yet.
struct RoomToCome {
  int64_t more = 0;           // replicas, beside those that are asked for
  std::vector<int64_t> free;  // accelerators on each of the nodes of its group
  std::vector<int64_t> fits;  // of it, on each of these
  std::vector<Money> made;    // as MixStage has it
};

struct Question {
  MixProblem problem;
  std::vector<std::vector<CellState*>> cells;  // as the problem has them

  // What the cell has in the mix; nullopt: it is not asked about.
  [[nodiscard]] std::optional<int64_t> Of(const CellState& cell, const Mix& mix) const;
};

// What changing from one mix to another is worth.
struct Benefit {
  MoneySeconds before = 0;  // micros an hour, of what is needed of what runs
  MoneySeconds saving = 0;  // of that
  MoneySeconds cost = 0;    // micros · seconds / hour: what both cost while both run
};

// An hour, in micros.
MoneySeconds RunningCost(const Question& question, const Mix& mix);
Benefit BenefitOf(const Question& from, const Mix& kept, const Question& to, const Mix& best);

// Not less than nothing, and no more than money can be.
Money MoneyOf(MoneySeconds micros);

// For how long a better mix must have been possible before the pool takes it: its return_after,
// doubled by each time but the first that its replicas gave way within 24 hours, from at least a
// minute to at most a day. Who goes home and is sent away again does so ever more rarely.
Seconds ReturnWait(const InferencePool& pool, const InferenceMemory& memory, Time now);

// When that is. REQUIRES that a better mix is known.
std::string WhenTaken(const InferencePool& pool, const InferenceMemory& memory, Time now);

// amount ÷ by, rounded up; nothing by nothing.
int64_t CeilDiv(int64_t amount, int64_t by);

// Asks about a draft as it is decided so far. All parts outlive this.
class MixQuestions {
 public:
  MixQuestions(const World& world, const Capacity& capacity, Offers& offers,
               const QuotaBook& quotas, InferenceDraft& draft)
      : world_(world),
        capacity_(capacity),
        quotas_(quotas),
        draft_(draft),
        pool_(*draft.pool),
        limits_(world, capacity, offers, quotas, draft) {}

  // Of all cells that are to stay; of those of `only` as if it were the one that is chosen. Notes
  // the shortage of each cell that may get more.
  Question Ask(Freedom freedom, const Variant* only);

  // What Freedom::kAsk asks about: by cell. Others have nothing.
  void SetRoomToCome(std::map<const CellState*, RoomToCome> rooms) { to_come_ = std::move(rooms); }

  // The cell can have no more than so many more beside what others are given.
  void Cut(const CellState& cell, int64_t most) { cuts_[&cell] = most; }
  void ForgetCuts() { cuts_.clear(); }

  // The mix for people, in the order of the cells.
  [[nodiscard]] RejectedMix Told(const Question& question, const Mix& mix, std::string why) const;
  // Why `other`, which is no better, is not the one. Each is of its question.
  [[nodiscard]] std::string WhyNot(const Question& question, const Mix& chosen,
                                   const Question& other_question, const Mix& other) const;
  // Why a better mix is not worth the change; nullopt: it is.
  [[nodiscard]] std::optional<std::string> WhyNotWorth(const Benefit& benefit) const;

 private:
  void SetLimits(MixProblem& problem) const;
  void Presume(const CellState& cell, MixProblem& problem) const;
  [[nodiscard]] size_t IndexOf(const Variant& variant) const;
  void AddCell(Freedom freedom, CellState& cell, Question& question);
  int64_t Room(Freedom freedom, CellState& cell);
  [[nodiscard]] std::vector<int64_t> FreeTogether(const std::vector<CellState*>& cells,
                                                  const MixStage& stage) const;
  void SetNew(const std::vector<CellState*>& cells, MixStage& stage) const;
  [[nodiscard]] int64_t FreeOn(size_t node, const std::vector<const CellState*>& growing) const;

  const World& world_;
  const Capacity& capacity_;
  const QuotaBook& quotas_;
  InferenceDraft& draft_;
  const InferencePool& pool_;
  CellLimits limits_;
  // By cell: the most that it can have more, where that is less beside others than alone.
  std::map<const CellState*, int64_t> cuts_;
  std::map<const CellState*, RoomToCome> to_come_;
};

}  // namespace spillway::placement
