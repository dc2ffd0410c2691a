#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace spillway {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

// One named value of a log line.
struct LogField {
  LogField(std::string_view k, std::string_view v) : key(k), text(v), quoted(true) {}
  LogField(std::string_view k, const char* v) : LogField(k, std::string_view(v)) {}
  LogField(std::string_view k, const std::string& v) : LogField(k, std::string_view(v)) {}
  LogField(std::string_view k, bool v) : key(k), text(v ? "true" : "false") {}
  template <class N>
    requires std::is_arithmetic_v<N>
  LogField(std::string_view k, N v) : key(k), text(std::to_string(v)) {}

  std::string key;
  std::string text;
  bool quoted = false;
};

// Writes one line per call to standard error: a constant message with named values, as JSON
// ({"ts":…,"level":…,"msg":…,…}) or plain text. Safe from any thread. Never hand it a secret.
class Log {
 public:
  Log(LogLevel least, bool json);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void Debug(std::string_view message, std::initializer_list<LogField> fields = {});
  void Info(std::string_view message, std::initializer_list<LogField> fields = {});
  void Warn(std::string_view message, std::initializer_list<LogField> fields = {});
  void Error(std::string_view message, std::initializer_list<LogField> fields = {});
  void Flush();

 private:
  void Write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields);

  struct Sink;  // the logging library stays in the .cc
  std::unique_ptr<Sink> sink_;
  LogLevel least_;
  bool json_;
};

}  // namespace spillway
