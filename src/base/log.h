// The log: a line is one write(2) to stderr, so that lines of keeper, worker and closer never mix,
// and once more to a recorder if one is set (the flight recorder in the arena).
//
// Lines look like "2026-11-21T11:43:21.123456Z worker warning: text". Under a service manager
// ($JOURNAL_STREAM) the time is left out and "<4>" is put before.
// Threads: safe from any; set_* only while there is one thread.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace outlive {

enum class LogLevel : int { kError = 3, kWarning = 4, kNotice = 5, kInfo = 6, kDebug = 7 };

// Lines above this level are dropped before they are formatted.
void set_log_level(LogLevel level);
LogLevel log_level();
// "error", "warning", "notice", "info", "debug"; false for any other name.
bool parse_log_level(std::string_view name, LogLevel* out);
// The role that lines carry: "outlived" (not yet the keeper), "keeper", "worker", "spare",
// "closer", "outlive" (default). A literal.
void set_log_role(const char* role);
const char* log_role();
// Called with each finished line (with its newline), after stderr. nullptr: none.
using LogRecorder = void (*)(void* context, std::string_view line);
void set_log_recorder(LogRecorder recorder, void* context);

void log_write(LogLevel level, std::string_view text);

template <typename... Args>
void log_at(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (level <= log_level()) log_write(level, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_at(LogLevel::kError, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_at(LogLevel::kWarning, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_notice(fmt::format_string<Args...> format, Args&&... args) {
  log_at(LogLevel::kNotice, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_at(LogLevel::kInfo, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log_at(LogLevel::kDebug, format, std::forward<Args>(args)...);
}

}  // namespace outlive
