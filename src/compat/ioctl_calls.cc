// ioctl(2) on a descriptor that stands in for the device or a session. All others go on into the
// kernel; so do the commands that it answers for every file alike.
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "abi/liveupdate.h"
#include "compat/handles.h"
#include "compat/supervisor.h"

namespace outlive::compat {
namespace {

using abi::CompatKind;

// do_vfs_ioctl's own, with the same answer for any file that isn't a regular one.
bool is_generic(uint32_t command) {
  switch (command) {
    case FIOQSIZE:
    case FIFREEZE:
    case FITHAW:
    case FS_IOC_FIEMAP:
    case FIGETBSZ:
    case FICLONE:
    case FICLONERANGE:
    case FIDEDUPERANGE:
      return true;
    default:
      return false;
  }
}

// Also do_vfs_ioctl's, but of the inode: the device has one in a file system, which answers. A
// session has none of its own, so there it is a number like any other.
bool asks_inode(uint32_t command) {
  switch (command) {
    case FS_IOC_GETFLAGS:
    case FS_IOC_SETFLAGS:
    case FS_IOC_FSGETXATTR:
    case FS_IOC_FSSETXATTR:
      return true;
    default:
      return false;
  }
}

// What the kernel reads before it finds out that a session has no inode of its own.
uint64_t read_first(uint32_t command) {
  if (command == FS_IOC_SETFLAGS) return sizeof(unsigned);
  return command == FS_IOC_FSSETXATTR ? sizeof(fsxattr) : 0;
}

bool gives_fd(uint32_t number) {
  return number == abi::kIoctlCreateSession || number == abi::kIoctlRetrieveSession ||
         number == abi::kIoctlRetrieveFd;
}

// A file without asynchronous notification: turning it on is ENOTTY, off was it already.
void set_async(const Notification& call, const Caller& caller) {
  const Result<int> on = caller.read_value<int>(call.argument(2));
  if (!on) return call.refuse(EFAULT);
  *on != 0 ? call.refuse(ENOTTY) : call.finish(0);
}

}  // namespace

void Supervisor::ioctl(const Notification& call) {
  const Caller caller(call.thread());
  const uint32_t command = call.argument32(1);
  uint64_t cookie = 0;
  {
    const Result<UniqueFd> fd = caller.take_fd(static_cast<int>(call.argument32(0)));
    if (fd) cookie = cookie_of(*fd);
  }  // our copy is gone before the holder looks at what was closed
  if (cookie == 0) return call.let_through();
  const CompatKind kind = link_.look(cookie);
  if (kind == CompatKind::kNone || is_generic(command)) return call.let_through();
  if (kind == CompatKind::kDevice && asks_inode(command)) return call.let_through();
  if (command == FIOASYNC) return set_async(call, caller);
  std::byte ignored[sizeof(fsxattr)];
  const std::span read(ignored, read_first(command));
  if (!read.empty() && !caller.read(call.argument(2), read)) return call.refuse(EFAULT);
  if (kind == CompatKind::kDead) return call.refuse(ESTALE);
  execute(call, kind, cookie);
}

void Supervisor::execute(const Notification& call, CompatKind kind, uint64_t cookie) {
  const Result<int64_t> done = execute_on(call, kind, cookie);
  done ? call.finish(*done) : call.refuse(done.error().code);
}

Result<int64_t> Supervisor::execute_on(const Notification& call, CompatKind kind, uint64_t cookie) {
  const Caller caller(call.thread());
  const uint64_t address = call.argument(2);
  const Arguments arguments =
      TRY(check_arguments(caller, kind, kernel_, call.argument32(1), address));
  abi::CompatAsk ask = make_ask(abi::CompatRequest::kExecute);
  ask.cookie = cookie;
  ask.command = call.argument32(1) & 0xff;
  ask.size = static_cast<uint32_t>(arguments.body.size());
  memcpy(ask.body, arguments.body.data(), arguments.body.size());
  if (gives_fd(ask.command) && caller.table_full()) return fail(EMFILE, "no room for a descriptor");
  UniqueFd file;
  if (ask.command == abi::kIoctlPreserveFd) {
    abi::FdRequest request;
    memcpy(&request, arguments.body.data(), sizeof request);
    Result<UniqueFd> taken = caller.take_fd(request.fd);
    if (!taken) ask.file_error = EBADF;
    if (taken) file = taken.take();
  }
  // Until here all of it was read of a caller that still waited, or nothing has happened.
  if (!call.valid()) return fail(ENOENT, "the caller is gone");
  Link::Reply reply = TRY(link_.ask(ask, file));
  file.reset();
  if (reply.fd) {
    // First as it was: where it can't be written nothing must have come into the program.
    TRY(caller.write(address, arguments.body));
    const int32_t number = TRY(call.add_fd(reply.fd, true));
    memcpy(reply.answer.body + sizeof(uint32_t), &number, sizeof number);
  }
  const size_t size = std::min<size_t>(arguments.body.size(), reply.answer.size);
  TRY(caller.write(address, std::as_bytes(std::span(reply.answer.body, size))));
  return 0;
}

}  // namespace outlive::compat
