#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/shared_optional.h"
#include "placement/plan_text.h"
#include "placement/snapshot_fields.h"
#include "placement/words.h"

// How the vocabularies of *_fields.h are written: flow mappings of YAML, or JSON.
namespace spillway::placement::text {

struct Output {
  Form form = Form::kYaml;
  bool sparse = false;  // leaves out what equals its default; else what is empty
  std::string text{};
};

// A text that may hold anything, and one that is known to need no quotes in YAML.
void Emit(Output& out, const std::string& value);
void EmitWord(Output& out, std::string_view word);
void EmitName(Output& out, std::string_view name);  // of a field, with the colon behind it

void Emit(Output& out, bool value);
void Emit(Output& out, int value);
void Emit(Output& out, int64_t value);
void Emit(Output& out, Seconds value);
void Emit(Output& out, Time value);
void Emit(Output& out, Money value);
void Emit(Output& out, Reason value);
void Emit(Output& out, const PoolKey& value);     // namespace/name
void Emit(Output& out, const ReplicaKey& value);  // namespace/name/pod
void Emit(Output& out, const Resources& value);
void Emit(Output& out, const Labels& value);

template <class E>
  requires std::is_enum_v<E>
void Emit(Output& out, E value) {
  EmitWord(out, Name(value));
}

template <class T>
void Emit(Output& out, const std::optional<T>& value);
template <class T>
void Emit(Output& out, const SharedOptional<T>& value);
template <class T>
void Emit(Output& out, const std::vector<T>& value);
template <class T>
void Emit(Output& out, const std::set<T>& value);
template <class T>
  requires std::is_class_v<T>
void Emit(Output& out, const T& value);

template <class List>
void EmitList(Output& out, const List& values) {
  out.text += '[';
  std::string_view comma;
  for (const auto& value : values) {
    out.text += comma;
    comma = ", ";
    Emit(out, value);
  }
  out.text += ']';
}

template <class T>
void Emit(Output& out, const std::vector<T>& value) {
  EmitList(out, value);
}
template <class T>
void Emit(Output& out, const std::set<T>& value) {
  EmitList(out, value);
}
template <class T>
void Emit(Output& out, const std::optional<T>& value) {
  if (value) Emit(out, *value);  // an empty one is never written
}
template <class T>
void Emit(Output& out, const SharedOptional<T>& value) {
  if (value) Emit(out, *value);
}

template <class M>
bool IsEmpty(const M& value) {
  if constexpr (requires { value.has_value(); }) {
    return !value.has_value();
  } else if constexpr (requires { value.empty(); }) {
    return value.empty();
  } else {
    return false;
  }
}

// An archive that appends the fields of a value.
template <class T>
class Writer {
 public:
  Writer(Output& out, const T& value, const T& standard)
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

  // A number of millionths, as the API has it: "15.6".
  void Decimal(std::string_view name, int64_t T::* member) {
    Put(name, placement::Decimal(value_.*member), placement::Decimal(standard_.*member));
  }

  template <class F>
  void Group(std::string_view name, F fields) {
    Output inner{.form = out_.form, .sparse = out_.sparse};
    Writer group(inner, value_, standard_);
    fields(group);
    if (inner.text.empty()) return;
    Begin(name);
    out_.text += '{' + inner.text + '}';
  }

 private:
  template <class M>
  void Put(std::string_view name, const M& value, const M& standard) {
    if (out_.sparse ? value == standard : IsEmpty(value)) return;
    Begin(name);
    Emit(out_, value);
  }

  void Begin(std::string_view name) {
    if (any_) out_.text += ", ";
    any_ = true;
    EmitName(out_, name);
  }

  Output& out_;
  const T& value_;
  const T& standard_;
  bool any_ = false;
};

template <class T>
  requires std::is_class_v<T>
void Emit(Output& out, const T& value) {
  static const T kStandard{};
  out.text += '{';
  Writer<T> writer(out, value, kStandard);
  Fields(writer, Of<T>{});
  out.text += '}';
}

// A whole document: fields and lists, one item of a list a line.
class DocumentText {
 public:
  explicit DocumentText(Form form) : out_{.form = form} {
    if (IsJson()) out_.text = "{\n";
  }

  template <class T>
  void Field(std::string_view name, const T& value) {
    if (IsEmpty(value)) return;
    Begin(name);
    Emit(out_, value);
  }

  template <class T>
  void List(std::string_view name, const std::vector<T>& values) {
    Begin(name);
    if (values.empty()) {
      out_.text += "[]";
      return;
    }
    if (IsJson()) {
      out_.text += '[';
    } else {
      out_.text.pop_back();  // the space behind the colon
    }
    std::string_view comma;
    for (const T& value : values) {
      out_.text += comma;
      out_.text += IsJson() ? "\n  " : "\n  - ";
      comma = IsJson() ? "," : "";
      Emit(out_, value);
    }
    if (IsJson()) out_.text += "\n]";
  }

  std::string Take() {
    out_.text += IsJson() ? "\n}\n" : "\n";
    return std::move(out_.text);
  }

 private:
  [[nodiscard]] bool IsJson() const { return out_.form == Form::kJson; }
  void Begin(std::string_view name) {
    if (any_) out_.text += IsJson() ? ",\n" : "\n";
    any_ = true;
    EmitName(out_, name);
  }

  Output out_;
  bool any_ = false;
};

}  // namespace spillway::placement::text
