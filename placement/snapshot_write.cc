#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "placement/snapshot.h"
#include "placement/snapshot_fields.h"

namespace spillway::placement {
namespace {

using text::Fields;
using text::Of;

bool IsWordChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '/' || c == '-';
}

// Would some YAML reader take the bare text for something else than text?
bool NeedsQuotes(std::string_view text) {
  constexpr std::array<std::string_view, 9> kOther = {"true", "false", "null", "yes", "no",
                                                      "on",   "off",   "y",    "n"};
  if (text.empty() || !std::all_of(text.begin(), text.end(), IsWordChar)) return true;
  if (std::isalpha(static_cast<unsigned char>(text.front())) == 0) return true;
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(kOther.begin(), kOther.end(), lower) != kOther.end();
}

void Emit(std::string& out, const std::string& value) {
  if (!NeedsQuotes(value)) {
    out += value;
    return;
  }
  out += '"';
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\';
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(byte));
    } else {
      out += c;
    }
  }
  out += '"';
}

void Emit(std::string& out, bool value) { out += value ? "true" : "false"; }
void Emit(std::string& out, int value) { out += fmt::format("{}", value); }
void Emit(std::string& out, int64_t value) { out += fmt::format("{}", value); }
void Emit(std::string& out, Seconds value) { out += fmt::format("{}", value.count()); }
void Emit(std::string& out, Time value) { out += FormatTime(value); }
void Emit(std::string& out, Money value) { out += '"' + value.Format() + '"'; }

template <class E>
  requires std::is_enum_v<E>
void Emit(std::string& out, E value) {
  out += Name(value);
}

void Emit(std::string& out, const Resources& value) {
  out += '{';
  std::string_view comma;
  for (const auto& [name, amount] : value) {
    out += comma;
    comma = ", ";
    Emit(out, name);
    out += ": " + FormatResource(name, amount);
  }
  out += '}';
}

void Emit(std::string& out, const Labels& value) {
  out += '{';
  std::string_view comma;
  for (const auto& [key, text] : value) {
    out += comma;
    comma = ", ";
    Emit(out, key);
    out += ": ";
    Emit(out, text);
  }
  out += '}';
}

template <class T>
void Emit(std::string& out, const std::optional<T>& value);
template <class T>
void Emit(std::string& out, const std::vector<T>& value);
template <class T>
void Emit(std::string& out, const std::set<T>& value);
template <class T>
  requires std::is_class_v<T>
void Emit(std::string& out, const T& value);

template <class List>
void EmitList(std::string& out, const List& values) {
  out += '[';
  std::string_view comma;
  for (const auto& value : values) {
    out += comma;
    comma = ", ";
    Emit(out, value);
  }
  out += ']';
}

template <class T>
void Emit(std::string& out, const std::vector<T>& value) {
  EmitList(out, value);
}
template <class T>
void Emit(std::string& out, const std::set<T>& value) {
  EmitList(out, value);
}
template <class T>
void Emit(std::string& out, const std::optional<T>& value) {
  if (value) Emit(out, *value);  // an empty one equals its default and is never written
}

// An archive that appends the fields that differ from their defaults.
template <class T>
class Writer {
 public:
  Writer(std::string& out, const T& value, const T& standard)
      : out_(out), value_(value), standard_(standard) {}

  template <class M>
  void operator()(std::string_view name, M T::* member) {
    Put(name, value_.*member, standard_.*member);
  }

  template <class P, class M>
  void operator()(std::string_view name, P T::* part, M P::* member) {
    Put(name, value_.*part.*member, standard_.*part.*member);
  }

  void Words(std::string_view name, bool T::* member, const char* yes, const char* no) {
    const auto word = [&](const T& of) { return std::string(of.*member ? yes : no); };
    Put(name, word(value_), word(standard_));
  }

  template <class F>
  void Group(std::string_view name, F fields) {
    std::string inner;
    Writer group(inner, value_, standard_);
    fields(group);
    if (inner.empty()) return;
    Begin(name);
    out_ += '{' + inner + '}';
  }

 private:
  template <class M>
  void Put(std::string_view name, const M& value, const M& standard) {
    if (value == standard) return;
    Begin(name);
    Emit(out_, value);
  }

  void Begin(std::string_view name) {
    if (any_) out_ += ", ";
    any_ = true;
    out_ += name;
    out_ += ": ";
  }

  std::string& out_;
  const T& value_;
  const T& standard_;
  bool any_ = false;
};

template <class T>
  requires std::is_class_v<T>
void Emit(std::string& out, const T& value) {
  static const T kStandard{};
  out += '{';
  Writer<T> writer(out, value, kStandard);
  Fields(writer, Of<T>{});
  out += '}';
}

template <class T>
void EmitSection(std::string& out, std::string_view name, const std::vector<T>& values) {
  out += name;
  out += ":\n";
  for (const T& value : values) {
    out += "  - ";
    Emit(out, value);
    out += '\n';
  }
}

}  // namespace

std::string WriteSnapshot(const Snapshot& snapshot) {
  std::string out = "now: " + FormatTime(snapshot.now) + "\ncurrency: ";
  Emit(out, snapshot.currency);
  out += "\nrenderRevision: ";
  Emit(out, snapshot.render_revision);
  out += '\n';
  EmitSection(out, "groups", snapshot.groups);
  EmitSection(out, "nodes", snapshot.nodes);
  EmitSection(out, "pools", snapshot.pools);
  EmitSection(out, "inferencePools", snapshot.inference_pools);
  EmitSection(out, "quotas", snapshot.quotas);
  EmitSection(out, "defaultLimits", snapshot.default_limits);
  return out;
}

}  // namespace spillway::placement
