#include "machine/process/launcher.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/log.h"
#include "base/sys.h"
#include "machine/process/clone.h"
#include "machine/process/launch_child.h"

namespace outlive::machine {
namespace {

// Takes the next NUL-terminated string off the text.
Result<std::string> take_string(std::string_view* text) {
  const size_t end = text->find('\0');
  if (end == text->npos) return fail(EINVAL, "launch: the text is too short");
  std::string one(text->substr(0, end));
  text->remove_prefix(end + 1);
  return one;
}

Result<std::vector<std::string>> take_strings(std::string_view* text, uint64_t count) {
  std::vector<std::string> list;
  for (uint64_t i = 0; i < count; ++i) {
    std::string one = TRY(take_string(text));
    list.push_back(std::move(one));
  }
  return list;
}

}  // namespace

// Arguments and environment of a service may be secrets: they are not kept for longer than it
// takes.
void Launcher::clear_text() {
  abi::ControlBlock& block = control_.block();
  memset(block.text, 0, std::min<size_t>(block.launch.text_size, sizeof block.text));
}

void Launcher::turn() {
  abi::LaunchRequest& request = control_.block().launch;
  const uint64_t number = load_word(request.request);
  if (number == load_word(request.done)) return;
  const Status status = launch();
  if (!status) log_warning("launch {}: {}", number, status.error().text());
  request.result = status ? 0 : status.error().code;
  clear_text();
  store_word(request.done, number);
  control_.wake_worker();
}

void Launcher::reset() {
  abi::LaunchRequest& request = control_.block().launch;
  request.result = ECANCELED;
  clear_text();
  store_word(request.done, load_word(request.request));
}

// Reads the mailbox into memory of our own, and bounds everything: a worker that has gone wrong
// must not take the keeper with it.
Result<LaunchPlan> Launcher::read_request(std::vector<BorrowedFd>* fds, BorrowedFd* program) const {
  const auto request = std::make_unique<abi::LaunchRequest>(control_.block().launch);
  if (request->text_size > abi::kLaunchText || request->fd_count > abi::kLaunchFds) {
    return fail(E2BIG, "launch: {} bytes, {} fds", request->text_size, request->fd_count);
  }
  const std::string copy(control_.block().text, request->text_size);
  std::string_view text = copy;
  LaunchPlan plan;
  plan.program = TRY(take_string(&text));
  plan.cwd = TRY(take_string(&text));
  plan.argv = TRY(take_strings(&text, request->argc));
  plan.env = TRY(take_strings(&text, request->envc));
  plan.uid = static_cast<uid_t>(request->uid);
  plan.gid = static_cast<gid_t>(request->gid);
  plan.soft_nofile = control_.block().soft_nofile;
  const bool same = plan.uid == ::geteuid() && plan.gid == ::getegid();
  if (!same && ::geteuid() != 0) {
    return fail(EPERM, "launch as {}:{}: only root can", plan.uid, plan.gid);
  }
  for (size_t i = 0; i < request->fd_count; ++i) {
    const int64_t target = request->targets[i];
    if (target < 0 || target >= static_cast<int64_t>(abi::kLaunchText)) {
      return fail(EBADF, "launch: fd number {} for the child", target);
    }
    fds->push_back(BorrowedFd(static_cast<int>(request->fds[i])));
    plan.targets.push_back(static_cast<int>(target));
  }
  plan.has_program_fd = request->program_fd >= 0;
  plan.opens = request->program_fd == abi::kLaunchOpens;
  *program = BorrowedFd(static_cast<int>(request->program_fd));
  return plan;
}

Status Launcher::fill_window(const std::vector<BorrowedFd>& fds, BorrowedFd program) {
  for (size_t i = 0; i < fds.size(); ++i) {
    TRY(window_.put(i, fds[i]).context("launch: fd {}", fds[i].get()));
  }
  if (program.valid()) TRY(window_.put(LaunchWindow::kProgram, program).context("launch: program"));
  uint64_t count = 0;  // of a child that was late
  [[maybe_unused]] const ssize_t old =
      ::read(window_.at(LaunchWindow::kUnshared).get(), &count, sizeof count);
  return {};
}

Status Launcher::launch() {
  std::vector<BorrowedFd> fds;
  BorrowedFd program;
  const LaunchPlan plan = TRY(read_request(&fds, &program));
  abi::ChildEntry* entry = control_.free_entry();
  if (entry == nullptr) return fail(EAGAIN, "launch: {} children already", abi::kMaxChildren);
  sys::Pipe gate = TRY(sys::pipe());

  struct Clear {
    LaunchWindow& window;
    ~Clear() { window.clear(); }
  } clear{window_};
  TRY(fill_window(fds, program));
  TRY(window_.put(LaunchWindow::kGate, gate.read));

  int32_t pidfd_number = -1;
  const pid_t pid = TRY(clone_files(&pidfd_number));
  if (pid == 0) run_launched_child(plan, window_);

  // The record's keeper: from here on the child is in the table, whatever becomes of the request.
  const BorrowedFd pidfd(pidfd_number);
  abi::LaunchRequest& request = control_.block().launch;
  entry->pidfd = pidfd.get();
  store_word(entry->gate_fd, int64_t{gate.write.release()});
  entry->launch = request.request;
  store_word(entry->exit_slot, uint64_t{0});
  store_word(entry->pid, int64_t{pid});
  request.pid = pid;
  request.pidfd = pidfd.get();
  return await_unshared(pidfd);
}

Status Launcher::await_unshared(BorrowedFd pidfd) {
  const BorrowedFd unshared = window_.at(LaunchWindow::kUnshared);
  pollfd waits[] = {{unshared.get(), POLLIN, 0}, {pidfd.get(), POLLIN, 0}};
  while (::poll(waits, 2, kUnshareTimeoutMs) == -1 && errno == EINTR) {
  }
  if (waits[0].revents != 0) return {};
  TRY(sys::pidfd_send_signal(pidfd, SIGKILL));
  return fail(EIO, "launch: the child {} before it had a table of its own",
              waits[1].revents != 0 ? "died" : "hung");
}

}  // namespace outlive::machine
