#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "kube/client.h"
#include "kube/json.h"

namespace spillway::kube {

// What a page of a list says of itself.
struct ListPage {
  std::string api_version;
  std::string kind;
  std::string version;
  std::string next;  // continue token; empty: the last page
  int64_t items = 0;
};

// Calls on_item for each item; an error of it ends the reading. Reads within `body`, which is as it
// was afterwards no longer.
Result<ListPage> ReadListPage(std::string& body, JsonParser& parser,
                              const std::function<Status(JsonValue)>& on_item);

// Does a server that says this mean the kind of `resource`? It need not say its group and version.
bool IsApiVersionOf(const Resource& resource, const std::string& api_version);

// Is it a list of this kind, or of its metadata where that was asked for?
Status CheckKind(const ListPage& page, const Resource& resource, bool metadata_only);

}  // namespace spillway::kube
