#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "kube/client.h"
#include "kube/config.h"
#include "kube/json.h"

namespace spillway::cli {

// Which API server, and on whose behalf: as kubectl finds it where all is empty. And by which
// library.
struct Where {
  std::string kubeconfig;
  kube::Overrides overrides;
  kube::Impersonation as;
  std::string transport = "cpprest";  // one of kube::TransportKinds()
};

// The way to it, with the caller's own rights.
class Connection {
 public:
  static Result<std::unique_ptr<Connection>> Open(const Where& where);

  [[nodiscard]] kube::Client& Api() { return client_; }
  [[nodiscard]] Clock& TimeSource() { return clock_; }

 private:
  explicit Connection(std::unique_ptr<kube::Transport> transport);

  SystemClock clock_;
  std::unique_ptr<kube::Transport> transport_;
  kube::Client client_;
};

const kube::Resource& ConfigMapResource();

// Adds the objects of one page; the token of the next one, empty after the last.
template <class T, class Decode>
Result<std::string> ReadPage(const std::string& body, Decode decode, std::vector<T>& out) {
  kube::JsonParser parser;
  auto root = parser.Parse(body);
  if (!root) return std::move(root).error();
  std::string next;
  Status read =
      kube::VisitObject(*root, [&](std::string_view key, kube::JsonValue value) -> Status {
        if (key == "items") {
          return kube::VisitArray(value, [&](kube::JsonValue item) -> Status {
            T object;
            if (Status done = decode(item, object); !done) return done;
            out.push_back(std::move(object));
            return Ok{};
          });
        }
        if (key != "metadata") return Ok{};
        return kube::VisitObject(
            value, [&](std::string_view field, kube::JsonValue inner) -> Status {
              return field == "continue" ? kube::Read(inner, next) : Status(Ok{});
            });
      });
  if (!read) return std::move(read).error();
  return next;
}

// All objects of a kind, page by page.
template <class T, class Decode>
Result<std::vector<T>> ListAll(kube::Client& client, const kube::Resource& resource,
                               kube::ListOptions options, Decode decode) {
  std::vector<T> objects;
  do {
    auto page = client.List(resource, options, {});
    if (!page) return std::move(page).error().While("listing " + resource.plural);
    auto next = ReadPage<T>(*page, decode, objects);
    if (!next) return std::move(next).error().While("reading " + resource.plural);
    options.continue_token = *std::move(next);
  } while (!options.continue_token.empty());
  return objects;
}

}  // namespace spillway::cli
