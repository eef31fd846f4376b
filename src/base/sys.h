// The system calls that outlive makes, one wrapper each, no policy.
//
// Every wrapper retries EINTR (but close and those of epoll), passes the fault point "sys.NAME"
// first (read, write and send also "short.NAME", which halves the bytes), and names its object in
// the error. Fds are made CLOEXEC unless the name says otherwise.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::sys {

// --- files ---------------------------------------------------------------------------------------
Result<UniqueFd> open(const std::string& path, int flags, mode_t mode = 0600);
// One read(2): bytes read, 0 at the end.
Result<size_t> read(BorrowedFd fd, std::span<std::byte> into);
Result<size_t> write(BorrowedFd fd, std::span<const std::byte> from);
// All of it, over as many write(2) as it takes.
Status write_all(BorrowedFd fd, std::string_view text);
// Up to `most` bytes; EFBIG when there are more.
Result<std::string> read_file(const std::string& path, size_t most = 1 << 20);
// Written beside, synced, renamed over: whole or not at all. What is no regular file (a device, a
// pipe, a symbolic link such as /dev/stdout) is written into: a rename would replace it.
Status write_file(const std::string& path, std::string_view text, mode_t mode = 0600);
Result<std::string> readlink(const std::string& path);
Status unlink(const std::string& path);
Status mkdir(const std::string& path, mode_t mode);
Status rename(const std::string& from, const std::string& to);
Result<struct stat> fstat(BorrowedFd fd);
// What is cached of the file, never asking a remote or FUSE server (AT_STATX_DONT_SYNC): does not
// block.
Result<struct statx> statx_cached(BorrowedFd fd, unsigned mask);
Result<UniqueFd> memfd_create(const char* name, unsigned flags);
Status ftruncate(BorrowedFd fd, uint64_t size);
Status fallocate(BorrowedFd fd, int mode, uint64_t offset, uint64_t length);
Status flock(BorrowedFd fd, int operation);

// --- descriptors ---------------------------------------------------------------------------------
Result<UniqueFd> dup_cloexec(BorrowedFd fd, int lowest = 0);
Status dup3(BorrowedFd from, int to, int flags);
Result<int> get_fd_flags(BorrowedFd fd);  // F_GETFD; EBADF when it isn't open
Status set_cloexec(BorrowedFd fd, bool on);
Status set_nonblocking(BorrowedFd fd, bool on);
Result<int> get_seals(BorrowedFd fd);  // EINVAL for a file that can't be sealed
Status add_seals(BorrowedFd fd, int seals);
Status close_range(unsigned first, unsigned last, unsigned flags);
struct Pipe {
  UniqueFd read;
  UniqueFd write;
};
Result<Pipe> pipe();
Result<UniqueFd> eventfd(unsigned initial);
Result<UniqueFd> timerfd();

// --- memory --------------------------------------------------------------------------------------
// Owns a mapping.
class Mapping {
 public:
  Mapping() = default;
  Mapping(void* data, size_t size) : data_(static_cast<std::byte*>(data)), size_(size) {}
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();
  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  bool valid() const { return data_ != nullptr; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};
Result<Mapping> mmap(size_t size, int protection, int flags, BorrowedFd fd, uint64_t offset = 0);

// --- sockets -------------------------------------------------------------------------------------
Result<UniqueFd> socket(int domain, int type, int protocol = 0);
struct SocketPair {
  UniqueFd first;
  UniqueFd second;
};
Result<SocketPair> socketpair(int type);
Status bind(BorrowedFd fd, const sockaddr* address, socklen_t length);
Status listen(BorrowedFd fd, int backlog);
Status connect(BorrowedFd fd, const sockaddr* address, socklen_t length);
Result<UniqueFd> accept(BorrowedFd fd, int flags);
Result<size_t> send(BorrowedFd fd, std::span<const std::byte> data, int flags);
Result<size_t> recv(BorrowedFd fd, std::span<std::byte> into, int flags);
Result<size_t> sendmsg(BorrowedFd fd, const msghdr& message, int flags);
Result<size_t> recvmsg(BorrowedFd fd, msghdr& message, int flags);
Status shutdown(BorrowedFd fd, int how);
Result<ucred> peer_credentials(BorrowedFd fd);
// Whether the process that connected is there no more: its pid may be somebody else's by now. By
// the pidfd that the kernel keeps with the socket (SO_PEERPIDFD, Linux 6.5); false where it has
// none.
bool is_peer_gone(BorrowedFd fd);
// Its supplementary groups, as of its connect.
Result<std::vector<uint64_t>> peer_groups(BorrowedFd fd);
Result<int> get_int_option(BorrowedFd fd, int level, int name);
Status set_int_option(BorrowedFd fd, int level, int name, int value);
// A sockaddr_un of `path` ('@' first: abstract). ENAMETOOLONG names the length and the limit.
struct UnixAddress {
  sockaddr_un address{};
  socklen_t length = 0;
};
Result<UnixAddress> unix_address(const std::string& path);

// --- events --------------------------------------------------------------------------------------
Result<UniqueFd> epoll_create();
Status epoll_ctl(BorrowedFd epoll, int operation, BorrowedFd fd, uint32_t events, uint64_t data);
// EINTR is an empty answer. timeout_ms < 0: no limit.
Result<size_t> epoll_wait(BorrowedFd epoll, std::span<epoll_event> into, int timeout_ms);
// The same in nanoseconds; before Linux 5.11 rounded up to milliseconds.
Result<size_t> epoll_pwait2(BorrowedFd epoll, std::span<epoll_event> into, uint64_t timeout_ns);

// --- processes -----------------------------------------------------------------------------------
Result<UniqueFd> pidfd_open(pid_t pid);
Status pidfd_send_signal(BorrowedFd pidfd, int signal);
Status kill(pid_t pid, int signal);  // pid < 0: the process group

}  // namespace outlive::sys
