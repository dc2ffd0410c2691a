#pragma once

#include <optional>
#include <string>

#include "kube/json.h"
#include "placement/snapshot.h"

namespace spillway::controllers {

// What a Job carries of the commit that it follows from: enough to rebuild the pool's memory when
// its status was erased.
std::string EncodeRecord(const placement::PoolMemory& memory);
// nullopt for a text that is no record. Fields that an older or newer build does not know stay at
// their defaults.
std::optional<placement::PoolMemory> DecodeRecord(const std::string& text);
// The same, for many: `parser` is used again.
std::optional<placement::PoolMemory> DecodeRecord(const std::string& text,
                                                  kube::JsonParser& parser);

// True if a child that carries `record` follows from `committed`: the same attempt on the same
// nodes.
bool Follows(const placement::Placement& record, const placement::Placement& committed);

}  // namespace spillway::controllers
