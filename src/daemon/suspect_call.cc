#include "daemon/suspect_call.h"

#include "base/crc32c.h"

namespace outlive::daemon {

using machine::load_word;
using machine::store_word;

SuspectCall::SuspectCall(machine::Control& control) : control_(control) {
  abi::ControlBlock& block = control_.block();
  const uint64_t at_death = load_word(block.call_in_work);
  const bool same = at_death != 0 && at_death == load_word(block.suspect_call);
  const uint64_t deaths = at_death == 0 ? 0 : same ? load_word(block.suspect_deaths) + 1 : 1;
  store_word(block.suspect_deaths, deaths);
  store_word(block.suspect_call, at_death);
  store_word(block.call_in_work, uint64_t{0});
}

bool SuspectCall::refuses(BorrowedFd socket, std::string_view call) {
  abi::ControlBlock& block = control_.block();
  if (load_word(block.suspect_deaths) < control_.most_deaths_of_one() ||
      load_word(block.suspect_call) != digest(socket, call)) {
    return false;
  }
  store_word(block.suspect_call, uint64_t{0});
  store_word(block.suspect_deaths, uint64_t{0});
  return true;
}

void SuspectCall::begin(BorrowedFd socket, std::string_view call) {
  store_word(control_.block().call_in_work, digest(socket, call));
}

void SuspectCall::consumed(BorrowedFd socket) {
  if (load_word(control_.block().call_in_work) >> 32 == socket_part(socket)) end();
}

void SuspectCall::end() {
  // It was carried out: whatever killed the workers before was not the call.
  const abi::ControlBlock& block = control_.block();
  if (load_word(block.call_in_work) == load_word(block.suspect_call)) {
    store_word(control_.block().suspect_deaths, uint64_t{0});
    store_word(control_.block().suspect_call, uint64_t{0});
  }
  store_word(control_.block().call_in_work, uint64_t{0});
}

uint64_t SuspectCall::socket_part(BorrowedFd socket) {
  return static_cast<uint64_t>(socket.get() + 1);  // never 0
}

uint64_t SuspectCall::digest(BorrowedFd socket, std::string_view call) {
  const uint64_t crc = crc32c(std::as_bytes(std::span(call)));
  return socket_part(socket) << 32 | crc;
}

}  // namespace outlive::daemon
