#include "controllers/applier.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "controllers/leaving_nodes.h"
#include "controllers/names.h"
#include "kube/json.h"
#include "kube/types/job.h"
#include "kube/types/node.h"

namespace spillway::controllers {
namespace {

Result<kube::ObjectMeta> MetaOf(const std::string& body) {
  kube::JsonParser parser;
  auto root = parser.Parse(body);
  if (!root) return std::move(root).error();
  kube::MetaOnly object;
  if (Status read = kube::DecodeMetaOnly(*root, object); !read) return std::move(read).error();
  return object.meta;
}

NameTaken Taken(const kube::Resource& resource, const std::string& ns, const std::string& name,
                const kube::ObjectMeta& meta) {
  const std::string whose =
      meta.controller.Get().uid.empty()
          ? std::string("is nobody's that Spillway knows")
          : fmt::format("belongs to {} {}", meta.controller.Get().kind, meta.controller.Get().name);
  return {
      &resource, ns, name,
      fmt::format("{} {}/{} exists and {}, and Spillway does not touch it: rename or remove it, "
                  "or give the pool another name",
                  resource.kind, ns, name, whose)};
}

}  // namespace

Result<std::optional<NameTaken>> LookUpName(kube::Client& client, const kube::Resource& resource,
                                            const std::string& ns, const std::string& name,
                                            const std::string& owner_uid,
                                            const std::stop_token& stop) {
  const auto existing = client.Get(resource, ns, name, stop);
  if (!existing && existing.error().code == Code::kNotFound) return std::optional<NameTaken>();
  if (!existing) return existing.error();
  const auto meta = MetaOf(*existing);
  if (!meta) return meta.error();
  if (meta->controller.Get().uid == owner_uid) return std::optional<NameTaken>();
  return std::optional<NameTaken>(Taken(resource, ns, name, *meta));
}

Applier::Applier(kube::Client client, Log& log, int threads, std::function<void()> after_write)
    : client_(std::move(client)),
      log_(log),
      threads_(threads),
      after_write_(std::move(after_write)) {}

std::vector<Outcome> Applier::Apply(const std::vector<WriteList>& lists,
                                    const std::stop_token& stop) {
  std::vector<Outcome> outcomes(lists.size());
  if (lists.size() == 1) {
    outcomes[0] = ApplyList(lists[0], stop);
    return outcomes;
  }
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < lists.size(); i = next++) outcomes[i] = ApplyList(lists[i], stop);
  };
  std::vector<std::jthread> workers;
  const size_t count = std::min(lists.size(), static_cast<size_t>(threads_));
  workers.reserve(count);
  for (size_t i = 0; i < count; ++i) workers.emplace_back(work);
  workers.clear();  // joins
  return outcomes;
}

Outcome Applier::ApplyList(const WriteList& list, const std::stop_token& stop) {
  Outcome outcome;
  for (const Write& write : list.writes) {
    const bool goes_on = ApplyOne(write, outcome, stop);
    after_write_();
    if (!goes_on) break;
    ++outcome.done;
  }
  if (outcome.error && outcome.error->code != Code::kCancelled) {
    const bool expected = outcome.error->code == Code::kConflict;
    const std::initializer_list<LogField> fields = {{"object", list.key},
                                                    {"code", CodeName(outcome.error->code)},
                                                    {"error", outcome.error->message}};
    expected ? log_.Debug("write refused", fields) : log_.Warn("write failed", fields);
  }
  return outcome;
}

bool Applier::Written(const Write& write, Result<std::string> answer, Outcome& outcome) {
  if (!answer) {
    outcome.error = std::move(answer).error().While(
        fmt::format("writing {} {}/{}", write.resource->kind, write.ns, write.name));
    return false;
  }
  if (const auto meta = MetaOf(*answer)) {
    outcome.versions.emplace_back(write.resource, meta->resource_version);
  }
  return true;
}

bool Applier::ApplyOne(const Write& write, Outcome& outcome, const std::stop_token& stop) {
  switch (write.verb) {
    case Write::Verb::kStatus:
      outcome.status_written = Written(write,
                                       client_.UpdateStatus(*write.resource, write.ns, write.name,
                                                            write.body, {kStatusManager}, stop),
                                       outcome);
      return outcome.status_written;
    case Write::Verb::kConfirm:
      return Confirm(write, outcome, stop);
    case Write::Verb::kCreate:
      return Create(write, outcome, stop);
    case Write::Verb::kPatch:
      return Written(
          write,
          client_.Patch(*write.resource, write.ns, write.name, write.body, {kFieldManager}, stop),
          outcome);
    case Write::Verb::kDelete:
      return Delete(write, outcome, stop);
    case Write::Verb::kCollect:
      return Collect(write, outcome, stop);
    case Write::Verb::kProbe:
      return Probe(write, outcome, stop);
    case Write::Verb::kScale:
      outcome.target = LookAtTarget(client_, *write.wish, after_write_, stop);
      for (const std::string& version : outcome.target->node_versions) {
        outcome.versions.emplace_back(&kube::NodeResource(), version);
      }
      return true;
    case Write::Verb::kRelease:
      return Release(write, outcome, stop);
  }
  return false;
}

bool Applier::Create(const Write& write, Outcome& outcome, const std::stop_token& stop) {
  Result<std::string> answer =
      client_.Create(*write.resource, write.ns, write.body, {kFieldManager}, stop);
  if (answer || answer.error().code != Code::kExists) {
    return Written(write, std::move(answer), outcome);
  }
  Result<std::string> existing = client_.Get(*write.resource, write.ns, write.name, stop);
  if (!existing) return Written(write, std::move(existing), outcome);
  const auto meta = MetaOf(*existing);
  if (!meta) {
    outcome.error = meta.error();
    return false;
  }
  if (meta->controller.Get().uid == write.owner_uid && !meta->deleted) {
    return Written(write, std::move(existing), outcome);  // ours: written before, not seen yet
  }
  if (meta->controller.Get().uid == write.owner_uid) {
    outcome.error = Error{Code::kConflict, write.name + " is still being deleted"};
    return false;
  }
  outcome.taken = Taken(*write.resource, write.ns, write.name, *meta);
  return false;
}

bool Applier::Delete(const Write& write, Outcome& outcome, const std::stop_token& stop) {
  Status done = client_.Delete(*write.resource, write.ns, write.name, write.deletion, stop);
  // Gone already, or another object by now: what had to go is gone. Where its state mattered, it
  // may also be there in another one, for the next pass to look at.
  const bool as_seen = !write.deletion.resource_version.empty();
  const bool gone = !done && (done.error().code == Code::kNotFound ||
                              (done.error().code == Code::kConflict && !as_seen));
  if (!done && !gone) {
    outcome.error = std::move(done).error().While(
        fmt::format("deleting {} {}/{}", write.resource->kind, write.ns, write.name));
    return false;
  }
  outcome.deleted_uids.push_back(write.deletion.uid);
  return true;
}

// What the caches say of two pools of one name may be old news of either. Asked now, after the
// child has been seen, the API server knows which of them is there; the other never comes back.
// A pool that is gone is news that is on its way, as a conflict is.
bool Applier::Confirm(const Write& write, Outcome& outcome, const std::stop_token& stop) {
  auto there = client_.Get(*write.resource, write.ns, write.name, stop);
  if (!there && there.error().code != Code::kNotFound) {
    outcome.error = std::move(there).error().While(fmt::format(
        "looking whether {} {}/{} is there", write.resource->kind, write.ns, write.name));
    return false;
  }
  if (there) {
    const auto pool = MetaOf(*there);
    if (pool && pool->uid == write.owner_uid && !pool->deleted) return true;
  }
  outcome.error = Error{Code::kConflict, fmt::format("{} {}/{} is gone by now",
                                                     write.resource->kind, write.ns, write.name)};
  return false;
}

bool Applier::Collect(const Write& write, Outcome& outcome, const std::stop_token& stop) {
  auto there = client_.Get(*write.owner_kind, write.ns, write.owner_name, stop);
  if (!there) return Written(write, std::move(there), outcome);
  const auto pool = MetaOf(*there);
  if (!pool || pool->uid != write.owner_uid) {
    outcome.error = Error{Code::kConflict, write.owner_name + " is another pool by now"};
    return false;
  }
  return Delete(write, outcome, stop);
}

bool Applier::Release(const Write& write, Outcome& outcome, const std::stop_token& stop) {
  auto version = ReleaseNode(client_, write.name, stop);
  if (!version) {
    outcome.error = std::move(version).error().While(fmt::format("releasing node {}", write.name));
    return false;
  }
  if (*version) outcome.versions.emplace_back(write.resource, **version);
  return true;
}

bool Applier::Probe(const Write& write, Outcome& outcome, const std::stop_token& stop) {
  const auto taken =
      LookUpName(client_, *write.resource, write.ns, write.name, write.owner_uid, stop);
  outcome.probe_free = taken.ok() && !*taken;
  return true;
}

}  // namespace spillway::controllers
