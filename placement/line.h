#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "placement/draft.h"

namespace spillway::placement {

// Whose turn comes next: in the order of their ranks, but that of the borrowers of one priority it
// is the namespace's that has borrowed least for its weight by then.
class Line {
 public:
  explicit Line(std::vector<Turn> turns);

  // nullopt: all have had their turn.
  std::optional<Turn> Next(const QuotaBook& quotas);

  // Has another turn, among the borrowers. REQUIRES that it comes before all borrowers.
  void Postpone(Turn turn);

 private:
  using Peers = std::map<std::string, std::deque<Turn>>;  // by namespace

  // One guaranteed pool, or all borrowers of the next priority.
  void TakePeers();

  std::vector<Turn> turns_;
  size_t next_ = 0;
  Peers peers_;
};

}  // namespace spillway::placement
