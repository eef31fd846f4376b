// Asks the keeper for another binary of outlived (machine/process/takeover.h): has it looked up
// (machine/process/opener.h), and makes the copy of the arena that its rehearsal works on. For who
// serves and for who only holds.
//
// Happy path:   ask -> (look-up) -> (rehearsal, exec: the keeper's)
// Unhappy path: the look-up fails or is late, or the file won't do: failure_of() says so, once
//               take_news() is true. Threads: one; nothing here waits but for the rehearsal's fork.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "machine/process/opener.h"
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

class BinaryAsker {
 public:
  BinaryAsker(const machine::Control& control, machine::Opener& opener, BorrowedFd arena)
      : control_(control), opener_(opener), arena_(arena) {}

  // EOPNOTSUPP: without a keeper; EBUSY: one is going on.
  Status ask(NewBinary wanted);
  // The same with a file that is open and was looked at before: the keeper is asked at once, and
  // the rehearsal has its copies when this returns.
  Status ask_for_open(UniqueFd binary, const NewBinary& wanted);
  bool is_looking() const { return looking_.has_value(); }
  bool looks_for(const wire::RequestId& request) const {
    return looking_ && looking_->request == request;
  }
  // Of the last one that failed: what is wrong with the file (EBUSY: it has failed too often), or
  // why nobody knows (ETIMEDOUT).
  const Error* failure_of(const wire::RequestId& request) const;
  // True once after each look-up.
  bool take_news() { return std::exchange(news_, false); }

 private:
  Status opened(Result<UniqueFd> binary, const NewBinary& wanted);
  Status check(BorrowedFd binary, const NewBinary& wanted) const;

  const machine::Control& control_;
  machine::Opener& opener_;
  const BorrowedFd arena_;
  std::optional<NewBinary> looking_;
  std::optional<std::pair<wire::RequestId, Error>> failed_;
  bool news_ = false;
};

}  // namespace outlive::daemon
