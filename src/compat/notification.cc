#include "compat/notification.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/ioctl.h>

namespace outlive::compat {
namespace {

// Of newer headers than Debian 12's.
constexpr unsigned long kSetFlags = SECCOMP_IOW(4, __u64);
constexpr uint64_t kSyncWakeUp = 1;

}  // namespace

Result<Notification> Notification::receive(BorrowedFd listener) {
  seccomp_notif raw;
  memset(&raw, 0, sizeof raw);
  if (ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_RECV, &raw) != 0) return fail_errno("notification");
  Notification made;
  made.listener_ = listener;
  made.id_ = raw.id;
  made.thread_ = static_cast<pid_t>(raw.pid);
  made.number_ = raw.data.nr;
  memcpy(made.arguments_, raw.data.args, sizeof made.arguments_);
  return made;
}

bool Notification::valid() const {
  uint64_t id = id_;
  return ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

void Notification::let_through() const {
  send(0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

void Notification::send(int64_t value, int error, uint32_t flags) const {
  seccomp_notif_resp answer = {};
  answer.id = id_;
  answer.val = value;
  answer.error = error;
  answer.flags = flags;
  // ENOENT: the caller is gone, and there is nobody to tell.
  static_cast<void>(ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer));
}

Result<int> Notification::add(BorrowedFd fd, bool cloexec, uint32_t flags) const {
  seccomp_notif_addfd added = {};
  added.id = id_;
  added.flags = flags;
  added.srcfd = static_cast<uint32_t>(fd.get());
  added.newfd_flags = cloexec ? O_CLOEXEC : 0;
  const int number = ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &added);
  if (number < 0) return fail_errno("descriptor for the program");
  return number;
}

Result<int> Notification::add_fd(BorrowedFd fd, bool cloexec) const {
  return add(fd, cloexec, 0);
}

Status Notification::finish_with_fd(BorrowedFd fd, bool cloexec) const {
  TRY(add(fd, cloexec, SECCOMP_ADDFD_FLAG_SEND));
  return {};
}

void wake_in_step(BorrowedFd listener) {
  static_cast<void>(ioctl(listener.get(), kSetFlags, kSyncWakeUp));
}

}  // namespace outlive::compat
