#pragma once

#include <string>

#include "base/money.h"
#include "placement/draft.h"

// What is said of places where a pool does not run. Looked up for one pool, when somebody asks.
namespace spillway::placement {

// What is kept for those whose turn comes after that of `rank` would not be kept from it. REQUIRES
// that the draft is settled.
void OpenTo(Draft& draft, const Rank& rank);

// "8.00 more than now"
std::string Compared(Money there, Money now);

}  // namespace spillway::placement
