// Which file systems memfds live on. The name alone proves nothing: a deleted file of a tmpfs that
// is mounted at "/memfd:x" has the link, the missing name and even the seals of a memfd. What it
// can't have is the device number of the kernel's own, unmountable tmpfs.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "files/node.h"

namespace outlive::files {

enum class MemfdDevice { kNone, kShared, kHuge };

// By making a memfd of each page size, once a process (a few fds for a moment, no memory).
// Threads: any. An error (EMFILE) isn't remembered.
Result<MemfdDevice> memfd_device(uint64_t device);

// Link, missing name and device all say memfd: what can be told without asking the file itself.
Result<MemfdDevice> looks_like_memfd(const Node& node);

}  // namespace outlive::files
