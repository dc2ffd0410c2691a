#pragma once

#include <optional>
#include <string>

#include "kube/client.h"
#include "kube/object_meta.h"

namespace spillway::kube {

// The facts of a Job. Its Complete and Failed conditions are what ends an attempt.
struct Job {
  ObjectMeta meta;
  int active = 0;
  int ready = 0;
  int succeeded = 0;
  int failed = 0;
  bool complete = false;          // condition Complete=True
  bool failed_condition = false;  // condition Failed=True or FailureTarget=True
  std::string failure_reason;
  std::string failure_message;
  std::optional<Time> finished;  // when the first of these conditions turned True
  bool operator==(const Job&) const = default;
};
Status DecodeJob(JsonValue value, Job& out);

// An object of which only the metadata matters.
struct MetaOnly {
  ObjectMeta meta;
  bool operator==(const MetaOnly&) const = default;
};
Status DecodeMetaOnly(JsonValue value, MetaOnly& out);

struct PriorityClass {
  ObjectMeta meta;
  int64_t value = 0;
  bool global_default = false;
  bool operator==(const PriorityClass&) const = default;
};
Status DecodePriorityClass(JsonValue value, PriorityClass& out);

const Resource& JobResource();
const Resource& ServiceResource();
const Resource& PodDisruptionBudgetResource();
const Resource& PriorityClassResource();
const Resource& LeaseResource();
const Resource& EventResource();  // events.k8s.io/v1

}  // namespace spillway::kube
