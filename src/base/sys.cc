#include "base/sys.h"

#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fault.h"

namespace outlive::sys {
namespace {

// The errno of an injected fault, or of the call itself; EINTR is retried.
template <typename Call>
auto attempt(const char* point, Call call) {
  for (;;) {
    const int code = fault(point);
    const auto result = code != 0 ? static_cast<decltype(call())>(-1) : call();
    if (code != 0) errno = code;
    if (result != -1 || errno != EINTR) return result;
  }
}

// A short read or write is nothing but a success with fewer bytes.
size_t shortened(const char* point, size_t size) {
  return size > 1 && fault(point) != 0 ? size / 2 : size;
}

template <typename Call>
Status status_of(const char* point, std::string_view what, Call call) {
  if (attempt(point, call) == -1) return fail_errno(what);
  return {};
}

template <typename Call>
Result<UniqueFd> fd_of(const char* point, std::string_view what, Call call) {
  const int number = static_cast<int>(attempt(point, call));
  if (number == -1) return fail_errno(what);
  return UniqueFd(number);
}

template <typename Call>
Result<size_t> size_of(const char* point, std::string_view what, Call call) {
  const ssize_t size = attempt(point, call);
  if (size == -1) return fail_errno(what);
  return static_cast<size_t>(size);
}

}  // namespace

Result<UniqueFd> open(const std::string& path, int flags, mode_t mode) {
  return fd_of("sys.open", path, [&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); });
}
Result<size_t> read(BorrowedFd fd, std::span<std::byte> into) {
  const size_t size = shortened("short.read", into.size());
  return size_of("sys.read", "read", [&] { return ::read(fd.get(), into.data(), size); });
}
Result<size_t> write(BorrowedFd fd, std::span<const std::byte> from) {
  const size_t size = shortened("short.write", from.size());
  return size_of("sys.write", "write", [&] { return ::write(fd.get(), from.data(), size); });
}
Status write_all(BorrowedFd fd, std::string_view text) {
  while (!text.empty()) {
    const size_t done = TRY(write(fd, std::as_bytes(std::span(text))));
    text.remove_prefix(done);
  }
  return {};
}
Result<std::string> read_file(const std::string& path, size_t most) {
  const UniqueFd fd = TRY(open(path, O_RDONLY));
  std::string text;
  char buffer[16384];
  for (;;) {
    const size_t got = TRY(read(fd, std::as_writable_bytes(std::span(buffer))).context("{}", path));
    if (got == 0) return text;
    if (text.size() + got > most) return fail(EFBIG, "{}: larger than {} bytes", path, most);
    text.append(buffer, got);
  }
}
namespace {
Status write_and_sync(const std::string& path, std::string_view text, mode_t mode) {
  const UniqueFd fd = TRY(open(path, O_WRONLY | O_CREAT | O_TRUNC, mode));
  TRY(write_all(fd, text).context("{}", path));
  // EINVAL: a device or a pipe, which has nothing to sync.
  if (::fsync(fd.get()) == -1 && errno != EINVAL) return fail_errno(path);
  return {};
}
}  // namespace
Status write_file(const std::string& path, std::string_view text, mode_t mode) {
  struct stat there {};
  if (::lstat(path.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) {
    return write_and_sync(path, text, mode);
  }
  const std::string beside = path + ".new";
  Status done = write_and_sync(beside, text, mode);
  if (done) done = rename(beside, path);
  // A disk that is full must not keep the half that did fit.
  if (!done) ::unlink(beside.c_str());
  return done;
}
Result<std::string> readlink(const std::string& path) {
  char buffer[4096];
  const size_t length = TRY(size_of(
      "sys.readlink", path, [&] { return ::readlink(path.c_str(), buffer, sizeof buffer); }));
  return std::string(buffer, length);
}
Status unlink(const std::string& path) {
  return status_of("sys.unlink", path, [&] { return ::unlink(path.c_str()); });
}
Status mkdir(const std::string& path, mode_t mode) {
  return status_of("sys.mkdir", path, [&] { return ::mkdir(path.c_str(), mode); });
}
Status rename(const std::string& from, const std::string& to) {
  return status_of("sys.rename", to, [&] { return ::rename(from.c_str(), to.c_str()); });
}
Result<struct stat> fstat(BorrowedFd fd) {
  struct stat result {};
  TRY(status_of("sys.fstat", "fstat", [&] { return ::fstat(fd.get(), &result); }));
  return result;
}
Result<struct statx> statx_cached(BorrowedFd fd, unsigned mask) {
  struct statx result {};
  TRY(status_of("sys.statx", "statx", [&] {
    return ::statx(fd.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, mask, &result);
  }));
  return result;
}
Result<UniqueFd> memfd_create(const char* name, unsigned flags) {
  return fd_of("sys.memfd_create", name, [&] { return ::memfd_create(name, flags | MFD_CLOEXEC); });
}
Status ftruncate(BorrowedFd fd, uint64_t size) {
  return status_of("sys.ftruncate", "ftruncate",
                   [&] { return ::ftruncate(fd.get(), static_cast<off_t>(size)); });
}
Status fallocate(BorrowedFd fd, int mode, uint64_t offset, uint64_t length) {
  return status_of("sys.fallocate", "fallocate", [&] {
    return ::fallocate(fd.get(), mode, static_cast<off_t>(offset), static_cast<off_t>(length));
  });
}
Status flock(BorrowedFd fd, int operation) {
  return status_of("sys.flock", "flock", [&] { return ::flock(fd.get(), operation); });
}

Result<UniqueFd> dup_cloexec(BorrowedFd fd, int lowest) {
  return fd_of("sys.dup", "dup", [&] { return ::fcntl(fd.get(), F_DUPFD_CLOEXEC, lowest); });
}
Status dup3(BorrowedFd from, int to, int flags) {
  return status_of("sys.dup3", "dup3", [&] { return ::dup3(from.get(), to, flags); });
}
Result<int> get_fd_flags(BorrowedFd fd) {
  const int flags = attempt("sys.fcntl", [&] { return ::fcntl(fd.get(), F_GETFD); });
  if (flags == -1) return fail_errno("F_GETFD");
  return flags;
}
Status set_cloexec(BorrowedFd fd, bool on) {
  return status_of("sys.fcntl", "F_SETFD",
                   [&] { return ::fcntl(fd.get(), F_SETFD, on ? FD_CLOEXEC : 0); });
}
Status set_nonblocking(BorrowedFd fd, bool on) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags == -1) return fail_errno("F_GETFL");
  const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return status_of("sys.fcntl", "F_SETFL", [&] { return ::fcntl(fd.get(), F_SETFL, wanted); });
}
Result<int> get_seals(BorrowedFd fd) {
  const int seals = attempt("sys.fcntl", [&] { return ::fcntl(fd.get(), F_GET_SEALS); });
  if (seals == -1) return fail_errno("F_GET_SEALS");
  return seals;
}
Status add_seals(BorrowedFd fd, int seals) {
  return status_of("sys.fcntl", "F_ADD_SEALS",
                   [&] { return ::fcntl(fd.get(), F_ADD_SEALS, seals); });
}
Status close_range(unsigned first, unsigned last, unsigned flags) {
  return status_of("sys.close_range", "close_range",
                   [&] { return ::syscall(SYS_close_range, first, last, flags); });
}
Result<Pipe> pipe() {
  int ends[2];
  TRY(status_of("sys.pipe", "pipe", [&] { return ::pipe2(ends, O_CLOEXEC); }));
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}
Result<UniqueFd> eventfd(unsigned initial) {
  return fd_of("sys.eventfd", "eventfd",
               [&] { return ::eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK); });
}
Result<UniqueFd> timerfd() {
  return fd_of("sys.timerfd", "timerfd",
               [&] { return ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK); });
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) ::munmap(data_, size_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}
Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, size_);
}
Result<Mapping> mmap(size_t size, int protection, int flags, BorrowedFd fd, uint64_t offset) {
  if (const int code = fault("sys.mmap")) return fail(code, "mmap: injected");
  void* data = ::mmap(nullptr, size, protection, flags, fd.get(), static_cast<off_t>(offset));
  if (data == MAP_FAILED) return fail_errno("mmap");
  return Mapping(data, size);
}

Result<UniqueFd> socket(int domain, int type, int protocol) {
  return fd_of("sys.socket", "socket",
               [&] { return ::socket(domain, type | SOCK_CLOEXEC, protocol); });
}
Result<SocketPair> socketpair(int type) {
  int ends[2];
  TRY(status_of("sys.socketpair", "socketpair",
                [&] { return ::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends); }));
  return SocketPair{UniqueFd(ends[0]), UniqueFd(ends[1])};
}
Status bind(BorrowedFd fd, const sockaddr* address, socklen_t length) {
  return status_of("sys.bind", "bind", [&] { return ::bind(fd.get(), address, length); });
}
Status listen(BorrowedFd fd, int backlog) {
  return status_of("sys.listen", "listen", [&] { return ::listen(fd.get(), backlog); });
}
Status connect(BorrowedFd fd, const sockaddr* address, socklen_t length) {
  return status_of("sys.connect", "connect", [&] { return ::connect(fd.get(), address, length); });
}
Result<UniqueFd> accept(BorrowedFd fd, int flags) {
  return fd_of("sys.accept", "accept",
               [&] { return ::accept4(fd.get(), nullptr, nullptr, flags | SOCK_CLOEXEC); });
}
Result<size_t> send(BorrowedFd fd, std::span<const std::byte> data, int flags) {
  const size_t size = shortened("short.send", data.size());
  return size_of("sys.send", "send",
                 [&] { return ::send(fd.get(), data.data(), size, flags | MSG_NOSIGNAL); });
}
Result<size_t> recv(BorrowedFd fd, std::span<std::byte> into, int flags) {
  return size_of("sys.recv", "recv",
                 [&] { return ::recv(fd.get(), into.data(), into.size(), flags); });
}
Result<size_t> sendmsg(BorrowedFd fd, const msghdr& message, int flags) {
  return size_of("sys.sendmsg", "sendmsg",
                 [&] { return ::sendmsg(fd.get(), &message, flags | MSG_NOSIGNAL); });
}
Result<size_t> recvmsg(BorrowedFd fd, msghdr& message, int flags) {
  return size_of("sys.recvmsg", "recvmsg", [&] { return ::recvmsg(fd.get(), &message, flags); });
}
Status shutdown(BorrowedFd fd, int how) {
  return status_of("sys.shutdown", "shutdown", [&] { return ::shutdown(fd.get(), how); });
}
Result<ucred> peer_credentials(BorrowedFd fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  TRY(status_of("sys.getsockopt", "SO_PEERCRED",
                [&] { return ::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length); }));
  return peer;
}

bool is_peer_gone(BorrowedFd fd) {
  constexpr int kPeerPidfd = 77;  // SO_PEERPIDFD of asm-generic/socket.h, newer than Debian 12's
  int number = -1;
  socklen_t length = sizeof number;
  if (::getsockopt(fd.get(), SOL_SOCKET, kPeerPidfd, &number, &length) != 0) {
    return errno == ESRCH || errno == EINVAL;  // waited for, before and since Linux 6.16
  }
  const UniqueFd pidfd(number);
  pollfd ended{number, POLLIN, 0};
  return ::poll(&ended, 1, 0) == 1;
}

Result<std::vector<uint64_t>> peer_groups(BorrowedFd fd) {
  std::vector<gid_t> groups(32);
  socklen_t length = 0;
  const auto ask = [&] {
    length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    return ::getsockopt(fd.get(), SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length);
  };
  if (ask() != 0 && errno == ERANGE) groups.resize(length / sizeof(gid_t));
  TRY(status_of("sys.getsockopt", "SO_PEERGROUPS", ask));
  groups.resize(length / sizeof(gid_t));
  return std::vector<uint64_t>(groups.begin(), groups.end());
}
Result<int> get_int_option(BorrowedFd fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  TRY(status_of("sys.getsockopt", "getsockopt",
                [&] { return ::getsockopt(fd.get(), level, name, &value, &length); }));
  return value;
}
Status set_int_option(BorrowedFd fd, int level, int name, int value) {
  return status_of("sys.setsockopt", "setsockopt",
                   [&] { return ::setsockopt(fd.get(), level, name, &value, sizeof value); });
}
Result<UnixAddress> unix_address(const std::string& path) {
  UnixAddress result;
  constexpr size_t kMost = sizeof result.address.sun_path - 1;
  if (path.empty()) return fail(EINVAL, "a socket's path is empty");
  if (path.size() > kMost) {
    return fail(ENAMETOOLONG, "{}: {} bytes, a socket's path has at most {}", path, path.size(),
                kMost);
  }
  result.address.sun_family = AF_UNIX;
  memcpy(result.address.sun_path, path.data(), path.size());
  result.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  if (path[0] == '@') {
    result.address.sun_path[0] = '\0';
  } else {
    ++result.length;
  }
  return result;
}

Result<UniqueFd> epoll_create() {
  return fd_of("sys.epoll_create", "epoll_create1", [] { return ::epoll_create1(EPOLL_CLOEXEC); });
}
Status epoll_ctl(BorrowedFd epoll, int operation, BorrowedFd fd, uint32_t events, uint64_t data) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  return status_of("sys.epoll_ctl", "epoll_ctl",
                   [&] { return ::epoll_ctl(epoll.get(), operation, fd.get(), &event); });
}
Result<size_t> epoll_wait(BorrowedFd epoll, std::span<epoll_event> into, int timeout_ms) {
  const int code = fault("sys.epoll_wait");
  const int count =
      code != 0 ? -1
                : ::epoll_wait(epoll.get(), into.data(), static_cast<int>(into.size()), timeout_ms);
  if (code != 0) errno = code;
  if (count == -1) {
    if (errno == EINTR) return size_t{0};
    return fail_errno("epoll_wait");
  }
  return static_cast<size_t>(count);
}

Result<size_t> epoll_pwait2(BorrowedFd epoll, std::span<epoll_event> into, uint64_t timeout_ns) {
  constexpr uint64_t kSecond = 1'000'000'000;
  const timespec timeout{static_cast<time_t>(timeout_ns / kSecond),
                         static_cast<long>(timeout_ns % kSecond)};
  const int code = fault("sys.epoll_pwait2");
  const int count = code != 0 ? -1
                              : ::epoll_pwait2(epoll.get(), into.data(),
                                               static_cast<int>(into.size()), &timeout, nullptr);
  if (code != 0) errno = code;
  if (count == -1) {
    if (errno == EINTR) return size_t{0};
    if (errno == ENOSYS) {
      return epoll_wait(epoll, into, static_cast<int>((timeout_ns + 999'999) / 1'000'000));
    }
    return fail_errno("epoll_pwait2");
  }
  return static_cast<size_t>(count);
}

Result<UniqueFd> pidfd_open(pid_t pid) {
  return fd_of("sys.pidfd_open", "pidfd_open", [&] { return ::syscall(SYS_pidfd_open, pid, 0); });
}
Status pidfd_send_signal(BorrowedFd pidfd, int signal) {
  return status_of("sys.pidfd_send_signal", "pidfd_send_signal", [&] {
    return ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
  });
}
Status kill(pid_t pid, int signal) {
  return status_of("sys.kill", "kill", [&] { return ::kill(pid, signal); });
}

}  // namespace outlive::sys
