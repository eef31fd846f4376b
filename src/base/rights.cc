#include "base/rights.h"

#include <string.h>

namespace outlive {

void put_rights(std::span<const BorrowedFd> fds, std::span<std::byte> room, msghdr& message) {
  if (fds.empty()) return;
  const size_t bytes = fds.size() * sizeof(int);
  message.msg_control = room.data();
  message.msg_controllen = CMSG_SPACE(bytes);
  memset(room.data(), 0, CMSG_SPACE(bytes));
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(bytes);
  for (size_t i = 0; i < fds.size(); ++i) {
    const int number = fds[i].get();
    memcpy(CMSG_DATA(rights) + i * sizeof number, &number, sizeof number);
  }
}

std::vector<UniqueFd> take_rights(msghdr& message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    fds.reserve(fds.size() + count);
    for (size_t i = 0; i < count; ++i) {
      int number = -1;
      memcpy(&number, CMSG_DATA(part) + i * sizeof number, sizeof number);
      fds.emplace_back(number);
    }
  }
  return fds;
}

}  // namespace outlive
