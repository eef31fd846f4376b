#include "machine/process/launch.h"

#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/sys.h"

namespace outlive::machine {

LaunchQueue::LaunchQueue(Control& control) : control_(control) {}

void LaunchQueue::submit(LaunchSpec spec, Callback callback) {
  waiting_.push_back({std::move(spec), std::move(callback)});
}

std::vector<BorrowedFd> LaunchQueue::fds() const {
  std::vector<BorrowedFd> list;
  for (const Entry& entry : waiting_) {
    if (entry.spec.program_fd.valid()) list.push_back(entry.spec.program_fd);
    for (const LaunchFd& one : entry.spec.fds) list.push_back(one.fd);
  }
  return list;
}

void LaunchQueue::pump() {
  const abi::LaunchRequest& request = control_.block().launch;
  while (!waiting_.empty()) {
    Result<Launched> result = fail(EIO, "launch");
    if (in_flight_) {
      if (load_word(request.done) != load_word(request.request)) return;
      in_flight_ = false;
      result = answer().context("launching {}", waiting_.front().spec.program);
    } else {
      Status posted = post(waiting_.front().spec);
      if (posted) {
        in_flight_ = true;
        control_.wake_keeper();
        return;
      }
      result = posted.take_error();
    }
    // Off the queue first: the callback may submit.
    const Callback callback = std::move(waiting_.front().callback);
    waiting_.pop_front();
    callback(std::move(result));
  }
}

Status LaunchQueue::post(const LaunchSpec& spec) {
  if (spec.program.empty() || spec.argv.empty()) return fail(EINVAL, "launch: no program");
  if (spec.fds.size() > abi::kLaunchFds) {
    return fail(E2BIG, "launching {}: {} fds, at most {}", spec.program, spec.fds.size(),
                abi::kLaunchFds);
  }
  std::string text = spec.program + '\0' + spec.cwd + '\0';
  for (const std::string& one : spec.argv) text += one + '\0';
  for (const std::string& one : spec.env) text += one + '\0';
  if (text.size() > abi::kLaunchText) {
    return fail(E2BIG, "launching {}: {} bytes of arguments and environment, at most {}",
                spec.program, text.size(), abi::kLaunchText);
  }
  abi::ControlBlock& block = control_.block();
  abi::LaunchRequest& request = block.launch;
  memcpy(block.text, text.data(), text.size());
  request.text_size = text.size();
  request.argc = spec.argv.size();
  request.envc = spec.env.size();
  request.program_fd = spec.opens ? abi::kLaunchOpens : int64_t{spec.program_fd.get()};
  request.uid = spec.uid;
  request.gid = spec.gid;
  request.fd_count = spec.fds.size();
  for (size_t i = 0; i < spec.fds.size(); ++i) {
    request.fds[i] = spec.fds[i].fd.get();
    request.targets[i] = spec.fds[i].target;
  }
  store_word(request.request, load_word(request.request) + 1);
  return {};
}

Result<Launched> LaunchQueue::answer() const {
  const abi::LaunchRequest& request = control_.block().launch;
  if (request.result != 0) {
    return fail(static_cast<int>(request.result), "{}",
                strerrordesc_np(static_cast<int>(request.result)));
  }
  return Launched{static_cast<pid_t>(request.pid), BorrowedFd(static_cast<int>(request.pidfd))};
}

Status open_gate(Control& control, pid_t pid) {
  abi::ChildEntry* entry = control.find_entry(pid);
  if (entry == nullptr) return fail(ESRCH, "no child {}", pid);
  const int64_t number = load_word(entry->gate_fd);
  if (number < 0) return {};
  // The byte first: a worker that dies in between is followed by one that does it again, and the
  // second byte hurts nobody.
  const std::byte one{1};
  const Result<size_t> written = sys::write(BorrowedFd(static_cast<int>(number)), {&one, 1});
  store_word(entry->gate_fd, int64_t{-1});
  const UniqueFd gate(static_cast<int>(number));
  if (!written && written.error().code != EPIPE) return written.error();
  return {};
}

Status signal_child(const Control& control, pid_t pid, int signal) {
  const std::optional<Child> child = control.child(pid);
  if (!child) return fail(ESRCH, "no child {}", pid);
  return sys::pidfd_send_signal(child->pidfd, signal);
}

size_t kill_unnamed(const Control& control, const std::set<pid_t>& named) {
  size_t killed = 0;
  for (const Child& child : control.children()) {
    if (named.contains(child.pid)) continue;
    if (sys::pidfd_send_signal(child.pidfd, SIGKILL)) ++killed;
  }
  return killed;
}

namespace {

struct StatFields {
  pid_t parent = 0;
  pid_t session = 0;
  bool ended = false;
};

// proc(5): "PID (COMM) STATE PPID PGRP SESSION ..."; COMM may contain anything.
std::optional<StatFields> read_stat(pid_t pid) {
  const Result<std::string> text = sys::read_file(fmt::format("/proc/{}/stat", pid));
  if (!text) return std::nullopt;
  const size_t end = text->rfind(')');
  if (end == std::string::npos) return std::nullopt;
  char state = 0;
  int parent = 0;
  int group = 0;
  int session = 0;
  if (sscanf(text->c_str() + end + 1, " %c %d %d %d", &state, &parent, &group, &session) != 4) {
    return std::nullopt;
  }
  return StatFields{parent, session, state == 'Z' || state == 'X'};
}

}  // namespace

std::vector<Stranger> list_strangers(const Control& control) {
  std::vector<Stranger> strangers;
  const pid_t keeper = control.keeper_pid();
  const std::optional<StatFields> own = read_stat(keeper);
  // proc(5): the children of one thread; the keeper has one.
  const Result<std::string> text =
      sys::read_file(fmt::format("/proc/{}/task/{}/children", keeper, keeper));
  if (!text || !own) return strangers;
  const char* at = text->data();
  const char* const end = at + text->size();
  while (at < end) {
    pid_t pid = 0;
    const auto parsed = std::from_chars(at, end, pid);
    if (parsed.ec != std::errc{}) break;
    at = std::find_if_not(parsed.ptr, end, [](char c) { return c == ' '; });
    if (control.find_entry(pid) != nullptr) continue;
    const std::optional<StatFields> fields = read_stat(pid);
    // Worker, spare and closer are in the keeper's own session, no service is. One that has ended
    // only waits for the keeper, which has told of it already.
    if (!fields || fields->ended || fields->session == own->session) continue;
    strangers.push_back({pid, fields->session});
  }
  return strangers;
}

Status kill_stranger(const Control& control, pid_t pid) {
  const UniqueFd pidfd = TRY(sys::pidfd_open(pid));
  // Looked at after the pidfd is open: from here on the number can't become another process.
  for (const Stranger& stranger : list_strangers(control)) {
    if (stranger.pid == pid) return sys::pidfd_send_signal(pidfd, SIGKILL);
  }
  return fail(ESRCH, "{} is no orphan of a service", pid);
}

}  // namespace outlive::machine
