// classify: what kind of file a descriptor of our own table is, learnt WITHOUT ever blocking on it.
// The worker calls it with files of hostile clients: a FUSE file whose server never answers, a TCP
// socket whose lock its owner holds for ever.
#pragma once

#include <sys/stat.h>

#include "base/result.h"
#include "base/unique_fd.h"
#include "luo/file_handler.h"

namespace outlive::files {

// EBADF: not open. ENOENT: /proc isn't mounted. Anything unknown is kOther, never an error.
//
// Of TCP and UDP sockets `detail` has no addresses, and `connected` of UDP stays false: getsockname
// and getpeername take the socket's lock (Linux 5.16), which a client can hold for as long as it
// likes, by sending from memory that userfaultfd or FUSE serves. survey() finds both in /proc/net.
Result<luo::FileFacts> classify(BorrowedFd fd);

// What chooses a file's handler, and nothing else, in two calls (three for a regular file): `kind`
// is exact for memfds, regular files and directories; a Unix socket is kUnixConnection, any other
// socket kOtherSocket, everything else kOther or kFifo. `detail` is empty.
Result<luo::FileFacts> classify_to_preserve(BorrowedFd fd);

// The `device` and `inode` that it tells, in one call.
Result<luo::FileIdentity> identify(BorrowedFd fd);
// The same of what has been asked for already, with STATX_INO.
luo::FileIdentity identity_of(const struct statx& stat);

}  // namespace outlive::files
