#include "base/fault.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <charconv>
#include <vector>

#include "base/fault_page.h"
#include "base/log.h"

namespace outlive {

bool faults_armed = false;

namespace {

struct Armed {
  std::string name;
  bool prefix = false;
  long at = 1;  // 0: every hit
  long hits = 0;
  int action = 0;
};

std::vector<Armed>& armed() {
  static std::vector<Armed> list;
  return list;
}
std::function<int(const char*)>& hook() {
  static std::function<int(const char*)> function;
  return function;
}
FaultPage* page = nullptr;
void recompute() {
  faults_armed = !armed().empty() || hook() != nullptr || page != nullptr;
}

int act(int64_t action) {
  if (action == FaultPage::kKill) {
    ::kill(::getpid(), SIGKILL);
    ::pause();
  }
  if (action == FaultPage::kStop) {
    ::kill(::getpid(), SIGSTOP);
    return 0;
  }
  if (action == FaultPage::kAbort) ::abort();
  volatile bool hangs = action == FaultPage::kHang;
  while (hangs) {
  }
  return static_cast<int>(action);
}

Result<int> parse_action(std::string_view text) {
  if (text == "kill") return static_cast<int>(FaultPage::kKill);
  if (text == "abort") return static_cast<int>(FaultPage::kAbort);
  if (text == "hang") return static_cast<int>(FaultPage::kHang);
  for (int code = 1; code < 200; ++code) {
    const char* name = strerrorname_np(code);
    if (name != nullptr && text == name) return code;
  }
  return fail(EINVAL, "faults: unknown action '{}' (an errno's name, kill, abort or hang)", text);
}

Result<Armed> parse_one(std::string_view text) {
  const size_t colon = text.find(':');
  const size_t equals = text.find('=');
  if (colon == text.npos || equals == text.npos || colon > equals) {
    return fail(EINVAL, "faults: '{}' is not NAME:N=ACTION", text);
  }
  Armed one;
  one.name = text.substr(0, colon);
  if (!one.name.empty() && one.name.back() == '*') {
    one.prefix = true;
    one.name.pop_back();
  }
  const std::string_view number = text.substr(colon + 1, equals - colon - 1);
  const auto parsed = std::from_chars(number.data(), number.data() + number.size(), one.at);
  if (parsed.ec != std::errc{} || parsed.ptr != number.data() + number.size() || one.at < 0) {
    return fail(EINVAL, "faults: '{}' is not a count", number);
  }
  one.action = TRY(parse_action(text.substr(equals + 1)));
  if (one.at == 0 && one.action == EINTR) {
    return fail(EINVAL, "faults: EINTR at every hit would be retried for ever");
  }
  return one;
}

}  // namespace

Status arm_faults(std::string_view text) {
  std::vector<Armed> list;
  page = nullptr;
  if (text.starts_with('@')) {
    page = TRY(map_fault_page(std::string(text.substr(1))));
    text = {};
  }
  while (!text.empty()) {
    const size_t comma = text.find(',');
    Armed one = TRY(parse_one(text.substr(0, comma)));
    list.push_back(std::move(one));
    text = comma == text.npos ? "" : text.substr(comma + 1);
  }
  armed() = std::move(list);
  recompute();
  return {};
}

void set_fault_hook(std::function<int(const char*)> function) {
  hook() = std::move(function);
  recompute();
}

int fault_slow(const char* name) {
  if (hook()) {
    if (const int code = hook()(name)) return code;
  }
  if (page != nullptr) {
    if (const int64_t action = fault_page_hit(*page, log_role(), name)) return act(action);
  }
  for (Armed& one : armed()) {
    const bool match =
        one.prefix ? strncmp(name, one.name.c_str(), one.name.size()) == 0 : one.name == name;
    if (!match) continue;
    ++one.hits;
    if (one.at != 0 && one.hits != one.at) continue;
    return act(one.action);
  }
  return 0;
}

}  // namespace outlive
