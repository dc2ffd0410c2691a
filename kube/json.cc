#include "kube/json.h"

#include <limits>
#include <utility>

namespace spillway::kube {
namespace {

// The last character of a path's first piece decides what joins the rest: a path goes on with "."
// or
// "[", a sentence with ": ".
bool ContinuesPath(std::string_view message) {
  const size_t colon = message.find(": ");
  return colon != std::string_view::npos && message.substr(0, colon).find(' ') == std::string::npos;
}

template <class T>
Status ReadOptional(JsonValue value, std::optional<T>& out) {
  out.reset();
  if (IsNull(value)) return Ok{};
  T inner{};
  if (Status done = Read(value, inner); !done) return done;
  out = std::move(inner);
  return Ok{};
}

template <class T>
Status ReadScalars(JsonValue value, std::vector<T>& out) {
  return ReadList(value, out, [](JsonValue inner, T& item) { return Read(inner, item); });
}

}  // namespace

namespace {

// The library looks at a document's end only where it is read to there.
bool EndsAsItBegins(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return false;
  const char last = text[text.find_last_not_of(kSpace)];
  return text[first] == '{' ? last == '}' : last == ']';
}

}  // namespace

Result<JsonValue> JsonParser::Parse(std::string_view text) {
  text_.assign(text);
  return ParseInPlace(text_);
}

Result<JsonValue> JsonParser::ParseInPlace(std::string& text) {
  if (!EndsAsItBegins(text)) return Error{Code::kInvalid, "is cut off or no JSON"};
  // A capacity that only grows, so that a stream of lines is read without allocating.
  if (text.capacity() < text.size() + simdjson::SIMDJSON_PADDING) {
    text.reserve(2 * text.size() + simdjson::SIMDJSON_PADDING);
  }
  const simdjson::padded_string_view padded(text.data(), text.size(), text.capacity());
  if (const auto error = parser_.iterate(padded).get(document_); error != simdjson::SUCCESS) {
    return Error{Code::kInvalid, std::string("is no JSON: ") + simdjson::error_message(error)};
  }
  return Again();
}

Result<JsonValue> JsonParser::Again() {
  // The library lets go of a document at a fault, and does not survive being asked for it again.
  if (!document_.is_alive()) return Error{Code::kInvalid, "is cut off or no JSON"};
  document_.rewind();
  JsonValue root;
  if (const auto error = document_.get_value().get(root); error != simdjson::SUCCESS) {
    return Error{Code::kInvalid, "is no JSON object"};
  }
  return root;
}

Status JsonError(std::string_view what) { return Error{Code::kInvalid, std::string(what)}; }

Error At(std::string_view where, Error error) {
  std::string message(where);
  if (error.message.empty() || error.message.front() != '[') {
    message += ContinuesPath(error.message) ? "." : ": ";
  }
  error.message.insert(0, message);
  return error;
}

bool IsNull(JsonValue& value) {
  // The type first: the library's is_null must not be asked of a document's root.
  simdjson::ondemand::json_type type{};
  if (value.type().get(type) != simdjson::SUCCESS) return false;
  if (type != simdjson::ondemand::json_type::null) return false;
  bool null = false;
  return value.is_null().get(null) == simdjson::SUCCESS && null;
}

Status Read(JsonValue value, std::string& out) {
  if (IsNull(value)) return Ok{};
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS) return JsonError("is no string");
  out.assign(text);
  return Ok{};
}

Status Read(JsonValue value, bool& out) {
  if (IsNull(value)) return Ok{};
  if (value.get_bool().get(out) != simdjson::SUCCESS) return JsonError("is neither true nor false");
  return Ok{};
}

Status Read(JsonValue value, int64_t& out) {
  if (IsNull(value)) return Ok{};
  if (value.get_int64().get(out) != simdjson::SUCCESS) return JsonError("is no integer");
  return Ok{};
}

Status Read(JsonValue value, int& out) {
  int64_t wide = out;
  if (Status done = Read(value, wide); !done) return done;
  if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max()) {
    return JsonError("is an integer out of range");
  }
  out = static_cast<int>(wide);
  return Ok{};
}

Status Read(JsonValue value, std::optional<int64_t>& out) { return ReadOptional(value, out); }
Status Read(JsonValue value, std::optional<int>& out) { return ReadOptional(value, out); }
Status Read(JsonValue value, std::optional<std::string>& out) { return ReadOptional(value, out); }
Status Read(JsonValue value, std::optional<bool>& out) { return ReadOptional(value, out); }
Status Read(JsonValue value, std::optional<Time>& out) { return ReadOptional(value, out); }

Status Read(JsonValue value, Time& out) {
  if (IsNull(value)) return Ok{};
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS) return JsonError("is no string");
  Result<Time> time = ParseTime(text);
  if (!time) return JsonError(time.error().message);
  out = *time;
  return Ok{};
}

Status Read(JsonValue value, std::vector<std::string>& out) { return ReadScalars(value, out); }
Status Read(JsonValue value, std::vector<int>& out) { return ReadScalars(value, out); }

Status Read(JsonValue value, TextMap& out) {
  out.clear();
  return VisitObject(value, [&](std::string_view key, JsonValue inner) -> Status {
    return Read(inner, out[std::string(key)]);
  });
}

Status ReadScalarText(JsonValue value, std::string& out) {
  if (IsNull(value)) return Ok{};
  simdjson::ondemand::json_type type{};
  if (value.type().get(type) != simdjson::SUCCESS) return JsonError("is cut off or no JSON");
  if (type == simdjson::ondemand::json_type::string) return Read(value, out);
  if (type != simdjson::ondemand::json_type::number) return JsonError("is no string or number");
  return ReadRaw(value, out);
}

Status ReadRaw(JsonValue value, std::string& out) {
  std::string_view text;
  if (simdjson::to_json_string(value).get(text) != simdjson::SUCCESS) {
    return JsonError("is cut off or no JSON");
  }
  out.assign(text);
  return Ok{};
}

}  // namespace spillway::kube
