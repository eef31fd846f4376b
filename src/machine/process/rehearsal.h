// Rehearsal: another binary of outlived, executed in a process of its own with copies of all that
// matters, to see whether it could take over. It gets a copy of the arena and of the descriptor
// table (a plain fork), and may only look.
//
//   start -> (the binary, with --rehearse, writes one line and ends: abi/takeover.h) -> judge
//
// The caller watches its time, kills it by its pidfd, and reaps it. Threads: the keeper's only one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::machine {

struct RehearsalAnswer {
  bool ok = false;
  std::string version;
  std::string warm;    // what it wants to find after the exec
  std::string reason;  // of a refusal; empty: it said nothing that can be understood
};

struct Rehearsal {
  pid_t pid = 0;
  UniqueFd pidfd;
  UniqueFd output;  // not blocking
  std::string nonce;

  // Borrowed; `argv` is this process's own; `config`: the text of the configuration, invalid: it
  // reads the file. `hidden`: descriptors that it doesn't get. EAGAIN, ENOMEM: no process can be
  // had.
  static Result<Rehearsal> start(BorrowedFd binary, BorrowedFd image, BorrowedFd config,
                                 const std::vector<BorrowedFd>& hidden,
                                 const std::vector<std::string>& argv);
  // Appends what has come, up to kRehearsalLine + kTakeoverWarm bytes in all.
  static void read(BorrowedFd output, std::string* heard);
  static RehearsalAnswer judge(std::string_view heard, std::string_view nonce);
};

}  // namespace outlive::machine
