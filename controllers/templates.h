#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/quantity.h"
#include "crds/v1alpha1/inference_pool.h"
#include "crds/v1alpha1/training_pool.h"
#include "kube/client.h"
#include "placement/snapshot.h"

namespace spillway::controllers {

// What the planner needs to know of a pod template.
struct PodShape {
  Resources requests;  // of the pod as admitted, "pods": 1 included
  std::vector<placement::Toleration> tolerations;
  std::vector<std::vector<placement::Requirement>> node_terms;
  // Requests of the first container by name, as the template itself says: a value there must agree
  // with acceleratorsPerWorker.
  Resources first_container;
  // What the pod as admitted requests without its first container, which gets the accelerators.
  Resources others;
  bool operator==(const PodShape&) const = default;
};

// The API server's answer about a template.
struct TemplateAnswer {
  enum class State { kPending, kValid, kInvalid } state = State::kPending;
  // With kValid as admitted. Where a ResourceQuota is in the way, as the template itself says: good
  // enough for a gang whose template had been taken before.
  PodShape shape;
  // One sentence: with kInvalid why; with kPending which ResourceQuota lets no pod be tried, if one
  // does.
  std::string message;
};

// A pod template and whose it is.
struct TemplateSubject {
  std::string ns;
  std::string pool;
  std::string variant;  // of an inference pool; empty: the workers of a gang
  std::string pod_template;
  [[nodiscard]] bool Serves() const { return !variant.empty(); }
};
TemplateSubject SubjectOf(const crds::v1alpha1::TrainingPool& pool);
TemplateSubject SubjectOf(const crds::v1alpha1::InferencePool& pool,
                          const crds::v1alpha1::VariantSpec& variant);

// What a template may not say, found without asking anybody; empty: nothing. One sentence.
std::string RefuseTemplate(const TemplateSubject& subject);
// The Pod that stands for a pool in the dry run.
std::string DryRunPod(const TemplateSubject& subject);
// The shape of an admitted pod.
Result<PodShape> ShapeOf(const std::string& pod_json, const std::string& pod_template);

// What the API server's reply to the dry run means; kPending: nothing, it has to be asked again.
TemplateAnswer AnswerOf(const Result<std::string>& reply, const std::string& pod_template);

// Asks the API server, by server-side dry run of one Pod with strict validation, whether it would
// take a pool's pods and what they then request. Answers are kept per namespace and template.
// A refusal is asked about again after a minute: the namespace's policies may have changed. A full
// ResourceQuota is no answer about the template, and is asked about again sooner.
// Ask is called by the deciding thread; the questions are put on a thread of its own.
class TemplateChecker {
 public:
  static constexpr std::chrono::seconds kAskAgain{60};
  static constexpr std::chrono::seconds kAskAgainForQuota{10};

  TemplateChecker(kube::Client& client, Clock& clock, Log& log, std::function<void()> on_answer);
  ~TemplateChecker() = default;
  TemplateChecker(const TemplateChecker&) = delete;
  TemplateChecker& operator=(const TemplateChecker&) = delete;

  // Asks no more; `on_answer` is not called again. Before what that uses goes.
  void Stop();

  TemplateAnswer Ask(const TemplateSubject& subject);
  // Waits until every question has been put once, whatever came of it, or was first asked for
  // longer than `wait` ago; `beat` is called now and then. False: there was none to wait for, and
  // none that Ask had no answer to has been put since then.
  bool WaitForAnswers(std::chrono::seconds wait, const std::function<void()>& beat,
                      const std::stop_token& stop);
  // How long after such an answer it is asked again; nullopt: it is not.
  static std::optional<std::chrono::seconds> AsksAgainAfter(const TemplateAnswer& answer);
  // Forgets what nobody has asked about since it was called last.
  void ForgetUnasked();
  static std::string KeyOf(const TemplateSubject& subject);

 private:
  struct Entry {
    std::string refusal;  // ours, for good; empty: the API server is asked
    TemplateAnswer answer;
    std::chrono::nanoseconds asked{0};
    bool queued = false;
    bool put = false;                   // at least once
    std::chrono::nanoseconds since{0};  // first asked
    uint64_t round = 0;                 // when it was last asked about
  };
  struct Question {
    std::string key;
    std::string ns;
    std::string pod;
    std::string pod_template;
  };
  void Run(const std::stop_token& stop);
  bool Take(Question question, TemplateAnswer answer, const std::stop_token& stop);
  // Both with mutex_ held.
  [[nodiscard]] bool AwaitsAny(std::chrono::seconds wait) const;
  [[nodiscard]] bool HasNewQuestion() const;
  TemplateAnswer Put(const Question& question, const std::stop_token& stop);

  kube::Client& client_;
  Clock& clock_;
  Log& log_;
  const std::function<void()> on_answer_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::condition_variable_any put_;
  std::unordered_map<std::string, Entry> entries_;
  std::set<std::string> unput_;  // keys of entries that no question has been put for, but is to be
  std::set<std::string> open_;   // those of them that Ask was asked about since the last wait
  uint64_t round_ = 0;           // how often what was unasked has been forgotten
  std::deque<Question> questions_;
  std::jthread thread_;  // last: stops first
};

}  // namespace spillway::controllers
