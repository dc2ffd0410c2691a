#include "kube/list_page.h"

#include <string_view>
#include <utility>

namespace spillway::kube {

Result<ListPage> ReadListPage(std::string& body, JsonParser& parser,
                              const std::function<Status(JsonValue)>& on_item) {
  Result<JsonValue> root = parser.ParseInPlace(body);
  if (!root) return std::move(root).error();
  ListPage page;
  Status done = VisitObject(*root, [&](std::string_view key, JsonValue value) -> Status {
    if (key == "apiVersion") return Read(value, page.api_version);
    if (key == "kind") return Read(value, page.kind);
    if (key == "items") {
      return VisitArray(value, [&](JsonValue item) -> Status {
        ++page.items;
        return on_item(item);
      });
    }
    if (key != "metadata") return Ok{};
    return VisitObject(value, [&](std::string_view name, JsonValue inner) -> Status {
      if (name == "resourceVersion") return Read(inner, page.version);
      if (name == "continue") return Read(inner, page.next);
      return Ok{};
    });
  });
  if (!done) return std::move(done).error();
  // An item that is no JSON ends the list for the parser, whatever comes behind it.
  if (auto whole = parser.Again(); !whole) return std::move(whole).error();
  return page;
}

bool IsApiVersionOf(const Resource& resource, const std::string& api_version) {
  return api_version.empty() || api_version == resource.ApiVersion();
}

Status CheckKind(const ListPage& page, const Resource& resource, bool metadata_only) {
  const bool partial = metadata_only && page.kind == "PartialObjectMetadataList";
  const bool whole =
      page.kind == resource.kind + "List" && IsApiVersionOf(resource, page.api_version);
  if ((partial || whole) && !page.version.empty()) return Ok{};
  return Error{Code::kInternal, "asked for a list of " + resource.kind + ", got kind \"" +
                                    page.kind + "\" of \"" + page.api_version + "\" at version \"" +
                                    page.version + "\""};
}

}  // namespace spillway::kube
