#include "operator/cli/release.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "controllers/names.h"
#include "controllers/release.h"
#include "crds/v1alpha1/inference_pool.h"
#include "crds/v1alpha1/training_pool.h"
#include "kube/types/deployment.h"
#include "kube/types/job.h"

namespace spillway::cli {
namespace {

using nlohmann::json;
using std::chrono::seconds;

constexpr seconds kLongest{60};  // for the cluster to follow
constexpr std::chrono::milliseconds kPause{200};

struct Child {
  const kube::Resource* resource = nullptr;
  json object;
  [[nodiscard]] std::string Name() const { return object["metadata"]["name"]; }
  [[nodiscard]] std::string Print() const { return resource->kind + " " + Name(); }
};

Result<json> Parse(const std::string& body) {
  json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object()) return Error{Code::kInvalid, "the answer is no JSON object"};
  return parsed;
}

// Somebody was faster; or it has gone. What is there now has to be looked at.
bool LookAgain(const Error& error) {
  return error.code == Code::kInvalid || error.code == Code::kConflict ||
         error.code == Code::kNotFound || error.code == Code::kUnavailable;
}

class Releaser {
 public:
  Releaser(Connection& connection, const ReleaseOptions& options)
      : client_(connection.Api()),
        clock_(connection.TimeSource()),
        options_(options),
        until_(clock_.Elapsed() + kLongest) {}

  Status Run() {
    if (Status found = FindPool(); !found) return found;
    auto children = Children();
    if (!children) return std::move(children).error();
    if (options_.dry_run) {
      for (const Child& child : *children) Say("would let go of", child.Print());
      Say("would delete", PoolName());
      return Ok{};
    }
    // From the moment that it is being deleted no operator touches the pool or its children; held,
    // it is there until nothing points to it.
    if (Status held = Hold(); !held) return held;
    if (Status deleted = Delete(); !deleted) return deleted;
    if (Status done = LetGo(); !done) return done;
    if (Status gone = Unhold(); !gone) return gone;
    if (Status last = LetGo(); !last) return last;  // of what a pass that was under way has made
    Say("deleted", PoolName());
    TellOfPriorityClass();
    return Ok{};
  }

 private:
  static void Say(const std::string& what, const std::string& whom) {
    std::cout << what << " " << whom << "\n";
  }
  [[nodiscard]] std::string PoolName() const {
    return fmt::format("{} {}/{}", resource_->kind, options_.ns, options_.pool);
  }

  // Nothing where it has gone.
  Result<std::optional<json>> GetPool(const kube::Resource& resource) {
    const auto body = client_.Get(resource, options_.ns, options_.pool, {});
    if (!body && body.error().code == Code::kNotFound) return std::optional<json>();
    if (!body) return Error(body.error()).While("reading " + resource.kind + " " + options_.pool);
    auto pool = Parse(*body);
    if (!pool) return std::move(pool).error();
    return std::optional<json>(*std::move(pool));
  }

  Status FindPool() {
    using crds::v1alpha1::InferencePoolResource;
    using crds::v1alpha1::TrainingPoolResource;
    for (const kube::Resource* kind : {&TrainingPoolResource(), &InferencePoolResource()}) {
      if (!options_.kind.empty() && options_.kind != kind->kind) continue;
      auto pool = GetPool(*kind);
      if (!pool) return std::move(pool).error();
      if (!*pool) continue;
      if (resource_ != nullptr) {
        return Error{Code::kInvalid,
                     fmt::format("there is a TrainingPool and an InferencePool {}/{}: say which "
                                 "with --kind",
                                 options_.ns, options_.pool)};
      }
      resource_ = kind;
      uid_ = (**pool)["metadata"]["uid"];
    }
    if (resource_ == nullptr) {
      return Error{
          Code::kInvalid,
          fmt::format("there is no {} {}/{}",
                      options_.kind.empty() ? "TrainingPool or InferencePool" : options_.kind,
                      options_.ns, options_.pool)};
    }
    return Ok{};
  }

  Result<std::vector<Child>> Children() {
    std::vector<Child> out;
    for (const kube::Resource* kind :
         {&kube::JobResource(), &kube::DeploymentResource(), &kube::ServiceResource(),
          &kube::PodDisruptionBudgetResource()}) {
      kube::ListOptions list;
      list.ns = options_.ns;
      do {
        const auto body = client_.List(*kind, list, {});
        if (!body) return Error(body.error()).While("listing " + kind->plural);
        const auto page = Parse(*body);
        if (!page) return page.error();
        for (const json& one : page->value("items", json::array())) {
          if (controllers::BelongsTo(one, uid_)) out.push_back({kind, one});
        }
        const json::json_pointer next("/metadata/continue");
        list.continue_token = page->value(next, "");
      } while (!list.continue_token.empty());
    }
    return out;
  }

  // Tries until it is done, as long as what is there keeps changing.
  template <class Try>
  Status Insist(const std::string& what, Try&& once) {
    while (true) {
      Result<bool> done = once();
      if (done && *done) return Ok{};
      if (!done && !LookAgain(done.error())) return std::move(done).error().While(what);
      if (clock_.Elapsed() >= until_) {
        const std::string why = done ? "it is not done" : done.error().message;
        return Error{Code::kUnavailable,
                     fmt::format("{}: not within {} s ({}); run the command again", what,
                                 kLongest.count(), why)};
      }
      std::this_thread::sleep_for(kPause);
    }
  }

  Result<bool> PatchPool(const std::string& patch) {
    const auto done = client_.Patch(*resource_, options_.ns, options_.pool, patch,
                                    {controllers::kFieldManager}, {});
    if (!done) return done.error();
    return true;
  }

  Status Hold() {
    return Insist("holding " + PoolName(), [&]() -> Result<bool> {
      auto pool = GetPool(*resource_);
      if (!pool) return std::move(pool).error();
      // It has gone by itself: what it leaves is let go of all the same.
      if (!*pool || (**pool)["metadata"]["uid"] != uid_) return true;
      if (controllers::HasReleaseFinalizer(**pool)) return true;
      if ((**pool)["metadata"].contains("deletionTimestamp")) {
        return Error{Code::kInternal, "somebody else is deleting it already"};
      }
      return PatchPool(controllers::PatchToHold(**pool));
    });
  }

  Status Delete() {
    kube::DeleteOptions how;
    how.uid = uid_;
    how.propagation = "Orphan";
    return Insist("deleting " + PoolName(), [&]() -> Result<bool> {
      Status done = client_.Delete(*resource_, options_.ns, options_.pool, how, {});
      // Another pool by now: this one has gone.
      const bool gone =
          !done && (done.error().code == Code::kNotFound || done.error().code == Code::kConflict);
      if (!done && !gone) return std::move(done).error();
      return true;
    });
  }

  Status LetGo() {
    return Insist("letting go of the children of " + PoolName(), [&]() -> Result<bool> {
      auto children = Children();
      if (!children) return std::move(children).error();
      for (const Child& child : *children) {
        const auto done = client_.Patch(*child.resource, options_.ns, child.Name(),
                                        controllers::PatchToLetGo(child.object, uid_),
                                        {controllers::kFieldManager}, {});
        if (!done) return done.error();
        Say("let go of", child.Print());
      }
      return children->empty();
    });
  }

  Status Unhold() {
    return Insist("ending " + PoolName(), [&]() -> Result<bool> {
      auto pool = GetPool(*resource_);
      if (!pool) return std::move(pool).error();
      if (!*pool || (**pool)["metadata"]["uid"] != uid_) return true;
      if (!controllers::HasReleaseFinalizer(**pool)) return false;  // the cluster's own turn
      Result<bool> done = PatchPool(controllers::PatchToUnhold(**pool));
      if (!done) return done;
      return false;
    });
  }

  // Pods of a Job are never made anew; those of a Deployment are.
  void TellOfPriorityClass() const {
    if (resource_->kind != "InferencePool") return;
    std::cout << fmt::format(
        "note: its Deployments name the PriorityClass {0}, without which no pod of theirs can be "
        "made anew. helm uninstall keeps it; should it go: kubectl create priorityclass {0} "
        "--value=0 --preemption-policy=Never\n",
        controllers::kServingPriorityClass);
  }

  kube::Client& client_;
  Clock& clock_;
  const ReleaseOptions& options_;
  std::chrono::nanoseconds until_;
  const kube::Resource* resource_ = nullptr;
  std::string uid_;
};

}  // namespace

int Release(const ReleaseOptions& options) {
  auto connection = Connection::Open(options.where);
  Status done = connection ? Releaser(**connection, options).Run() : Status(connection.error());
  if (done) return 0;
  std::cerr << "spillway: " << done.error().message << "\n";
  return 1;
}

}  // namespace spillway::cli
