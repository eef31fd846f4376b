#include "program.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <vector>

#include "base/sys.h"

namespace outlive::guest {
namespace {

// In the child: never returns.
[[noreturn]] void become(std::span<const std::string> words, const UniqueFd& output) {
  for (; !words.empty() && words[0][0] != '/'; words = words.subspan(1)) {
    putenv(const_cast<char*>(words[0].c_str()));  // NAME=VALUE
  }
  if (words.empty()) _exit(127);
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setsid();
  const int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, STDIN_FILENO);
  dup2(output.get(), STDOUT_FILENO);
  dup2(output.get(), STDERR_FILENO);
  close_range(STDERR_FILENO + 1, ~0u, 0);
  execv(argv[0], argv.data());
  dprintf(STDERR_FILENO, "can't start %s: %s\n", argv[0], strerror(errno));
  _exit(127);
}

// Everything that the pipe holds now.
Status pass_on(const UniqueFd& pipe, Channel& channel) {
  std::array<std::byte, 16384> buffer;
  while (true) {
    const auto got = sys::read(pipe.borrow(), buffer);
    if (!got && got.error().code == EAGAIN) return {};
    const size_t size = TRY(got);
    if (size == 0) return {};
    TRY(channel.send(fmt::format("out {}", size), {reinterpret_cast<char*>(buffer.data()), size}));
  }
}

// Buries whoever has died: everybody's orphans are PID 1's. The status of `wanted`, if it was
// there.
std::optional<int> bury(pid_t wanted) {
  std::optional<int> found;
  int status = 0;
  for (pid_t pid = 0; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid == wanted) found = status;
  }
  return found;
}

Result<UniqueFd> deaths() {
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  sigprocmask(SIG_BLOCK, &children, nullptr);
  UniqueFd fd(signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_errno("signalfd");
  return fd;
}

// Passes output on until the program has ended; its wait status.
Result<int> attend(pid_t pid, const UniqueFd& output, const UniqueFd& children, Channel& channel) {
  bool open = true;
  while (true) {
    std::array<pollfd, 2> wait{pollfd{children.get(), POLLIN, 0},
                               pollfd{open ? output.get() : -1, POLLIN, 0}};
    if (poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR) return fail_errno("poll");
    if (wait[1].revents != 0) TRY(pass_on(output, channel));
    // It has closed its output, and runs on.
    if ((wait[1].revents & (POLLIN | POLLHUP)) == POLLHUP) open = false;
    if (wait[0].revents == 0) continue;
    signalfd_siginfo info;
    TRY(sys::read(children.borrow(), std::as_writable_bytes(std::span(&info, 1))));
    if (const auto status = bury(pid)) {
      TRY(pass_on(output, channel));
      return *status;
    }
  }
}

}  // namespace

Status run_program(std::span<const std::string> words, Channel& channel) {
  if (words.empty()) return fail(EINVAL, "run what?");
  const UniqueFd children = TRY(deaths());
  sys::Pipe pipe = TRY(sys::pipe());
  TRY(sys::set_nonblocking(pipe.read, true));
  const pid_t pid = fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) become(words, pipe.write);
  pipe.write.reset();
  const int status = TRY(attend(pid, pipe.read, children, channel));
  if (WIFSIGNALED(status)) return channel.send(fmt::format("signal {}", WTERMSIG(status)));
  return channel.send(fmt::format("exit {}", WEXITSTATUS(status)));
}

Status start_program(std::span<const std::string> words, Channel& channel) {
  if (words.size() < 2) return fail(EINVAL, "start what, and where does its output go?");
  const UniqueFd output = TRY(sys::open(words[0], O_WRONLY | O_CREAT | O_APPEND, 0644));
  const pid_t pid = fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) become(words.subspan(1), output);
  return channel.send("exit 0");
}

}  // namespace outlive::guest
