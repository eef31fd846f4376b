// Calls that name a path. All but those that name the device go on into the kernel.
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/sys.h"
#include "compat/device_path.h"
#include "compat/supervisor.h"

namespace outlive::compat {
namespace {

constexpr size_t kLongestPath = 4096;
constexpr unsigned kMiscMajor = 10;
constexpr unsigned kMinor = 258;  // as the first one that the kernel chooses itself
constexpr uint64_t kInode = 0xba;

// The owner is whoever asks: the kernel's is root's, and root is who it takes there.
template <typename T>
struct stat make_stat(const T& folder) {
  struct stat made = {};
  made.st_dev = folder.st_dev;
  made.st_ino = kInode;
  made.st_nlink = 1;
  made.st_mode = S_IFCHR | 0600;
  made.st_uid = geteuid();
  made.st_gid = getegid();
  made.st_rdev = makedev(kMiscMajor, kMinor);
  made.st_blksize = 4096;
  made.st_atim = made.st_mtim = made.st_ctim = folder.st_ctim;
  return made;
}

void fill(statx_timestamp& into, const timespec& from) {
  into.tv_sec = from.tv_sec;
  into.tv_nsec = static_cast<uint32_t>(from.tv_nsec);
}

struct statx make_statx(const struct stat& plain) {
  struct statx made = {};
  made.stx_mask = STATX_BASIC_STATS;
  made.stx_blksize = static_cast<uint32_t>(plain.st_blksize);
  made.stx_nlink = static_cast<uint32_t>(plain.st_nlink);
  made.stx_uid = plain.st_uid;
  made.stx_gid = plain.st_gid;
  made.stx_mode = static_cast<uint16_t>(plain.st_mode);
  made.stx_ino = plain.st_ino;
  made.stx_dev_major = major(plain.st_dev);
  made.stx_dev_minor = minor(plain.st_dev);
  made.stx_rdev_major = major(plain.st_rdev);
  made.stx_rdev_minor = minor(plain.st_rdev);
  fill(*reinterpret_cast<statx_timestamp*>(&made.stx_atime), plain.st_atim);
  fill(*reinterpret_cast<statx_timestamp*>(&made.stx_mtime), plain.st_mtim);
  fill(*reinterpret_cast<statx_timestamp*>(&made.stx_ctime), plain.st_ctim);
  return made;
}

}  // namespace

// Whether the call is ours to answer. One that isn't has been let through.
bool Supervisor::is_device(const Notification& call, int directory, uint64_t path) {
  const Caller caller(call.thread());
  const Result<std::string> text = caller.read_text(path, kLongestPath);
  if (!text || text->empty() || !names_device(caller, directory, *text)) {
    call.let_through();
    return false;
  }
  if (!call.valid()) return false;  // it was somebody else's path
  if (link_.look(0) == abi::CompatKind::kDevice) return true;
  call.refuse(ENOENT);  // never what the machine itself has there
  return false;
}

void Supervisor::open(const Notification& call, int directory, uint64_t path, uint64_t flags) {
  if (!is_device(call, directory, path)) return;
  if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return call.refuse(EEXIST);
  if (flags & O_DIRECTORY) return call.refuse(ENOTDIR);
  if (flags & O_PATH) return call.refuse(EOPNOTSUPP);
  if (Caller(call.thread()).table_full()) return call.refuse(EMFILE);
  const Result<Link::Reply> reply = link_.ask(abi::CompatRequest::kOpen);
  if (!reply) return call.refuse(reply.error().code);
  if (flags & O_NONBLOCK) {
    const Status set = sys::set_nonblocking(reply->fd, true);
    if (!set) return call.refuse(set.error().code);
  }
  const Status put = call.finish_with_fd(reply->fd, (flags & O_CLOEXEC) != 0);
  if (!put) call.refuse(put.error().code);  // the descriptor is dropped: closed again
}

void Supervisor::open2(const Notification& call) {
  const Caller caller(call.thread());
  const Result<open_how> how = caller.read_value<open_how>(call.argument(2));
  if (!how) return call.let_through();
  open(call, static_cast<int>(call.argument32(0)), call.argument(1), how->flags);
}

void Supervisor::status(const Notification& call, int directory, uint64_t path, uint64_t into,
                        bool extended) {
  if (!is_device(call, directory, path)) return;
  struct stat folder = {};
  static_cast<void>(::stat("/dev", &folder));
  const struct stat plain = make_stat(folder);
  const struct statx wide = make_statx(plain);
  const auto bytes =
      extended ? std::as_bytes(std::span(&wide, 1)) : std::as_bytes(std::span(&plain, 1));
  const Status written = Caller(call.thread()).write(into, bytes);
  written ? call.finish(0) : call.refuse(written.error().code);
}

void Supervisor::access(const Notification& call, int directory, uint64_t path, uint64_t mode) {
  if (!is_device(call, directory, path)) return;
  if (mode & ~uint64_t{R_OK | W_OK | X_OK}) return call.refuse(EINVAL);
  mode& X_OK ? call.refuse(EACCES) : call.finish(0);
}

void Supervisor::read_link(const Notification& call, int directory, uint64_t path) {
  if (is_device(call, directory, path)) call.refuse(EINVAL);
}

// It has none: without this ls -l would say that it isn't there.
void Supervisor::get_attribute(const Notification& call, uint64_t path) {
  if (is_device(call, AT_FDCWD, path)) call.refuse(ENODATA);
}

}  // namespace outlive::compat
