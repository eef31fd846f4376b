#include "compat/program.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>

#include "base/sys.h"
#include "compat/background.h"
#include "compat/filter.h"
#include "compat/supervisor.h"

namespace outlive::compat {
namespace {

// How far a program came: what it tells the supervisor, and the supervisor whoever waits.
struct Report {
  uint32_t magic = abi::kCompatMagic;
  pid_t program = 0;
  int error = 0;  // errno of the filter, or of exec
  bool filtered = false;
};

// The terminal's signals, and what is sent to all of the run, are the program's; what ends it ends
// the supervisor too.
class IgnoredSignals {
 public:
  IgnoredSignals() {
    for (size_t i = 0; i < kSignals.size(); ++i) before_[i] = signal(kSignals[i], SIG_IGN);
  }
  void restore() const {
    for (size_t i = 0; i < kSignals.size(); ++i) signal(kSignals[i], before_[i]);
  }

 private:
  static constexpr std::array kSignals = {SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGPIPE};
  std::array<sighandler_t, kSignals.size()> before_;
};

// In the child: under the filter, and then the program. Says so twice if it fails: the second
// message is missing when exec closed the socket.
[[noreturn]] void become(const std::vector<std::string>& command, BorrowedFd supervisor) {
  Report report;
  UniqueFd none;
  Result<UniqueFd> listener = install_filter();
  if (!listener) report.error = listener.error().code;
  report.filtered = static_cast<bool>(listener);
  const Status sent = send_packet(supervisor, packet_bytes(report), listener ? *listener : none);
  if (!listener || !sent) _exit(1);
  listener->reset();
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  execvp(words[0], words.data());
  report.error = errno;
  const Status told = send_packet(supervisor, packet_bytes(report), {});
  static_cast<void>(told);
  _exit(1);
}

void block(int signal_number, bool blocked) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal_number);
  sigprocmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, nullptr);
}

Status supervise(const std::vector<std::string>& command, Link link, UniqueFd reports) {
  block(SIGCHLD, true);
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return fail_errno("subreaper");
  const IgnoredSignals ignored;
  sys::SocketPair pair = TRY(sys::socketpair(SOCK_SEQPACKET));
  const pid_t parent = getpid();
  Report report;
  report.program = fork();
  if (report.program < 0) return fail_errno("fork");
  if (report.program == 0) {
    ignored.restore();
    for (const int number : {SIGCHLD, SIGINT, SIGTERM}) block(number, false);
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // never without its supervisor
    if (getppid() != parent) _exit(1);
    become(command, pair.second);
  }
  pair.second.reset();
  let_go_of_streams();
  Report heard;
  const Packet first = TRY(receive_packet(pair.first, writable_packet(heard)));
  report.error = first.closed ? EIO : heard.error;
  report.filtered = heard.filtered;
  if (report.error == 0) {
    const Packet second = TRY(receive_packet(pair.first, writable_packet(heard)));
    if (!second.closed) report.error = heard.error;
  }
  TRY(send_packet(reports, packet_bytes(report), {}));
  if (report.error != 0) return {};
  Supervisor supervisor(UniqueFd(dup(first.fd.get())), std::move(link), report.program,
                        std::move(reports));
  return supervisor.run();
}

// A signal that was sent to us alone; the terminal's have gone to the program as well.
void pass_on(BorrowedFd interrupt, pid_t program) {
  signalfd_siginfo info;
  while (::read(interrupt.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_code > 0) continue;
    const Status sent = sys::kill(program, static_cast<int>(info.ssi_signo));
    static_cast<void>(sent);
  }
}

}  // namespace

Result<Program> Program::start(const std::vector<std::string>& command, Link link) {
  sys::SocketPair pair = TRY(sys::socketpair(SOCK_SEQPACKET));
  const pid_t child = fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) {
    pair.first.reset();
    const Status done = supervise(command, std::move(link), std::move(pair.second));
    _exit(done ? 0 : 1);
  }
  pair.second.reset();
  Report report;
  const Packet packet = TRY(receive_packet(pair.first, writable_packet(report)));
  if (packet.closed) return fail(EIO, "the supervisor died");
  if (report.error == EBUSY && !report.filtered) {
    return fail(EBUSY, "this is under compat, or another supervisor of system calls, already");
  }
  if (!report.filtered) return fail(ENOSYS, "seccomp filter: {}", errno_name(report.error));
  if (report.error != 0) return fail(report.error, "{}", command.front());
  Program program;
  program.pid_ = report.program;
  program.reports_ = std::move(pair.first);
  return program;
}

Result<int> Program::wait(BorrowedFd interrupt) {
  // The terminal's: how the program takes them decides.
  for (const int ignored : {SIGQUIT, SIGHUP}) signal(ignored, SIG_IGN);
  pollfd fds[] = {{reports_.get(), POLLIN, 0}, {interrupt.get(), POLLIN, 0}};
  for (;;) {
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return fail_errno("poll");
    if (fds[1].revents & POLLIN) pass_on(interrupt, pid_);
    if (fds[0].revents == 0) continue;
    int status = 0;
    const size_t got = TRY(sys::recv(reports_, std::as_writable_bytes(std::span(&status, 1)), 0));
    if (got != sizeof status) return fail(EIO, "the supervisor died");
    return status;
  }
}

}  // namespace outlive::compat
