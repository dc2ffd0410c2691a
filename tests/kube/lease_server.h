#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/result.h"
#include "kube/transport.h"

namespace spillway::kube {

// The API server's side of one Lease: optimistic locking and nothing else.
class LeaseServer {
 public:
  Result<HttpResponse> Answer(const HttpRequest& request) {
    if (before) {
      if (auto instead = before(request)) return *instead;
    }
    auto response = Serve(request);
    if (after) {
      if (auto instead = after(request)) return *instead;
    }
    return response;
  }

  // What somebody else does to it.
  void Put(const std::string& holder, const std::string& renewed, int64_t seconds = 15) {
    if (lease.is_null()) lease = nlohmann::json{{"metadata", {{"name", "spillway"}}}};
    lease["spec"]["holderIdentity"] = holder;
    lease["spec"]["leaseDurationSeconds"] = seconds;
    lease["spec"]["renewTime"] = renewed;
    Stamp();
  }
  [[nodiscard]] nlohmann::json Spec() const {
    return lease.is_null() ? nlohmann::json() : lease.at("spec");
  }
  [[nodiscard]] std::string Holder() const {
    return lease.is_null() ? "none" : Spec()["holderIdentity"];
  }
  void Stamp() { lease["metadata"]["resourceVersion"] = std::to_string(++version_); }

  nlohmann::json lease;  // null: there is none
  // Run before and after the request has its effect; an answer takes the place of the server's.
  std::function<std::optional<Result<HttpResponse>>(const HttpRequest&)> before;
  std::function<std::optional<Result<HttpResponse>>(const HttpRequest&)> after;

 private:
  Result<HttpResponse> Serve(const HttpRequest& request) {
    if (request.method == "POST") {
      if (!lease.is_null()) return Refuse(409, "AlreadyExists");
      lease = nlohmann::json::parse(request.body);
    } else if (lease.is_null()) {
      return Refuse(404, "NotFound");
    } else if (request.method == "PUT") {
      const nlohmann::json fresh = nlohmann::json::parse(request.body);
      if (fresh["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"]) {
        return Refuse(409, "Conflict");
      }
      lease = fresh;
    }
    if (request.method != "GET") Stamp();
    return HttpResponse{.status = 200, .headers = {}, .body = lease.dump()};
  }
  static Result<HttpResponse> Refuse(int status, const std::string& reason) {
    return HttpResponse{
        .status = status,
        .headers = {},
        .body = nlohmann::json{{"kind", "Status"}, {"reason", reason}, {"message", reason}}.dump()};
  }
  int version_ = 100;
};

}  // namespace spillway::kube
