#include "base/log.h"

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <chrono>

#include "base/clock.h"

namespace spillway {
namespace {

const char* LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(byte));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace

struct Log::Sink {
  spdlog::logger logger{"spillway", std::make_shared<spdlog::sinks::stderr_sink_mt>()};
};

Log::Log(LogLevel least, bool json) : sink_(std::make_unique<Sink>()), least_(least), json_(json) {
  sink_->logger.set_pattern("%v");
  sink_->logger.set_level(spdlog::level::trace);
}

Log::~Log() = default;

void Log::Debug(std::string_view message, std::initializer_list<LogField> fields) {
  Write(LogLevel::kDebug, message, fields);
}
void Log::Info(std::string_view message, std::initializer_list<LogField> fields) {
  Write(LogLevel::kInfo, message, fields);
}
void Log::Warn(std::string_view message, std::initializer_list<LogField> fields) {
  Write(LogLevel::kWarn, message, fields);
}
void Log::Error(std::string_view message, std::initializer_list<LogField> fields) {
  Write(LogLevel::kError, message, fields);
}

void Log::Flush() { sink_->logger.flush(); }

void Log::Write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (level < least_) return;
  const std::string now = FormatMicroTime(
      std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now()));
  std::string line = json_ ? fmt::format("{{\"ts\":\"{}\",\"level\":\"{}\",\"msg\":{}", now,
                                         LevelName(level), Quoted(message))
                           : fmt::format("{} {:5} {}", now, LevelName(level), message);
  for (const LogField& field : fields) {
    const std::string value = field.quoted ? Quoted(field.text) : field.text;
    line += json_ ? fmt::format(",{}:{}", Quoted(field.key), value)
                  : fmt::format(" {}={}", field.key, value);
  }
  if (json_) line += '}';
  sink_->logger.info("{}", line);
}

}  // namespace spillway
