// A service manager as far as outlived knows one, for a machine without: it starts the program,
// keeps its descriptors (sd_notify(3), FDSTORE=1), and hands them over when it starts it again.
//   manager FOLDER MOST PROGRAM [ARG...]     takes MOST descriptors
//   manager FOLDER keep NAME memfd|session   somebody has something kept under that name: a
//                                            session of the kernel's is any that a process has open
// FOLDER/notify is its socket; FOLDER/store always says what is kept: a line for each name, in the
// order of coming; FOLDER/starts how often the program was started, FOLDER/pid who that was.
// SIGUSR1: all of the program's processes die at once, and it is started again. The N-th start has
// the fault page FOLDER/page.N, if there is one (programs/faults.cc). As systemd's: an open file
// that is there already is dropped, whatever its name; removal is by name; LISTEN_FDS start at 3.
#include <linux/kcmp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/rights.h"
#include "base/sys.h"

namespace outlive {
namespace {

constexpr int kFirst = 3;

struct Kept {
  std::string name;
  UniqueFd fd;
};

bool same_file(BorrowedFd one, BorrowedFd other) {
  const pid_t self = getpid();
  return syscall(SYS_kcmp, self, self, KCMP_FILE, one.get(), other.get()) == 0;
}

std::vector<pid_t> processes() {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    if (const pid_t pid = atoi(entry.path().filename().c_str()); pid > 0) found.push_back(pid);
  }
  return found;
}

// Everybody's orphans are ours, so all but us and PID 1 and what it started are below us.
std::vector<pid_t> descendants() {
  std::vector<std::pair<pid_t, pid_t>> all;  // pid, parent
  for (const pid_t pid : processes()) {
    const auto stat = sys::read_file(fmt::format("/proc/{}/stat", pid), 4096);
    const size_t end = stat ? stat->rfind(')') : std::string::npos;
    int parent = 0;
    if (end != std::string::npos && sscanf(stat->c_str() + end + 1, " %*c %d", &parent) == 1) {
      all.emplace_back(pid, parent);
    }
  }
  std::vector<pid_t> found{getpid()};
  for (size_t i = 0; i < found.size(); ++i) {
    for (const auto& [pid, parent] : all) {
      if (parent == found[i]) found.push_back(pid);
    }
  }
  found.erase(found.begin());
  return found;
}

class Manager {
 public:
  Manager(std::string folder, size_t most, std::span<char*> words)
      : folder_(std::move(folder)), most_(most), words_(words.begin(), words.end()) {
    words_.push_back(nullptr);
  }

  Status run() {
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return fail_errno("subreaper");
    notify_ = TRY(sys::socket(AF_UNIX, SOCK_DGRAM));
    const sys::UnixAddress address = TRY(sys::unix_address(folder_ + "/notify"));
    TRY(sys::bind(notify_, reinterpret_cast<const sockaddr*>(&address.address), address.length));
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    const UniqueFd told(signalfd(-1, &signals, SFD_CLOEXEC));
    if (!told) return fail_errno("signalfd");
    TRY(write("pid", std::to_string(getpid())));
    TRY(start());
    while (true) {
      std::array<pollfd, 2> wait{pollfd{notify_.get(), POLLIN, 0}, pollfd{told.get(), POLLIN, 0}};
      if (poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR) return fail_errno("poll");
      if (wait[0].revents != 0) TRY(take_in(0));
      if (wait[1].revents == 0) continue;
      signalfd_siginfo info;
      TRY(sys::read(told.borrow(), std::as_writable_bytes(std::span(&info, 1))));
      TRY(kill_all());
      TRY(start());
    }
  }

 private:
  // Nobody sees another one die.
  Status kill_all() {
    for (const int how : {SIGSTOP, SIGKILL}) {
      for (const pid_t pid : descendants()) ::kill(pid, how);
    }
    while (waitpid(-1, nullptr, 0) > 0) {
    }
    if (errno != ECHILD) return fail_errno("waitpid");
    for (bool more = true; more;) more = TRY(take_in(MSG_DONTWAIT));
    return {};
  }

  // One message, or none.
  Result<bool> take_in(int flags) {
    char text[4096];
    RightsRoom<16> room;
    iovec part{text, sizeof text};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = room.bytes;
    header.msg_controllen = sizeof room.bytes;
    const Result<size_t> got = sys::recvmsg(notify_, header, flags | MSG_CMSG_CLOEXEC);
    if (!got && got.error().code == EAGAIN) return false;
    const size_t size = TRY(got);
    const std::string_view words(text, size);
    std::vector<UniqueFd> fds = take_rights(header);
    const size_t at = words.find("FDNAME=");
    const std::string_view rest =
        words.substr(at == std::string_view::npos ? words.size() : at + 7);
    const std::string name(rest.substr(0, rest.find('\n')));
    if (words.starts_with("FDSTORE=1\n")) {
      for (UniqueFd& fd : fds) keep(name, std::move(fd));
    } else if (words.starts_with("FDSTOREREMOVE=1\n")) {
      std::erase_if(kept_, [&](const Kept& one) { return one.name == name; });
    } else {
      return true;  // with its descriptors: that is what BARRIER=1 waits for
    }
    TRY(say());
    return true;
  }

  void keep(const std::string& name, UniqueFd fd) {
    if (kept_.size() >= most_) return;
    for (const Kept& one : kept_) {
      if (same_file(one.fd, fd)) return;
    }
    kept_.push_back({name, std::move(fd)});
  }

  Status say() {
    std::string text;
    for (const Kept& one : kept_) text += one.name + "\n";
    return write("store", text);
  }

  Status write(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    {
      const UniqueFd file = TRY(sys::open(path + ".new", O_WRONLY | O_CREAT | O_TRUNC, 0644));
      TRY(sys::write_all(file, text));
    }
    if (rename((path + ".new").c_str(), path.c_str()) != 0) return fail_errno(path);
    return {};
  }

  Status start() {
    TRY(say());
    const pid_t pid = fork();
    if (pid < 0) return fail_errno("fork");
    if (pid == 0) become();
    return write("starts", std::to_string(++starts_));
  }

  [[noreturn]] void become() {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    const auto count = static_cast<int>(kept_.size());
    std::string names;
    int high = kFirst + count;
    for (const Kept& one : kept_) {
      names += (names.empty() ? "" : ":") + one.name;
      high = std::max(high, one.fd.get() + 1);
    }
    for (int i = 0; i < count; ++i) dup2(kept_[static_cast<size_t>(i)].fd.get(), high + i);
    for (int i = 0; i < count; ++i) dup2(high + i, kFirst + i);
    close_range(static_cast<unsigned>(kFirst + count), ~0u, 0);
    setenv("NOTIFY_SOCKET", (folder_ + "/notify").c_str(), 1);
    setenv("FDSTORE", std::to_string(most_).c_str(), 1);
    setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
    setenv("LISTEN_FDS", std::to_string(count).c_str(), 1);
    setenv("LISTEN_FDNAMES", names.c_str(), 1);
    const std::string page = fmt::format("{}/page.{}", folder_, starts_ + 1);
    if (access(page.c_str(), F_OK) == 0) setenv("OUTLIVE_FAULTS", ("@" + page).c_str(), 1);
    execv(words_[0], words_.data());
    dprintf(STDERR_FILENO, "can't start %s: %s\n", words_[0], strerror(errno));
    _exit(127);
  }

  std::string folder_;
  size_t most_;
  std::vector<char*> words_;
  UniqueFd notify_;
  std::vector<Kept> kept_;
  int starts_ = 0;
};

Result<UniqueFd> find_session() {
  namespace fs = std::filesystem;
  std::error_code error;
  for (const pid_t pid : processes()) {
    for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/fd", pid), error)) {
      const auto link = sys::readlink(entry.path());
      if (!link || !link->starts_with("anon_inode:[luo_session] ")) continue;
      const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
      const int number = atoi(entry.path().filename().c_str());
      UniqueFd found(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), number, 0)));
      if (!found) return fail_errno("pidfd_getfd");
      return found;
    }
  }
  return fail(ENOENT, "nobody has a session of the kernel's open");
}

Status have_kept(const std::string& folder, const std::string& name, const std::string& what) {
  Result<UniqueFd> made =
      what == "session" ? find_session() : sys::memfd_create("strange", MFD_CLOEXEC);
  const UniqueFd file = TRY(std::move(made));
  const UniqueFd socket = TRY(sys::socket(AF_UNIX, SOCK_DGRAM));
  sys::UnixAddress address = TRY(sys::unix_address(folder + "/notify"));
  std::string text = fmt::format("FDSTORE=1\nFDNAME={}\n", name);
  RightsRoom<1> room;
  iovec part{text.data(), text.size()};
  msghdr message{};
  message.msg_name = &address.address;
  message.msg_namelen = address.length;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  const BorrowedFd borrowed = file;
  put_rights({&borrowed, 1}, room.bytes, message);
  TRY(sys::sendmsg(socket, message, MSG_NOSIGNAL));
  return {};
}

}  // namespace
}  // namespace outlive

int main(int count, char** words) {
  if (count < 4) return EXIT_FAILURE;
  if (count == 5 && strcmp(words[2], "keep") == 0) {
    const outlive::Status kept = outlive::have_kept(words[1], words[3], words[4]);
    if (!kept) dprintf(STDERR_FILENO, "manager: %s\n", kept.error().text().c_str());
    return kept ? EXIT_SUCCESS : EXIT_FAILURE;
  }
  const std::span<char*> all(words, static_cast<size_t>(count));
  outlive::Manager manager(words[1], strtoul(words[2], nullptr, 10), all.subspan(3));
  const outlive::Status done = manager.run();
  dprintf(STDERR_FILENO, "manager: %s\n", done.error().text().c_str());
  return EXIT_FAILURE;
}
