#include "base/log.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "base/utc_time.h"

namespace outlive {
namespace {

std::atomic<int> level_now{static_cast<int>(LogLevel::kInfo)};
const char* role_now = "outlive";
LogRecorder recorder_now = nullptr;
void* recorder_context = nullptr;

constexpr std::string_view kNames[] = {"", "", "", "error", "warning", "notice", "info", "debug"};

// Not through system_clock(): whoever takes over its offset may have said something before.
std::string stamp() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return utc_text(
      static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec), 6);
}

}  // namespace

void set_log_level(LogLevel level) {
  level_now = static_cast<int>(level);
}
LogLevel log_level() {
  return static_cast<LogLevel>(level_now.load(std::memory_order_relaxed));
}

bool parse_log_level(std::string_view name, LogLevel* out) {
  for (int i = 3; i <= 7; ++i) {
    if (kNames[i] == name) {
      *out = static_cast<LogLevel>(i);
      return true;
    }
  }
  return false;
}

void set_log_role(const char* role) {
  role_now = role;
}
const char* log_role() {
  return role_now;
}
void set_log_recorder(LogRecorder recorder, void* context) {
  recorder_now = recorder;
  recorder_context = context;
}

void log_write(LogLevel level, std::string_view text) {
  const std::string_view name = kNames[static_cast<int>(level)];
  const std::string line = fmt::format("{} {} {}: {}\n", stamp(), role_now, name, text);
  std::string_view shown = line;
  std::string journal;
  if (getenv("JOURNAL_STREAM") != nullptr) {
    journal = fmt::format("<{}>{}: {}\n", static_cast<int>(level), role_now, text);
    shown = journal;
  }
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, shown.data(), shown.size());
  if (recorder_now != nullptr) recorder_now(recorder_context, line);
}

}  // namespace outlive
