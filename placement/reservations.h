#pragma once

#include <cstddef>

#include "placement/draft.h"

// EASY backfill, design §3, rule 7. In each node group the first waiting gang that lacks nothing
// but capacity or a domain, and that would fit there if it were empty, is promised room, where
// activeDeadlineSeconds of those who run there say that it will be free. Nodes that are NotReady
// count as long as their grace runs, so that a promise outlives such a moment; the place that does
// without them is kept besides. Where nobody can say, the next one is asked, up to eight, so that
// who waits for ever does not stand in the way. Nobody later in the queue gets anything of it but
// who has ended by then. Promises are made anew in every pass: the first in the queue is promised
// its room no later than the time before, unless somebody with an earlier key has come.
namespace spillway::placement {

// Forgets all promises, before the queue is gone through once more.
void ForgetPromises(Draft& draft);

// Promises room to a gang for which nothing fits, in the group where it is free soonest; of several
// that group which it would rather take. Remembers in its fate by when it starts, or why nobody can
// say.
void PromiseRoom(Draft& draft, size_t pool);

}  // namespace spillway::placement
