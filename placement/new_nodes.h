#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "placement/draft.h"
#include "placement/growth.h"

// Nodes that elastic groups are asked for. A gang for which there is no room anywhere asks the
// first group in its order that could hold it with nodes that do not exist yet, for all that it
// lacks there at once. Where price decides in that order, it is that of the nodes which it would
// cause, in whole. What is free there is kept for it meanwhile, and what it asks for counts
// against quotas and money from the start, as a claim does. Asks add up, in the order of turns.
namespace spillway::placement {

// Nodes of an elastic group that are starting, asked for or not yet asked for, and promised to
// nobody.
int NodesToGet(const Draft& draft, const GroupView& group);

// When what the group was asked for at that time is to be there.
Time DueIn(const GroupView& group, Time since);

// What the group was asked for did not come in time. Says whether that is new: it is out of stock
// from now on, and was not.
bool MarkOutOfStock(Draft& draft, const GroupView& group);

// What it was asked for has come.
void MarkInStock(Draft& draft, const GroupView& group);

// Which of what is in the way in a group is told: what could help with new nodes, or what they
// lack. Says whether that is something else than `now`, which is what is in the way without them.
bool Explains(const Finding& new_nodes, Finding& now);

// Nobody has asked for anything: before each round. Or one gang has not.
void ForgetAsks(Draft& draft);
void ForgetAsk(Draft& draft, size_t gang);

// The group that the gang has asked before and still waits for, as an option; nullopt: none, or its
// time is over. There it does not start with fewer workers than come.
std::optional<Option> AskThatStands(Draft& draft, size_t gang);

// What became of a gang for which there is no room.
struct Asked {
  bool waits = false;     // for nodes, or for others to start before it asks for them
  bool released = false;  // a group is out of stock from now on: what it was asked for is nobody's
};
// REQUIRES that draft.options has the gang's, none of which fits, and that it has no claim. Writes
// there why each elastic group is not asked, or that it is.
Asked AskForNodes(Draft& draft, size_t gang);

// Writes what is asked for into the memories of gangs and groups.
void SettleAsks(Draft& draft);

// Takes what is asked for out of the quotas' and the money's account, but for what is paid by now:
// nodes that are there, or starting.
void UncountAsks(Draft& draft);

// For whoever has the turn: beside what others have asked for in this round or, those whose turn is
// yet to come, before it.
Growth GrowthOf(const Draft& draft, const GroupView& group);

// The same for what is paid: beside what is asked for by those alone whose turn was before.
Growth GrowthToPay(const Draft& draft, const GroupView& group);
// Who pays for what the last step leaves; nullptr: it leaves nothing.
const PoolKey* WhoPaysForLeft(const Draft& draft, const GroupView& group);

// Puts what a pool asks a group for on its namespace's account, as the last of those who ask it:
// `share` of the accelerators that it asks for, or all nodes that are made for it if these cost
// more. What the step leaves that its nodes come in is paid for by whoever made it necessary, and
// less of it once those who ask later count on it.
void PayForAsk(Draft& draft, const GroupView& group, AskBill bill);
// Takes it off, if the pool asks the group for anything, and counts anew what the others pay.
void ForgetBill(Draft& draft, const GroupView& group, const Payer& pool);

// Takes off what everybody asks for.
void ForgetBills(Draft& draft);

// By group: all nodes that were asked for when the pass began.
std::vector<int> NodesAskedBefore(const World& world);

// Its turn has come: what it asked for before counts no longer.
void TakeBackBefore(Draft& draft, const std::string& group, int nodes);

// What an elastic group is to have: what it has and does not give back, and while nodes are asked
// for, those that are coming among them, in steps from what it was to have before, within its
// limits. While any are, no fewer than before: what was asked for in steps comes in steps.
// REQUIRES that it is decided what it gives back.
int DesiredNodes(const Draft& draft, size_t group);

}  // namespace spillway::placement
