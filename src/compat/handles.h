// Handles: the stand-ins for the device and for sessions in programs. Each is one end of a socket
// pair; when its last copy is closed, in whatever process, the end that we keep hangs up.
//
// The program reads end of file from it; what it writes is never looked at. A program that shuts
// its end down by shutdown(2) has closed it, as far as we can tell.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::compat {

class Handles {
 public:
  static Result<Handles> create();

  struct Handle {
    UniqueFd fd;      // for the program
    uint64_t cookie;  // by which it is known again
  };
  Result<Handle> make();
  // Those that were closed since, and forgets them.
  std::vector<uint64_t> take_closed();
  // Readable when there is something to take.
  BorrowedFd ready() const { return epoll_; }

 private:
  UniqueFd epoll_;
  std::map<uint64_t, UniqueFd> ours_;
};

// The cookie of a socket of the Unix family; 0 for any other file.
uint64_t cookie_of(BorrowedFd fd);

}  // namespace outlive::compat
