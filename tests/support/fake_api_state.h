#pragma once

// What the source files of the in-process API server share.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/fake_api_server.h"

namespace spillway::support {

// An object at one version, with its text.
struct FakeApiServer::Stored {
  Json object;
  std::string text;
  int64_t version = 0;
};

struct FakeApiServer::Event {
  const ServedKind* kind = nullptr;
  Ptr before;  // null: it was created
  Ptr after;   // of a deletion: the last state at the version of the deletion
  bool deleted = false;
  int64_t version = 0;
  std::vector<std::chrono::nanoseconds> shown;  // when each server's cache shows it
};

// What a server's cache shows of a kind.
struct FakeApiServer::Cache {
  Objects objects;
  size_t next = 0;  // event number of the first one that is not in
  int64_t version = 0;
  std::chrono::nanoseconds shown{0};  // when it shows all that has happened
};

// The objects of a kind at a version, and the number of the event that comes next.
struct FakeApiServer::View {
  const Objects* objects = nullptr;  // null: there are none
  int64_t version = 0;
  size_t next = 0;
};

struct FakeApiServer::Watch {
  ApiTarget target;
  Selector selector;
  size_t server = 0;
  int64_t from = 0;  // what it brings is after this version
  bool bookmarks = false;
  bool initial_end = false;  // a bookmark says where what was there at first ends
  size_t next = 0;           // event number, counted from the beginning of time
  std::string first;         // what was there when it was opened
  bool over = false;
  uint64_t bookmarks_seen = 0;
  uint64_t closings_seen = 0;
  std::chrono::nanoseconds deadline{0};
  std::optional<size_t> cut_after;
  std::optional<Json> failure;  // a Status to end with
};

// What is left of a list that is read in pages.
struct FakeApiServer::Pages {
  int64_t version = 0;
  bool counted = true;  // a page says how many there are after it
  std::vector<Ptr> left;
};

// What hits a request.
struct FakeApiServer::Blow {
  bool hit = false;
  Fault fault{};
};

// A text field of an object's metadata; empty if it is not there.
std::string MetaText(const nlohmann::json& object, const char* field);
// What counts as specification: all but metadata and status.
nlohmann::json SpecOf(const nlohmann::json& object);
// The text of an object as PartialObjectMetadata.
std::string MetadataText(const nlohmann::json& object);
// 422: a query or DeleteOptions of a wrong form; `options` such as "ListOptions".
kube::HttpResponse InvalidOptions(const std::string& options, const std::string& field,
                                  const std::string& cause, const std::string& message);
std::string KeyOf(const std::string& ns, const std::string& name);

}  // namespace spillway::support
