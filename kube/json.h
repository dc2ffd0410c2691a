#pragma once

#include <simdjson.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

// Decoding JSON into facts, one pass, nothing kept of what is not read. On top of simdjson's
// On-Demand parser: a value can be consumed once, in order. Wrong types are errors that name the
// path ("spec.tier: is no integer"); null is the same as absent; unknown fields are skipped.
namespace spillway::kube {

using JsonValue = simdjson::ondemand::value;

// Labels and the like, which are looked up without a copy of the key.
using TextMap = std::map<std::string, std::string, std::less<>>;

// A text with the padding that the parser needs, and the parser's buffers. Not thread-safe; reuse
// it for many documents. Values are valid until the next Parse.
class JsonParser {
 public:
  // The document's root, an object or a list. kInvalid also where the text does not end as such.
  Result<JsonValue> Parse(std::string_view text);
  // The same without a copy, for a text that stays as it is for as long as values are used. It may
  // get more capacity.
  Result<JsonValue> ParseInPlace(std::string& text);

  // The same document from its start again, without a second parse. Values handed out before are no
  // longer valid. kInvalid: what was read of it is no JSON. REQUIRES: Parse succeeded.
  Result<JsonValue> Again();

 private:
  simdjson::ondemand::parser parser_;
  std::string text_;  // of Parse
  simdjson::ondemand::document document_;
};

// A kInvalid error that says what is wrong with a value; At puts the path in front.
Status JsonError(std::string_view what);
// "spec" + "tier: is no integer" -> "spec.tier: is no integer"; "spec" + "is no object" ->
// "spec: is no object"; "taints" + "[0].key: …" -> "taints[0].key: …".
Error At(std::string_view where, Error error);

Status Read(JsonValue value, std::string& out);
Status Read(JsonValue value, bool& out);
Status Read(JsonValue value, int64_t& out);
Status Read(JsonValue value, int& out);
Status Read(JsonValue value, std::optional<int64_t>& out);
Status Read(JsonValue value, std::optional<int>& out);
Status Read(JsonValue value, std::optional<std::string>& out);
Status Read(JsonValue value, std::optional<bool>& out);
Status Read(JsonValue value, Time& out);
Status Read(JsonValue value, std::optional<Time>& out);
Status Read(JsonValue value, std::vector<std::string>& out);
Status Read(JsonValue value, std::vector<int>& out);
Status Read(JsonValue value, TextMap& out);
// A string or a number, as the text that stands there (quantities come as both).
Status ReadScalarText(JsonValue value, std::string& out);
// The value's own JSON text, whatever it is, compacted by nobody.
Status ReadRaw(JsonValue value, std::string& out);
bool IsNull(JsonValue& value);

// Calls visit(key, value) for each field of an object until enough() after one of them; null is an
// object without fields. A visitor returns Status; Ok{} without touching the value skips it, and
// one may leave a value that it has read in part. What comes after enough is looked at only as far
// as whoever reads what is around the object has to pass over it.
template <class Visit, class Enough>
Status VisitObjectUntil(JsonValue value, Visit&& visit, Enough&& enough) {
  if (IsNull(value)) return Ok{};
  simdjson::ondemand::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) return JsonError("is no object");
  for (auto entry : object) {
    simdjson::ondemand::field field;
    if (std::move(entry).get(field) != simdjson::SUCCESS) return JsonError("is cut off or no JSON");
    std::string_view key;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS) return JsonError("has a bad key");
    // The key lies in the parser's buffer, so it stays while the value is read.
    JsonValue inner = field.value();
    if (Status done = visit(key, inner); !done) return At(key, std::move(done).error());
    if (enough()) return Ok{};
  }
  return Ok{};
}

// The same for all fields.
template <class Visit>
Status VisitObject(JsonValue value, Visit&& visit) {
  return VisitObjectUntil(value, std::forward<Visit>(visit), [] { return false; });
}

// Calls visit(value) for each element of an array; null is an empty one.
template <class Visit>
Status VisitArray(JsonValue value, Visit&& visit) {
  if (IsNull(value)) return Ok{};
  simdjson::ondemand::array array;
  if (value.get_array().get(array) != simdjson::SUCCESS) return JsonError("is no list");
  size_t index = 0;
  for (auto entry : array) {
    JsonValue inner;
    if (std::move(entry).get(inner) != simdjson::SUCCESS) return JsonError("is cut off or no JSON");
    if (Status done = visit(inner); !done) {
      return At("[" + std::to_string(index) + "]", std::move(done).error());
    }
    ++index;
  }
  return Ok{};
}

// A list of T for which a DecodeJson(JsonValue, T&) exists.
template <class T, class Decode>
Status ReadList(JsonValue value, std::vector<T>& out, Decode&& decode) {
  out.clear();
  Status read = VisitArray(value, [&](JsonValue inner) -> Status {
    T item;
    if (Status done = decode(inner, item); !done) return done;
    out.push_back(std::move(item));
    return Ok{};
  });
  out.shrink_to_fit();  // most are kept for long
  return read;
}

}  // namespace spillway::kube
