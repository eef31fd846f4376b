// Files of many kinds: only memfds are for preserving.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "agent.h"

namespace abi_agent {
namespace {

// A folder of a tmpfs that is the caller's to choose; in the virtual machine /tmp is one.
std::string tmpfs_folder() {
  const char* folder = getenv("ABI_AGENT_TMPFS");
  return folder != nullptr ? folder : "/tmp";
}

int tmpfs_file(bool linked) {
  const std::string path = tmpfs_folder() + (linked ? "/linked" : "/unlinked");
  const int fd = open(path.c_str(), O_CREAT | O_RDWR, 0600);
  if (fd >= 0 && !linked) unlink(path.c_str());
  return fd;
}

int one_of(int result, const int (&pair)[2], int keep) {
  if (result != 0) return -1;
  close(pair[1 - keep]);
  return pair[keep];
}

int in_pipe(int end) {
  int pair[2];
  return one_of(pipe(pair), pair, end);
}

int in_socketpair(int type) {
  int pair[2];
  return one_of(socketpair(AF_UNIX, type, 0, pair), pair, 0);
}

int signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  return signalfd(-1, &set, 0);
}

}  // namespace

int make_kind(const std::string& kind) {
  if (kind == "pipe-read") return in_pipe(0);
  if (kind == "pipe-write") return in_pipe(1);
  if (kind == "unix-stream") return in_socketpair(SOCK_STREAM);
  if (kind == "unix-packet") return in_socketpair(SOCK_SEQPACKET);
  if (kind == "tcp") return socket(AF_INET, SOCK_STREAM, 0);
  if (kind == "udp6") return socket(AF_INET6, SOCK_DGRAM, 0);
  if (kind == "eventfd") return eventfd(1, 0);
  if (kind == "epoll") return epoll_create1(0);
  if (kind == "signalfd") return signals();
  if (kind == "timerfd") return timerfd_create(CLOCK_MONOTONIC, 0);
  if (kind == "inotify") return inotify_init1(0);
  if (kind == "pidfd") return static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  if (kind == "null") return open("/dev/null", O_RDWR);
  if (kind == "zero") return open("/dev/zero", O_RDWR);
  if (kind == "folder") return open("/", O_RDONLY | O_DIRECTORY);
  if (kind == "path") return open("/proc/self/exe", O_PATH);
  if (kind == "proc") return open("/proc/self/stat", O_RDONLY);
  if (kind == "program") return open("/proc/self/exe", O_RDONLY);
  if (kind == "huge-memfd") return memfd_create("huge", MFD_HUGETLB);
  if (kind == "tmpfs-nameless") return open(tmpfs_folder().c_str(), O_TMPFILE | O_RDWR, 0600);
  if (kind == "tmpfs-unlinked") return tmpfs_file(false);
  if (kind == "tmpfs-linked") return tmpfs_file(true);
  if (kind == "tmpfs-folder") return open(tmpfs_folder().c_str(), O_RDONLY | O_DIRECTORY);
  errno = EINVAL;
  return -1;
}

}  // namespace abi_agent
