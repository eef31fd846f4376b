#include "machine/process/opener.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/log.h"
#include "base/rights.h"
#include "base/sys.h"
#include "machine/process/opener_child.h"

namespace outlive::machine {
namespace {

constexpr uint64_t kQueuePatience = 2;  // time-outs that one waits for those before it
constexpr size_t kMostFds = 8;          // in an answer; one is expected

bool is_operator(uid_t uid) {
  return uid == 0 || uid == ::geteuid();
}

// With the folder, also where the path doesn't begin there: it is looked up first, and may be what
// hangs or isn't there.
std::string name_of(const Opener::Request& request) {
  const bool no_folder = request.cwd == "/" || request.cwd == ".";
  if (no_folder && request.path.starts_with('/')) return fmt::format("'{}'", request.path);
  return fmt::format("'{}' (from '{}')", request.path, request.cwd);
}

}  // namespace

void Opener::open(Request request, Callback callback) {
  tasks_.push_back({++last_number_,
                    std::move(request),
                    std::move(callback),
                    State::kQueued,
                    0,
                    timeout_ns_,
                    {},
                    {},
                    0,
                    {}});
}

void Opener::drop(Result<UniqueFd> opened) {
  if (opened && *opened) closer_.close(BorrowedFd(opened->release()));
}

Opener::Task* Opener::find(uint64_t number) {
  const auto found = std::ranges::find(tasks_, number, &Task::number);
  return found == tasks_.end() ? nullptr : &*found;
}

std::vector<BorrowedFd> Opener::fds() const {
  std::vector<BorrowedFd> list;
  for (const Task& task : tasks_) {
    for (const UniqueFd* fd : {&task.channel, &task.theirs, &task.request.socket}) {
      if (*fd) list.emplace_back(*fd);
    }
  }
  return list;
}

bool Opener::may_start(const Task& task) const {
  size_t of_uid = 0;
  size_t of_others = 0;
  for (const Task& one : tasks_) {
    if (one.state == State::kQueued) continue;
    of_uid += one.request.uid == task.request.uid;
    of_others += !is_operator(one.request.uid);
  }
  if (is_operator(task.request.uid)) return of_uid < kMostOfOperator;
  return of_uid < kMostOfUid && of_others < kMostOfOthers;
}

void Opener::start(Task& task) {
  Result<sys::SocketPair> pair = sys::socketpair(SOCK_SEQPACKET);
  if (!pair) return;  // descriptors come free: at another tick
  task.channel = std::move(pair->first);
  task.theirs = std::move(pair->second);
  LaunchSpec launch;
  launch.opens = true;
  launch.program = task.request.path;
  launch.argv = {task.request.socket ? kBinds : kOpens};
  launch.env = {"PATH=" + task.request.search};
  launch.cwd = task.request.cwd;
  launch.uid = task.request.uid;
  launch.gid = task.request.gid;
  launch.fds = {{task.theirs, kOpenerChannel}};
  if (task.request.socket) launch.fds.push_back({task.request.socket, kOpenerSocket});
  task.state = State::kLaunching;
  launches_.submit(std::move(launch), [this, number = task.number](Result<Launched> result) {
    launched(number, result);
  });
}

void Opener::launched(uint64_t number, const Result<Launched>& result) {
  Task* task = find(number);
  if (task == nullptr) return;
  task->theirs.reset();
  if (!result && result.error().code == ECANCELED) {  // the keeper died, the next one can do it
    task->channel.reset();
    task->state = State::kQueued;
    return;
  }
  if (!result) return finish(*task, result.error());
  task->state = State::kRunning;
  task->pid = result->pid;
  task->pidfd = result->pidfd;
  task->deadline_ns = 0;
  if (const Status opened = open_gate(control_, result->pid); !opened) {
    log_warning("opener: {}", opened.error().text());  // it sees its gate closed, and leaves
  }
}

// False: there is none yet. It is of a process that the client may have got hold of: it may say
// anything.
bool Opener::read_answer(Task& task) {
  int32_t error = 0;
  iovec bytes{&error, sizeof error};
  RightsRoom<kMostFds> room;
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = room.bytes;
  message.msg_controllen = sizeof room.bytes;
  const Result<size_t> got = sys::recvmsg(task.channel, message, MSG_DONTWAIT);
  if (!got && got.error().code == EAGAIN) return false;
  std::vector<UniqueFd> fds;
  // Not CLOEXEC: a record will name it, so it crosses the exec of another outlived.
  if (got) fds = take_rights(message);
  if (!got || *got != sizeof error) error = EIO;
  if (error == 0 && (message.msg_flags & MSG_CTRUNC) != 0) error = EMFILE;
  finish(task, result_of(task, error, std::move(fds)));
  return true;
}

Result<UniqueFd> Opener::result_of(Task& task, int error, std::vector<UniqueFd> fds) {
  UniqueFd opened;
  if (error == 0 && task.request.socket) {
    opened = std::move(task.request.socket);
  } else if (error == 0 && fds.size() == 1) {
    const int flags = ::fcntl(fds[0].get(), F_GETFL);
    if (flags != -1 && (flags & O_PATH) != 0) opened = std::move(fds[0]);
  }
  for (UniqueFd& fd : fds) drop(std::move(fd));
  if (opened) return opened;
  if (error <= 0) error = EIO;
  return fail(error, "{}: {}", name_of(task.request), strerrordesc_np(error));
}

void Opener::late(Task& task) {
  const uint64_t ms = task.timeout_ns / 1'000'000;
  if (task.state == State::kQueued) {
    return finish(task,
                  fail(EAGAIN,
                       "looking up {}: too many others of uid {} hang: nothing was begun, try "
                       "again when their file system answers",
                       name_of(task.request), task.request.uid));
  }
  const Status killed = signal_child(control_, task.pid, SIGKILL);
  static_cast<void>(killed);  // ESRCH: its exit is on the way
  finish(task,
         fail(ETIMEDOUT,
              "looking up {} takes longer than {} ms: nothing was begun, try again when its file "
              "system answers ([limits] lookup-timeout-ms)",
              name_of(task.request), ms));
}

// The task stays for as long as its process does.
void Opener::finish(Task& task, Result<UniqueFd> result) {
  auto shared = std::make_shared<Result<UniqueFd>>(std::move(result));
  finished_.push_back(
      [callback = std::move(task.callback), shared] { callback(std::move(*shared)); });
  task.channel.reset();
  task.theirs.reset();
  task.request.socket.reset();
  task.state = State::kOver;
}

// Last: they may ask for more.
void Opener::tell() {
  for (const auto& callback : std::exchange(finished_, {})) callback();
}

void Opener::tick(uint64_t now_ns) {
  for (Task& task : tasks_) {
    if (task.state == State::kQueued || task.state == State::kRunning) {
      const uint64_t patience = task.state == State::kQueued ? kQueuePatience : 1;
      if (task.deadline_ns == 0) task.deadline_ns = now_ns + patience * task.timeout_ns;
    }
    if (task.state == State::kRunning && read_answer(task)) continue;
    const bool waits = task.state == State::kQueued || task.state == State::kRunning;
    if (waits && now_ns >= task.deadline_ns) late(task);
  }
  std::erase_if(tasks_, [](const Task& task) {
    pollfd dead{task.pidfd.get(), POLLIN, 0};
    return task.state == State::kOver && (task.pid == 0 || ::poll(&dead, 1, 0) == 1);
  });
  for (Task& task : tasks_) {
    if (task.state == State::kQueued && may_start(task)) start(task);
  }
  tell();
}

uint64_t Opener::next_deadline() const {
  uint64_t earliest = 0;
  for (const Task& task : tasks_) {
    if (task.state == State::kOver || task.state == State::kLaunching) continue;
    // 1: as soon as can be, its time has not been looked at.
    const uint64_t at = std::max<uint64_t>(task.deadline_ns, 1);
    if (earliest == 0 || at < earliest) earliest = at;
  }
  return earliest;
}

void Opener::child_exited(pid_t pid) {
  const auto task = std::ranges::find(tasks_, pid, &Task::pid);
  if (task == tasks_.end()) return;
  if (task->state == State::kRunning && !read_answer(*task)) {
    finish(*task, fail(EIO, "looking up {}: its process ended", name_of(task->request)));
  }
  tasks_.erase(task);
  tell();
}

}  // namespace outlive::machine
