// SuspectCall: which Varlink call the worker died of. A call stays in its socket until it is
// answered, and every new worker carries it out again; one that kills each of them must come to an
// end. Connections of control.sock have no record, so the words are in the control block.
//
// Happy path:   refuses() says no -> begin() -> the method -> consumed() -> the reply -> end()
// Unhappy path: a worker died between the two: the next one knows the call by its digest (number of
//               its socket, and its text), and refuses() it once after too many deaths in a row.
// Threads: the worker's only one.
#pragma once

#include <string_view>

#include "machine/process/control.h"

namespace outlive::daemon {

class SuspectCall {
 public:
  // Once a worker; takes up what the one before was at.
  explicit SuspectCall(machine::Control& control);

  // True: it is to be answered with an error. Only once: who sends it again wants it tried again.
  bool refuses(BorrowedFd socket, std::string_view call);
  void begin(BorrowedFd socket, std::string_view call);
  // The call of that socket is out of it, and never carried out again: what kills the worker from
  // here on is not the call. (Else the next client's, that has the same number and says the same,
  // would be suspected for it: think of somebody who asks for the status again and again.)
  void consumed(BorrowedFd socket);
  void end();

 private:
  static uint64_t socket_part(BorrowedFd socket);
  static uint64_t digest(BorrowedFd socket, std::string_view call);
  machine::Control& control_;
};

}  // namespace outlive::daemon
