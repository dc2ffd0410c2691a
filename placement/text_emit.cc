#include "placement/text_emit.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace spillway::placement::text {
namespace {

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

// Quotes and escapes that mean the same in YAML and JSON.
void EmitQuoted(Output& out, std::string_view value) {
  out.text += '"';
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out.text += '\\';
    if (byte < 0x20 || byte == 0x7f) {
      out.text += fmt::format("\\u{:04x}", static_cast<unsigned>(byte));
    } else {
      out.text += c;
    }
  }
  out.text += '"';
}

}  // namespace

void Emit(Output& out, const std::string& value) {
  if (out.form == Form::kJson || NeedsQuotes(value)) {
    EmitQuoted(out, value);
  } else {
    out.text += value;
  }
}

void EmitWord(Output& out, std::string_view word) {
  if (out.form == Form::kJson) {
    EmitQuoted(out, word);
  } else {
    out.text += word;
  }
}

void EmitName(Output& out, std::string_view name) {
  EmitWord(out, name);
  out.text += ": ";
}

void Emit(Output& out, const PoolKey& value) { Emit(out, value.Format()); }
void Emit(Output& out, const ReplicaKey& value) { Emit(out, value.Format()); }
void Emit(Output& out, bool value) { out.text += value ? "true" : "false"; }
void Emit(Output& out, int value) { out.text += fmt::format("{}", value); }
void Emit(Output& out, int64_t value) { out.text += fmt::format("{}", value); }
void Emit(Output& out, Seconds value) { out.text += fmt::format("{}", value.count()); }
void Emit(Output& out, Time value) { EmitWord(out, FormatTime(value)); }
void Emit(Output& out, Money value) { EmitQuoted(out, value.Format()); }
void Emit(Output& out, Reason value) { EmitWord(out, ReasonName(value)); }

void Emit(Output& out, const Resources& value) {
  out.text += '{';
  std::string_view comma;
  for (const auto& [name, amount] : value) {
    out.text += comma;
    comma = ", ";
    Emit(out, name);
    out.text += ": ";
    EmitWord(out, FormatResource(name, amount));
  }
  out.text += '}';
}

void Emit(Output& out, const Labels& value) {
  out.text += '{';
  std::string_view comma;
  for (const auto& [key, text] : value) {
    out.text += comma;
    comma = ", ";
    Emit(out, key.str());
    out.text += ": ";
    Emit(out, text.str());
  }
  out.text += '}';
}

}  // namespace spillway::placement::text
