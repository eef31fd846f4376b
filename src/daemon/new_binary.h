// Asks the keeper for another binary of outlived (machine/process/takeover.h): opens it, and makes
// the copy of the arena that its rehearsal works on. For who serves and for who only holds.
#pragma once

#include <string>

#include "machine/process/takeover.h"
#include "wire/varlink.h"

namespace outlive::daemon {

struct NewBinary {
  wire::RequestId request;
  std::string path;            // empty: the file that runs now, by its name
  bool force = false;          // also one that has failed `tries` times
  uint64_t tries = 3;          // [takeover] tries
  bool only_rehearse = false;  // it ends there
};

// Waits until the rehearsal has its copies, about as long as a fork takes. EOPNOTSUPP: without a
// keeper; EBUSY: one is going on, or the file has failed too often; else what is wrong with it.
Status ask_for_binary(const machine::Control& control, BorrowedFd arena, const NewBinary& wanted,
                      uint64_t now_ns);
// The same with a file that is open and was looked at before.
Status ask_for_open_binary(const machine::Control& control, BorrowedFd arena, UniqueFd binary,
                           const NewBinary& wanted, uint64_t now_ns);

}  // namespace outlive::daemon
