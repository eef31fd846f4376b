#include "files/one_of_each.h"

#include <gtest/gtest.h>
#include <linux/io_uring.h>
#include <linux/memfd.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/sys.h"

namespace outlive::files {
namespace {

using luo::FileKind;

class Maker {
 public:
  explicit Maker(const TempDir& dir) : dir_(dir) {}

  void add(const char* what, FileKind kind, Result<UniqueFd> fd, bool connected = false) {
    if (fd) {
      made.files.push_back({what, kind, std::move(*fd), connected});
    } else {
      made.skipped.push_back(std::string(what) + ": " + fd.error().text());
    }
  }
  void add_raw(const char* what, FileKind kind, long number) {
    if (number >= 0) return add(what, kind, UniqueFd(static_cast<int>(number)));
    add(what, kind, fail_errno(what));
  }

  void memory();
  void in_file_system();
  void anonymous();
  void unix_sockets();
  void inet_sockets(int domain);
  void devices();

  OneOfEach made;

 private:
  const TempDir& dir_;
};

void Maker::memory() {
  add("memfd", FileKind::kMemfd, sys::memfd_create("plain", 0));
  add("memfd named like a path", FileKind::kMemfd, sys::memfd_create("a/b", 0));
  add("memfd of huge pages", FileKind::kMemfd, sys::memfd_create("huge", MFD_HUGETLB));
  Result<UniqueFd> sealed = sys::memfd_create("sealed", MFD_ALLOW_SEALING);
  const bool ready = sealed && sys::add_seals(*sealed, F_SEAL_GROW | F_SEAL_SHRINK);
  EXPECT_TRUE(ready);
  add("memfd, sealed", FileKind::kMemfd, std::move(sealed));
}

void Maker::in_file_system() {
  add("regular", FileKind::kRegular, sys::open(dir_.at("regular"), O_RDWR | O_CREAT));
  add("directory", FileKind::kDirectory, sys::open(dir_.at(""), O_RDONLY | O_DIRECTORY));
  EXPECT_EQ(mkfifo(dir_.at("fifo").c_str(), 0600), 0);
  add("FIFO", FileKind::kFifo, sys::open(dir_.at("fifo"), O_RDWR | O_NONBLOCK));
  // Names that pretend to be something else.
  add("regular, named like a memfd", FileKind::kRegular,
      sys::open(dir_.at("memfd:x (deleted)"), O_RDWR | O_CREAT));
  add("regular, named like a socket", FileKind::kRegular,
      sys::open(dir_.at("socket:[1]"), O_RDWR | O_CREAT));
  add("regular, O_PATH", FileKind::kRegular, sys::open(dir_.at("regular"), O_PATH));
  add("/proc/self/ns/net", FileKind::kOther, sys::open("/proc/self/ns/net", O_RDONLY));
}

void Maker::anonymous() {
  Result<sys::Pipe> pipe = sys::pipe();
  ASSERT_TRUE(pipe);
  add("pipe, read", FileKind::kPipe, std::move(pipe->read));
  add("pipe, write", FileKind::kPipe, std::move(pipe->write));
  add("eventfd", FileKind::kEventfd, sys::eventfd(7));
  add("timerfd", FileKind::kTimerfd, sys::timerfd());
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  add_raw("signalfd", FileKind::kSignalfd, signalfd(-1, &mask, SFD_CLOEXEC));
  add("epoll", FileKind::kEpoll, sys::epoll_create());
  add_raw("inotify", FileKind::kInotify, inotify_init1(IN_CLOEXEC));
  add_raw("fanotify", FileKind::kInotify, fanotify_init(FAN_CLOEXEC | FAN_REPORT_FID, O_RDONLY));
  add("pidfd", FileKind::kPidfd, sys::pidfd_open(getpid()));
  io_uring_params parameters{};
  add_raw("io_uring", FileKind::kIoUring, syscall(SYS_io_uring_setup, 2, &parameters));
  add_raw("userfaultfd", FileKind::kOther, syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
}

void Maker::unix_sockets() {
  const auto address = sys::unix_address(dir_.at("s"));
  ASSERT_TRUE(address);
  const auto* raw = reinterpret_cast<const sockaddr*>(&address->address);
  Result<UniqueFd> listener = sys::socket(AF_UNIX, SOCK_STREAM);
  Result<UniqueFd> client = sys::socket(AF_UNIX, SOCK_STREAM);
  ASSERT_TRUE(listener && client);
  ASSERT_TRUE(sys::bind(*listener, raw, address->length));
  ASSERT_TRUE(sys::listen(*listener, 8));
  ASSERT_TRUE(sys::connect(*client, raw, address->length));
  add("unix accepted", FileKind::kUnixConnection, sys::accept(*listener, 0), true);
  add("unix client", FileKind::kUnixConnection, std::move(client), true);
  add("unix listener", FileKind::kUnixListener, std::move(listener));
  add("path of a Unix socket", FileKind::kOther, sys::open(dir_.at("s"), O_PATH));
  add("unix, fresh", FileKind::kUnixConnection, sys::socket(AF_UNIX, SOCK_SEQPACKET));
  add("unix datagram", FileKind::kUnixDatagram, sys::socket(AF_UNIX, SOCK_DGRAM));
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
    Result<sys::SocketPair> pair = sys::socketpair(type);
    ASSERT_TRUE(pair);
    add("unix pair", FileKind::kUnixPair, std::move(pair->first), true);
    made.others.push_back(std::move(pair->second));
  }
}

void Maker::inet_sockets(int domain) {
  sockaddr_storage address{};
  address.ss_family = static_cast<sa_family_t>(domain);
  socklen_t length = sizeof(sockaddr_in);
  if (domain == AF_INET) {
    reinterpret_cast<sockaddr_in*>(&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else {
    reinterpret_cast<sockaddr_in6*>(&address)->sin6_addr = in6addr_loopback;
    length = sizeof(sockaddr_in6);
  }
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  Result<UniqueFd> listener = sys::socket(domain, SOCK_STREAM);
  if (!listener || !sys::bind(*listener, raw, length)) {
    made.skipped.push_back(domain == AF_INET ? "IPv4" : "IPv6: no loopback address here");
    return;
  }
  ASSERT_TRUE(sys::listen(*listener, 8));
  ASSERT_EQ(getsockname(listener->get(), raw, &length), 0);
  Result<UniqueFd> client = sys::socket(domain, SOCK_STREAM);
  Result<UniqueFd> udp = sys::socket(domain, SOCK_DGRAM);
  ASSERT_TRUE(client && udp);
  ASSERT_TRUE(sys::connect(*client, raw, length));
  ASSERT_TRUE(sys::connect(*udp, raw, length));
  add("tcp accepted", FileKind::kTcpConnection, sys::accept(*listener, 0), true);
  add("tcp client", FileKind::kTcpConnection, std::move(client), true);
  add("tcp listener", FileKind::kTcpListener, std::move(listener));
  add("tcp, fresh", FileKind::kTcpConnection, sys::socket(domain, SOCK_STREAM));
  add("udp with a peer", FileKind::kUdp, std::move(udp), true);
  add("udp, fresh", FileKind::kUdp, sys::socket(domain, SOCK_DGRAM));
}

void Maker::devices() {
  add("netlink", FileKind::kOtherSocket, sys::socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  add("packet", FileKind::kOtherSocket, sys::socket(AF_PACKET, SOCK_DGRAM));
  add("vsock", FileKind::kOtherSocket, sys::socket(AF_VSOCK, SOCK_STREAM));
  add("raw", FileKind::kOtherSocket, sys::socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
  add("raw tcp", FileKind::kOtherSocket, sys::socket(AF_INET, SOCK_RAW, IPPROTO_TCP));
  Result<UniqueFd> master = sys::open("/dev/ptmx", O_RDWR | O_NOCTTY);
  char name[64];
  if (master && unlockpt(master->get()) == 0 && ptsname_r(master->get(), name, sizeof name) == 0) {
    add("pty, slave", FileKind::kPty, sys::open(name, O_RDWR | O_NOCTTY));
  }
  add("pty, master", FileKind::kPty, std::move(master));
  add("tun/tap", FileKind::kTun, sys::open("/dev/net/tun", O_RDWR));
  add("/dev/null", FileKind::kCharDevice, sys::open("/dev/null", O_RDWR));
  add("block device", FileKind::kBlockDevice, sys::open("/dev/loop0", O_PATH));
}

}  // namespace

TempDir::TempDir() {
  const char* base = getenv("TMPDIR");
  path_ = std::string(base != nullptr ? base : "/tmp") + "/outlive-files-XXXXXX";
  EXPECT_NE(mkdtemp(path_.data()), nullptr);
}
TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

OneOfEach one_of_each(const TempDir& dir) {
  Maker maker(dir);
  maker.memory();
  maker.in_file_system();
  maker.anonymous();
  maker.unix_sockets();
  maker.inet_sockets(AF_INET);
  maker.inet_sockets(AF_INET6);
  maker.devices();
  for (const std::string& skipped : maker.made.skipped) printf("skipped: %s\n", skipped.c_str());
  return std::move(maker.made);
}

Holder::Holder() {
  const pid_t parent = getpid();
  pid_ = fork();
  EXPECT_NE(pid_, -1);
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  for (;;) pause();
}
void Holder::kill_only() {
  EXPECT_EQ(kill(pid_, SIGKILL), 0);
  siginfo_t info;
  EXPECT_EQ(waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT), 0);
}
void Holder::end() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

}  // namespace outlive::files
