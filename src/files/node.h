// What can be learnt of an open file from its link in /proc and the cached statx alone: enough for
// every kind but sockets and memfds. Shared by classify (our own table) and survey (any process).
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "luo/file_handler.h"

namespace outlive::files {

struct Node {
  std::string link;  // of /proc/self/fd/N, as it is: not for people
  uint32_t mode = 0;
  uint32_t links = 0;
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  uint32_t device_major = 0;  // of a device node
  uint32_t device_minor = 0;
};

// Works for an O_PATH fd too. Asks no file system that could hang: a link is made from the dentry
// cache, and AT_STATX_DONT_SYNC keeps FUSE and network file systems from asking their server.
Result<Node> node_of(BorrowedFd fd);
// The same in two halves: everything but the link (EBADF: not open), and the link.
Result<Node> node_without_link(BorrowedFd fd);
Result<std::string> link_of(BorrowedFd fd);

// A link that starts with no '/' is the kernel's own name ("pipe:[7]"): no path can look like it.
bool is_pseudo(const Node& node);

// Everything that the node tells. A socket comes out as kOtherSocket, a memfd as kRegular:
// classify and survey look closer, each in its own way.
luo::FileFacts facts_of(const Node& node);

}  // namespace outlive::files
