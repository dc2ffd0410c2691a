#pragma once

#include <string>

#include "placement/snapshot.h"

// What if: a snapshot with one thing changed. Each takes what is to change as a person writes it;
// kInvalid is one sentence that says what is wrong with it and what is allowed.
namespace spillway::placement {

// The name of a node group: its admission. Drain, Closed, Open.
Result<Snapshot> Drain(Snapshot snapshot, const std::string& group);
Result<Snapshot> Close(Snapshot snapshot, const std::string& group);
Result<Snapshot> Open(Snapshot snapshot, const std::string& group);

// "GROUP=N": N new nodes like the group's last one by name, healthy, empty and in its domain.
Result<Snapshot> AddNodes(Snapshot snapshot, const std::string& edit);
// "GROUP=N": without the group's last N nodes by name. What ran there is lost with them.
Result<Snapshot> RemoveNodes(Snapshot snapshot, const std::string& edit);

// "GROUP=AMOUNT": what a node of the group costs an hour, in full and at the margin.
Result<Snapshot> SetPrice(Snapshot snapshot, const std::string& edit);

// The text of pools as ReadPools takes it. They queue from now on unless they say otherwise.
Result<Snapshot> AddPools(Snapshot snapshot, const std::string& text);
// "NAMESPACE/NAME", or "KIND/NAMESPACE/NAME" where both kinds have one: without the pool and its
// pods.
Result<Snapshot> RemovePool(Snapshot snapshot, const std::string& pool);
// The same with "=N": the workers of a training pool, whatever accelerator it runs on, or the units
// of an inference pool. Workers that run go on; the number is that of the next attempt.
Result<Snapshot> Scale(Snapshot snapshot, const std::string& edit);

// An RFC 3339 time, not before the snapshot's own: the moment of the decision.
Result<Snapshot> MoveTo(Snapshot snapshot, const std::string& time);

}  // namespace spillway::placement
