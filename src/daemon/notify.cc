#include "daemon/notify.h"

#include <string.h>
#include <unistd.h>

#include "abi/wire.h"
#include "base/log.h"
#include "base/rights.h"
#include "base/sys.h"
#include "daemon/supervisor.h"

namespace outlive::daemon {

std::string NotifySockets::path(uint64_t instance) const {
  return fmt::format("{}/notify-{:016x}", parts_.runtime.path, instance);
}

Result<UniqueFd> NotifySockets::make(uint64_t instance, uint64_t uid) {
  UniqueFd socket = TRY(sys::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK));
  const sys::UnixAddress address = TRY(sys::unix_address(path(instance)));
  TRY(sys::bind(socket, reinterpret_cast<const sockaddr*>(&address.address), address.length)
          .context("{}", path(instance)));
  // Its name is no secret, everybody may list the folder.
  if (::chmod(path(instance).c_str(), 0600) != 0) return fail_errno(path(instance));
  if (uid != ::geteuid() &&
      ::chown(path(instance).c_str(), static_cast<uid_t>(uid), static_cast<gid_t>(-1)) != 0) {
    return fail_errno(path(instance));
  }
  TRY(sys::set_cloexec(socket, false));  // crosses the exec of another outlived
  watch(socket, instance);
  return socket;
}

void NotifySockets::watch(BorrowedFd socket, uint64_t instance) {
  const Status added = parts_.loop.add(
      socket, EPOLLIN, [this, socket, instance](uint32_t) { readable(socket, instance); });
  if (!added) log_error("notify socket: {}", added.error().message);
}

void NotifySockets::drop(BorrowedFd socket, uint64_t instance) {
  readable(socket, instance);  // what its process said last
  parts_.loop.remove(socket);
  const Status gone = sys::unlink(path(instance));
  static_cast<void>(gone);
  parts_.closer.close(socket);
}

void NotifySockets::readable(BorrowedFd socket, uint64_t instance) {
  for (int i = 0; i < 16; ++i) {
    char text[8192];
    RightsRoom<abi::kMaxFds> room;
    iovec part{text, sizeof text};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = room.bytes;
    header.msg_controllen = sizeof room.bytes;
    const Result<size_t> got = sys::recvmsg(socket, header, MSG_DONTWAIT);
    if (!got) return;
    std::vector<UniqueFd> fds = take_rights(header);
    if (header.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) {
      log_warning("instance {:x}: a notification was too long or its fds did not fit", instance);
    }
    message(instance, std::string_view(text, *got), std::move(fds));
  }
}

void NotifySockets::message(uint64_t instance, std::string_view text, std::vector<UniqueFd> fds) {
  bool ready = false;
  bool store = false;
  bool remove = false;
  std::string name = "stored";
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line == "READY=1") ready = true;
    if (line == "STOPPING=1") supervisor_.notify_stopping(instance);
    if (line == "FDSTORE=1") store = true;
    if (line == "FDSTOREREMOVE=1") remove = true;
    if (line.starts_with("FDNAME=")) name = line.substr(7);
  }
  if (remove) {
    const Status removed = supervisor_.remove_stored(instance, name);
    if (!removed) log_warning("FDSTOREREMOVE: {}", removed.error().message);
  } else if (store) {
    for (UniqueFd& fd : fds) {
      const Status stored = supervisor_.store_fd(instance, name, std::move(fd));
      if (!stored) log_warning("FDSTORE: {}", stored.error().message);
    }
  }
  for (UniqueFd& fd : fds) {
    if (fd.valid()) parts_.closer.close(BorrowedFd(fd.release()));
  }
  if (ready) supervisor_.notify_ready(instance);
}

}  // namespace outlive::daemon
