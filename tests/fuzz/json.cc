// Objects as an API server sends them, and what a credential plugin answers. No text crashes a
// decoder, the same text decodes to the same facts, and whatever is JSON can be walked through.
#include "kube/json.h"

#include <nlohmann/json.hpp>

#include "crds/v1alpha1/inference_pool.h"
#include "crds/v1alpha1/node_group.h"
#include "crds/v1alpha1/pool_quota.h"
#include "crds/v1alpha1/training_pool.h"
#include "kube/exec_plugin.h"
#include "kube/types/companion.h"
#include "kube/types/deployment.h"
#include "kube/types/job.h"
#include "kube/types/node.h"
#include "kube/types/pod.h"
#include "tests/fuzz/property.h"

namespace spillway::fuzz {
namespace {

using kube::JsonParser;
using kube::JsonValue;

// Reads the document from its start twice, as the reflector does with an event.
template <class T, class Decode>
void Object(JsonParser& parser, std::string_view text, Decode decode) {
  T first{};
  T second{};
  Result<JsonValue> root = parser.Parse(text);
  if (!root) return;
  const Status done = decode(*root, first);
  Require(done || !done.error().message.empty(), "an error says what is wrong");
  root = parser.Again();
  Require(root || !done, "what was decoded can be read again");
  if (!root) return;
  const Status again = decode(*root, second);
  Require(done.ok() == again.ok() && first == second, "a document decodes the same again");
}

// One of our kinds: the status that we would write of it is read, and written the same again.
template <class T>
void OurObject(JsonParser& parser, std::string_view text, Status (*decode)(JsonValue, T&)) {
  Object<T>(parser, text, decode);
  Result<JsonValue> root = parser.Parse(text);
  T object{};
  if (!root || !decode(*root, object)) return;
  const std::string written = EncodeStatusUpdate(object, object.status);
  root = parser.Parse(written);
  Require(root.ok(), "what is written is JSON", written);
  T again{};
  const Status read = decode(*root, again);
  Require(read.ok(), "what is written can be read", read ? "" : read.error().message);
  Require(EncodeStatusUpdate(again, again.status) == written, "it is written the same", written);
}

void Objects(JsonParser& parser, std::string_view text) {
  namespace crds = crds::v1alpha1;
  Object<kube::Node>(parser, text, [](JsonValue value, kube::Node& out) {
    return kube::DecodeNode(value, "spillway.dev/", out);
  });
  Object<kube::NodeDetails>(parser, text, kube::DecodeNodeDetails);
  Object<kube::Pod>(parser, text, [](JsonValue value, kube::Pod& out) {
    return kube::DecodePod(value, "spillway.dev/", out);
  });
  Object<Resources>(parser, text, kube::DecodePodRequests);
  Object<kube::Deployment>(parser, text, kube::DecodeDeployment);
  Object<kube::Job>(parser, text, kube::DecodeJob);
  Object<kube::MetaOnly>(parser, text, kube::DecodeMetaOnly);
  Object<kube::Companion>(parser, text, kube::DecodeCompanion);
  Object<kube::PriorityClass>(parser, text, kube::DecodePriorityClass);
  OurObject<crds::NodeGroup>(parser, text, crds::DecodeNodeGroup);
  OurObject<crds::TrainingPool>(parser, text, crds::DecodeTrainingPool);
  OurObject<crds::InferencePool>(parser, text, crds::DecodeInferencePool);
  OurObject<crds::PoolQuota>(parser, text, crds::DecodePoolQuota);
}

// Every value once, with the function that is for its type.
Status Walk(JsonValue value) {
  using Type = simdjson::ondemand::json_type;
  Type type{};
  if (value.type().get(type) != simdjson::SUCCESS) return kube::JsonError("has no type");
  switch (type) {
    case Type::object:
      return kube::VisitObject(value, [](std::string_view, JsonValue one) { return Walk(one); });
    case Type::array:
      return kube::VisitArray(value, [](JsonValue one) { return Walk(one); });
    case Type::boolean: {
      bool truth = false;
      return kube::Read(value, truth);
    }
    case Type::null:
      return kube::IsNull(value) ? Status(Ok{}) : kube::JsonError("is no null");
    default: {
      std::string text;
      return kube::ReadScalarText(value, text);
    }
  }
}

// Each list of scalars, each scalar as each type; only that nothing crashes.
Status ReadAsAnything(JsonValue value) {
  return kube::VisitObject(value, [](std::string_view key, JsonValue one) -> Status {
    std::optional<int> number;
    std::optional<int64_t> wide;
    std::optional<bool> truth;
    std::optional<std::string> text;
    std::optional<Time> time;
    std::vector<std::string> texts;
    std::vector<int> numbers;
    kube::TextMap map;
    std::string raw;
    switch (key.empty() ? 0 : key.front()) {
      case 'n':
        return kube::Read(one, number);
      case 'w':
        return kube::Read(one, wide);
      case 'b':
        return kube::Read(one, truth);
      case 's':
        return kube::Read(one, text);
      case 't':
        return kube::Read(one, time);
      case 'l':
        return kube::Read(one, texts);
      case 'i':
        return kube::Read(one, numbers);
      case 'm':
        return kube::Read(one, map);
      default:
        return kube::ReadRaw(one, raw);
    }
  });
}

// Is it a JSON object, by another reader's word? Nested no deeper than ours goes. That reader takes
// a NUL for the end of the text; RFC 8259 has it nowhere.
bool IsJsonObject(std::string_view text) {
  constexpr int kDepth = 500;
  if (text.find('\0') != std::string_view::npos) return false;
  bool too_deep = false;
  const auto look = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    too_deep = too_deep || depth > kDepth;
    return true;
  };
  const auto json = nlohmann::json::parse(text, look, false);
  return json.is_object() && !too_deep;
}

}  // namespace
}  // namespace spillway::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace spillway;
  const std::string_view text = fuzz::TextOf(data, size);
  static kube::JsonParser parser;  // the buffers of the documents before are part of the test
  const bool json = fuzz::IsJsonObject(text);
  if (parser.Parse(text)) {
    fuzz::Objects(parser, text);
    (void)fuzz::ReadAsAnything(*parser.Parse(text));
    const Status walked = fuzz::Walk(*parser.Parse(text));
    fuzz::Require(walked || !json, "what is JSON can be read",
                  walked ? "" : walked.error().message);
  } else {
    fuzz::Require(!json, "what is a JSON object is taken", text);
  }
  (void)kube::ParseExecCredential(text, "client.authentication.k8s.io/v1");
  return 0;
}
