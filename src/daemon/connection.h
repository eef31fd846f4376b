// One connection of the socket protocol and the outcome of one of its requests.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "abi/wire.h"
#include "luo/core.h"
#include "wire/message.h"

namespace outlive::daemon {

// In memory; the truth is the slot. `blocked`: its socket is full, nothing is read from it until it
// drains.
struct Connection {
  abi::ConnectionSlot* slot = nullptr;
  uint64_t address = 0;  // of the slot
  bool blocked = false;
  bool parked = false;      // its user has to wait: nothing is read from it
  bool previews = false;    // a successor that looks ahead
  bool starved = false;     // blocked, and nothing will wake it: tried again by tick()
  bool lost_fds = false;    // the message that is being served has some, see wire::Received
  bool taking = false;      // the closer takes its message: not in the loop meanwhile
  uint32_t unread_fds = 0;  // in its last reply that had any
  std::deque<abi::EventBody> events;  // not sent yet
  // The peer's; none of a session's, whose socket's other end is ours.
  std::shared_ptr<const std::vector<uint64_t>> groups = {};

  BorrowedFd fd() const { return BorrowedFd(static_cast<int>(slot->fd)); }
  luo::Caller caller() const {
    return {slot->uid, slot->gid, slot->pid, slot->service, slot->generation, groups};
  }
};

// What is answered. The reply's words are committed by whoever handled the request, in the same
// change as its effect (`committed`), or by the device afterwards.
struct Outcome {
  int result = 0;  // 0 or -errno
  std::vector<std::byte> body;
  std::vector<BorrowedFd> fds;  // sent, and stay whose they are
  bool committed = false;
  std::function<void()> after;  // once the reply is sent: what may start an update's next step

  static Outcome error(const Error& error);
};

}  // namespace outlive::daemon
