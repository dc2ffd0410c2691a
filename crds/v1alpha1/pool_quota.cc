#include "crds/v1alpha1/pool_quota.h"

#include "crds/v1alpha1/encode.h"

namespace spillway::crds::v1alpha1 {
namespace {

using kube::JsonValue;
using kube::Read;
using kube::ReadList;
using kube::VisitObject;

Status DecodeLimit(JsonValue value, QuotaLimit& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "type") return Read(field, out.type);
    if (key == "limit") return Read(field, out.limit);
    if (key == "guaranteed") return Read(field, out.guaranteed);
    return Ok{};
  });
}

Status DecodeUse(JsonValue value, QuotaUseStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "type") return Read(field, out.type);
    if (key == "used") return Read(field, out.used);
    if (key == "limit") return Read(field, out.limit);
    if (key == "guaranteed") return Read(field, out.guaranteed);
    if (key == "borrowed") return Read(field, out.borrowed);
    if (key == "lent") return Read(field, out.lent);
    return Ok{};
  });
}

Status DecodeBudget(JsonValue value, BudgetSpec& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "amount") return Read(field, out.amount);
    if (key == "period") return Read(field, out.period);
    if (key == "atLimit") return Read(field, out.at_limit);
    return Ok{};
  });
}

Status DecodeSpend(JsonValue value, SpendSpec& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "maxHourlyCost") return Read(field, out.max_hourly_cost);
    if (key == "budget") return DecodeBudget(field, out.budget.emplace());
    return Ok{};
  });
}

Status DecodeSpec(JsonValue value, PoolQuotaSpec& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "accelerators") return ReadList(field, out.accelerators, DecodeLimit);
    if (key == "weight") return Read(field, out.weight);
    if (key == "priorityClasses") {
      out.priority_classes.emplace();
      return Read(field, *out.priority_classes);
    }
    if (key == "spend") return DecodeSpend(field, out.spend);
    return Ok{};
  });
}

Status DecodeStatus(JsonValue value, PoolQuotaStatus& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "observedGeneration") return Read(field, out.observed_generation);
    if (key == "accelerators") return ReadList(field, out.accelerators, DecodeUse);
    if (key == "hourlyCost") return Read(field, out.hourly_cost);
    if (key == "budgetSpent") return Read(field, out.budget_spent);
    if (key == "asOf") return Read(field, out.as_of);
    if (key == "periodStart") return Read(field, out.period_start);
    if (key == "conditions") {
      return ReadList(field, out.conditions,
                      [](JsonValue v, Condition& c) { return Decode(v, c); });
    }
    return Ok{};
  });
}

}  // namespace

const kube::Resource& PoolQuotaResource() {
  static const kube::Resource kResource{kGroup, kVersion, "poolquotas", "PoolQuota", true};
  return kResource;
}

Status DecodePoolQuota(JsonValue value, PoolQuota& out) {
  return VisitObject(value, [&](std::string_view key, JsonValue field) -> Status {
    if (key == "metadata") return kube::DecodeMeta(field, out.meta, {});
    if (key == "spec") return DecodeSpec(field, out.spec);
    if (key == "status") return DecodeStatus(field, out.status);
    return Ok{};
  });
}

std::string EncodeStatusUpdate(const PoolQuota& object, const PoolQuotaStatus& status) {
  using detail::Json;
  Json body = detail::StatusUpdateEnvelope(PoolQuotaResource(), object.meta);
  std::vector<Json> uses;
  for (const QuotaUseStatus& use : status.accelerators) {
    Json one = {{"type", use.type}, {"used", use.used}};
    if (use.limit) one["limit"] = *use.limit;
    if (use.guaranteed > 0) one["guaranteed"] = use.guaranteed;
    if (use.borrowed > 0) one["borrowed"] = use.borrowed;
    if (use.lent > 0) one["lent"] = use.lent;
    uses.push_back(std::move(one));
  }
  body["status"] = {{"observedGeneration", status.observed_generation},
                    {"conditions", detail::EncodeConditions(status.conditions)}};
  detail::PutList(body["status"], "accelerators", uses);
  detail::Put(body["status"], "hourlyCost", status.hourly_cost);
  detail::Put(body["status"], "budgetSpent", status.budget_spent);
  detail::Put(body["status"], "asOf", status.as_of);
  detail::Put(body["status"], "periodStart", status.period_start);
  return body.dump();
}

}  // namespace spillway::crds::v1alpha1
