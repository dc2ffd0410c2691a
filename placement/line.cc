#include "placement/line.h"

#include <algorithm>
#include <utility>

namespace spillway::placement {
namespace {

bool ComesBefore(const Turn& a, const Turn& b) { return a.rank.Before(b.rank); }

}  // namespace

Line::Line(std::vector<Turn> turns) : turns_(std::move(turns)) {
  std::sort(turns_.begin(), turns_.end(), ComesBefore);
}

std::optional<Turn> Line::Next(const QuotaBook& quotas) {
  if (peers_.empty()) TakePeers();
  if (peers_.empty()) return std::nullopt;
  auto best = peers_.begin();
  for (auto at = peers_.begin(); at != peers_.end(); ++at) {
    if (HasTurnBefore(quotas, at->second.front().rank, best->second.front().rank)) best = at;
  }
  const Turn turn = best->second.front();
  best->second.pop_front();
  if (best->second.empty()) peers_.erase(best);
  return turn;
}

void Line::Postpone(Turn turn) {
  turn.rank.guaranteed = false;
  const auto rest = turns_.begin() + static_cast<std::ptrdiff_t>(next_);
  turns_.insert(std::upper_bound(rest, turns_.end(), turn, ComesBefore), turn);
}

void Line::TakePeers() {
  const size_t first = next_;
  while (next_ < turns_.size()) {
    const Rank& rank = turns_[next_].rank;
    const bool peer = next_ == first || (!rank.guaranteed && !turns_[first].rank.guaranteed &&
                                         rank.priority == turns_[first].rank.priority);
    if (!peer) break;
    peers_[rank.key->ns].push_back(turns_[next_]);
    ++next_;
  }
}

}  // namespace spillway::placement
