#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "controllers/stores.h"
#include "kube/client.h"
#include "kube/reflector.h"

namespace spillway::controllers {

// Keeps the stores of one cluster equal to its API server: one reflector and one thread a kind.
class Watching {
 public:
  // `stream_lists`: as kube::Reflector::Options has it.
  Watching(Stores& stores, kube::Client& client, Clock& clock, Log& log, MetricsRegistry& registry,
           bool stream_lists = false);
  ~Watching();
  Watching(const Watching&) = delete;
  Watching& operator=(const Watching&) = delete;

  void Start();
  void Stop();
  // Publishes how many objects there are of each kind, and what they take. Called when the metrics
  // are read.
  void Refresh() const;

 private:
  template <class T>
  void Add(kube::Store<T>& store, const kube::Resource& resource, const std::string& selector,
           typename kube::StoreSink<T>::Decode decode);
  kube::ReflectorHooks Hooks(const std::string& resource);
  std::map<std::string, Counter, std::less<>> ByReason(const std::string& name,
                                                       const std::string& help,
                                                       const std::string& resource,
                                                       std::initializer_list<const char*> reasons);

  kube::Client& client_;
  Clock& clock_;
  Log& log_;
  MetricsRegistry& registry_;
  const bool stream_lists_;
  std::vector<std::function<void()>> counts_;  // each publishes that of one kind
  std::vector<std::unique_ptr<kube::ObjectSink>> sinks_;
  std::vector<std::unique_ptr<kube::Reflector>> reflectors_;
  std::vector<std::jthread> threads_;  // last: they use the above
};

}  // namespace spillway::controllers
