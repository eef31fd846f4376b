// Arguments of an ioctl on the device or on a session: the kernel's checks, in its order
// (kernel/liveupdate/luo_core.c luo_ioctl, luo_session.c luo_session_ioctl).
//
//   the number (low 8 bits) is none of the object's        EINVAL, whatever the type
//   reading `size`                                         EFAULT
//   the number is known, the whole command is another      ENOTTY
//   a session of the wrong direction                       EINVAL
//   `size` below the least                                 EINVAL
//   beyond what is known: not zero, or not there           E2BIG, EFAULT
//   reading the rest                                       EFAULT
#pragma once

#include <cstdint>
#include <vector>

#include "abi/compat.h"
#include "compat/caller.h"
#include "compat/compat.h"

namespace outlive::compat {

struct Arguments {
  uint32_t size = 0;            // as the caller gave it
  std::vector<std::byte> body;  // the structure that the request reads, and that it answers with
};

// `kind`: what the descriptor is; kDevice, kOutgoing or kIncoming.
Result<Arguments> check_arguments(const Caller& caller, abi::CompatKind kind, Kernel kernel,
                                  uint32_t command, uint64_t address);

}  // namespace outlive::compat
