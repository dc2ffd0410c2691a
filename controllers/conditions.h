#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crds/v1alpha1/common.h"
#include "placement/reason.h"
#include "placement/words.h"

namespace spillway::controllers {

// Builds the conditions of one object, in the order they are set.
class Conditions {
 public:
  Conditions(const std::vector<crds::v1alpha1::Condition>& old, int64_t generation, Time now)
      : old_(old), generation_(generation), now_(now) {}

  void Set(const char* type, bool holds, std::string_view reason, std::string message) {
    Add(type, holds ? "True" : "False", reason, std::move(message));
  }
  void Set(const char* type, bool holds, placement::Reason reason, std::string message) {
    Set(type, holds, placement::ReasonName(reason), std::move(message));
  }
  void SetUnknown(const char* type, placement::Reason reason, std::string message) {
    Add(type, "Unknown", placement::ReasonName(reason), std::move(message));
  }
  // What was said of this generation before; false: nothing.
  bool Keep(const char* type) {
    const crds::v1alpha1::Condition* was = crds::v1alpha1::FindCondition(old_, type);
    if (was == nullptr || was->observed_generation != generation_) return false;
    all_.push_back(*was);
    return true;
  }
  std::vector<crds::v1alpha1::Condition> Take() { return std::move(all_); }

 private:
  void Add(const char* type, const char* status, std::string_view reason, std::string message) {
    crds::v1alpha1::Condition condition{
        type, status, std::string(reason), placement::Short(std::move(message)), now_, generation_};
    const crds::v1alpha1::Condition* was = crds::v1alpha1::FindCondition(old_, type);
    if (was != nullptr && was->status == condition.status) condition.changed = was->changed;
    all_.push_back(std::move(condition));
  }

  const std::vector<crds::v1alpha1::Condition>& old_;
  int64_t generation_;
  Time now_;
  std::vector<crds::v1alpha1::Condition> all_;
};

// Two statuses mean the same when only messages and counts differ.
bool SameMeaning(const std::vector<crds::v1alpha1::Condition>& a,
                 const std::vector<crds::v1alpha1::Condition>& b);

}  // namespace spillway::controllers
