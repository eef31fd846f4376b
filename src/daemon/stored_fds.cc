#include "daemon/stored_fds.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <string_view>

#include "abi/kernel_carry.h"
#include "base/log.h"
#include "base/sys.h"
#include "daemon/fd_store.h"
#include "machine/kernel/open_sessions.h"
#include "machine/process/fd_table.h"

namespace outlive::daemon {
namespace {

constexpr int kFirst = 3;      // SD_LISTEN_FDS_START
constexpr char kDone[] = ":";  // instead of the name of one that is dealt with: none can have it

int number_in(const char* variable) {
  const char* text = getenv(variable);
  int number = 0;
  if (text != nullptr) std::from_chars(text, text + strlen(text), number);
  return number;
}

std::vector<std::string> take_names(int count) {
  std::vector<std::string> names;
  const char* given = getenv("LISTEN_FDNAMES");
  std::string_view text = given != nullptr ? given : "";
  while (!text.empty()) {
    const size_t end = std::min(text.find(':'), text.size());
    names.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  names.resize(static_cast<size_t>(count));
  return names;
}

// -1: another name.
int number_of(std::string_view name) {
  const std::string_view prefix = kStoreFd;
  if (!name.starts_with(prefix)) return -1;
  name.remove_prefix(prefix.size());
  int number = -1;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), number);
  return parsed.ptr == name.data() + name.size() && number > STDERR_FILENO ? number : -1;
}

Result<int> copy_above(int number, int lowest) {
  const int copy = ::fcntl(number, F_DUPFD_CLOEXEC, lowest);
  if (copy == -1) return fail_errno("descriptors of the fd store");
  return copy;
}

Status move_above(UniqueFd& fd, int lowest) {
  if (!fd.valid()) return {};
  const int copy = TRY(copy_above(fd.get(), lowest));
  fd = UniqueFd(copy);
  return {};
}

Status move_one(int from, int to) {
  if (from == to) return sys::set_cloexec(BorrowedFd(to), false);
  TRY(sys::dup3(BorrowedFd(from), to, 0).context("fd {} of the fd store", to));
  UniqueFd(from).reset();
  return {};
}

int fd_at(size_t i) {
  return kFirst + static_cast<int>(i);
}

bool is_kernel_session(int fd) {
  const Result<std::string> link = sys::readlink(fmt::format("/proc/self/fd/{}", fd));
  const std::string name = link ? machine::session_of_link(*link) : std::string();
  return name == abi::kCarrySession || name.starts_with(abi::kCarryPrefix);
}

// Those named so. One that is none is closed.
std::vector<UniqueFd> take_kernel_sessions(std::vector<std::string>& names) {
  std::vector<UniqueFd> sessions;
  size_t refused = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] != abi::kStoreKernelSession) continue;
    if (is_kernel_session(fd_at(i))) {
      sessions.emplace_back(fd_at(i));
    } else {
      const Result<std::string> link = sys::readlink(fmt::format("/proc/self/fd/{}", fd_at(i)));
      log_error("refused: a descriptor named '{}' is no session of outlived's in the kernel: {}",
                names[i], link ? *link : link.error().text());
      UniqueFd(fd_at(i)).reset();
      ++refused;
    }
    names[i] = kDone;
  }
  // Names are removed whole: with others of it there, it is when they are (kernel_store.h).
  if (refused != 0 && sessions.empty()) {
    static_cast<void>(notify_manager(remove_text(abi::kStoreKernelSession)));
  }
  return sessions;
}

// But `but`, which the arena is made from, and direct sessions.
void forget(std::vector<std::string>& names, const std::vector<UniqueFd>& but) {
  size_t forgotten = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    const bool direct = number_of(names[i]) >= 0 && is_kernel_session(fd_at(i));
    if (names[i] == kDone || (direct && !but.empty())) continue;
    static_cast<void>(notify_manager(remove_text(names[i])));
    UniqueFd(fd_at(i)).reset();
    names[i] = kDone;
    ++forgotten;
  }
  if (forgotten == 0) return;
  if (but.empty()) {
    log_error(
        "the fd store has {} descriptors, but no arena that says what they are: starting empty",
        forgotten);
  } else {
    log_notice("the fd store has {} descriptors of an adoption that isn't over: it begins anew",
               forgotten);
  }
}

}  // namespace

Status move_fds(std::vector<std::pair<int, int>> moves) {
  int above = kFirst;
  std::map<int, int> to_of;
  std::map<int, int> from_of;
  for (const auto& [from, to] : moves) {
    above = std::max({above, from + 1, to + 1});
    to_of[from] = to;
    from_of[to] = from;
  }
  while (!to_of.empty()) {
    // Who wants to be where another one still is waits for that one: to the end of the chain, and
    // then back along it. A ring is opened by lifting one of it out of the way.
    const int first = to_of.begin()->first;
    int from = first;
    while (to_of[from] != from && to_of.contains(to_of[from])) {
      if (to_of[from] == first) {
        const int lifted = TRY(copy_above(first, above));
        UniqueFd(first).reset();
        to_of[lifted] = to_of[first];
        from_of[to_of[first]] = lifted;
        to_of.erase(first);
        break;
      }
      from = to_of[from];
    }
    for (;;) {
      TRY(move_one(from, to_of[from]));
      to_of.erase(from);
      const auto next = from_of.find(from);  // its number is free now
      if (next == from_of.end() || !to_of.contains(next->second)) break;
      from = next->second;
    }
  }
  return {};
}

Result<StoredFds> StoredFds::take() {
  StoredFds stored;
  const int count = number_in("LISTEN_PID") == ::getpid() ? number_in("LISTEN_FDS") : 0;
  std::vector<std::string> names = take_names(std::max(count, 0));
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
  if (names.empty()) return stored;
  const machine::RaisedFdLimit raised;
  stored.kernel_sessions = take_kernel_sessions(names);
  if (std::find(names.begin(), names.end(), kStoreArena) == names.end()) {
    forget(names, stored.kernel_sessions);
  }
  std::map<std::string_view, UniqueFd*> own = {{kStoreArena, &stored.arena},
                                               {kStoreDevice, &stored.device_listener},
                                               {kStoreControl, &stored.control_listener}};
  std::map<int, int> source_of;  // by number
  int above = kFirst + count;
  for (int at = kFirst; at < kFirst + count; ++at) {
    const std::string& name = names[static_cast<size_t>(at - kFirst)];
    if (name == kDone) continue;
    const int number = number_of(name);
    above = std::max(above, number + 1);
    const auto found = own.find(name);
    if (number >= 0) {
      // The last one of a name: what the manager was told last.
      if (source_of.contains(number)) UniqueFd(source_of[number]).reset();
      source_of[number] = at;
    } else if (found != own.end()) {
      *found->second = UniqueFd(at);
    } else {
      log_warning("a descriptor named '{}' is none of outlived's: closed", name);
      UniqueFd(at).reset();
    }
  }
  // Ours go out of the way of all numbers, and then to the lowest that are left.
  std::vector<UniqueFd*> moved;
  for (const auto& [name, fd] : own) moved.push_back(fd);
  for (UniqueFd& fd : stored.kernel_sessions) moved.push_back(&fd);
  for (UniqueFd* fd : moved) TRY(move_above(*fd, above));
  std::vector<std::pair<int, int>> moves;
  for (const auto& [number, from] : source_of) {
    moves.emplace_back(from, number);
    stored.placed.push_back(number);
  }
  TRY(move_fds(std::move(moves)));
  for (UniqueFd* fd : moved) TRY(move_above(*fd, kFirst));
  return stored;
}

}  // namespace outlive::daemon
