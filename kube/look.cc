#include "kube/look.h"

#include <set>
#include <string_view>
#include <utility>

#include "kube/json.h"
#include "kube/list_page.h"
#include "kube/object_key.h"
#include "kube/object_meta.h"

namespace spillway::kube {
namespace {

constexpr int kPage = 500;

}  // namespace

Look::Look(Client& client, Clock& clock, Options options)
    : client_(client),
      clock_(clock),
      options_(std::move(options)),
      thread_(options_.beside ? std::jthread([this](const std::stop_token& ended) { Run(ended); })
                              : std::jthread()) {
  if (!options_.beside) Run({});
}

void Look::Run(const std::stop_token& stop) {
  answer_ = List(stop);
  done_.store(true, std::memory_order_release);
}

const Result<Look::Sample>* Look::Answer() const {
  return done_.load(std::memory_order_acquire) ? &*answer_ : nullptr;
}

bool Look::Agrees(const Contents& held) const {
  const Sample& there = **answer_;
  std::set<std::string> later;
  for (const auto& [key, version] : touched_) {
    if (NewerVersion(version, there.version)) later.insert(key);
  }
  return held.Equals(there.contents, later);
}

Result<Look::Sample> Look::List(const std::stop_token& stop) {
  ListOptions query;
  query.label_selector = options_.label_selector;
  query.field_selector = options_.field_selector;
  query.limit = kPage;
  query.metadata_only = true;
  Sample sample;
  const auto add = [&](JsonValue item) -> Status {
    return VisitObject(item, [&](std::string_view key, JsonValue value) -> Status {
      if (key != "metadata") return Ok{};
      Identity meta;
      if (Status done = ReadIdentity(value, meta); !done) return done;
      sample.contents.Add(Key(meta), meta.resource_version);
      return Ok{};
    });
  };
  JsonParser parser;
  const std::chrono::nanoseconds began = clock_.Elapsed();
  do {
    if (clock_.Elapsed() - began > options_.longest) {
      return Error{Code::kUnavailable, "the server takes too long"};
    }
    Result<std::string> body = client_.List(options_.resource, query, stop);
    if (!body) return std::move(body).error();
    Result<ListPage> page = ReadListPage(*body, parser, add);
    if (!page) return std::move(page).error();
    if (Status good = CheckKind(*page, options_.resource, true); !good) {
      return std::move(good).error();
    }
    sample.version = page->version;
    query.continue_token = page->next;
  } while (!query.continue_token.empty());
  return sample;
}

}  // namespace spillway::kube
