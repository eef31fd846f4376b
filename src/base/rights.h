// Descriptors in a message of a Unix socket: SCM_RIGHTS, unix(7).
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <span>
#include <vector>

#include "base/unique_fd.h"

namespace outlive {

// Room for the control part of a message with so many of them.
template <size_t kFds>
struct RightsRoom {
  alignas(cmsghdr) std::byte bytes[CMSG_SPACE(kFds * sizeof(int))];
};

// Before sendmsg: makes them the message's control part, in `room`, which has to have enough of it
// and to live as long. None: the message has none.
void put_rights(std::span<const BorrowedFd> fds, std::span<std::byte> room, msghdr& message);

// After recvmsg: every one that the kernel has installed, so that all have an owner at once.
std::vector<UniqueFd> take_rights(msghdr& message);

}  // namespace outlive
