// What has come again: a request that the worker before was at, or whose reply it couldn't send.
#include "base/log.h"
#include "daemon/device.h"
#include "daemon/requests.h"
#include "kho/store.h"

namespace outlive::daemon {

namespace {

// Has no effect: it may be carried out again, and its reply is not stored.
bool is_pure(abi::Request request) {
  switch (request) {
    case abi::Request::kList:
    case abi::Request::kListFiles:
    case abi::Request::kStatus:
    case abi::Request::kRetrieveSubtree:
    case abi::Request::kParticipate:
    case abi::Request::kPreviewList:
    case abi::Request::kPreviewMany:
    case abi::Request::kFdDataQuery:
    case abi::Request::kGetName:
    case abi::Request::kRetrieveFd:
    case abi::Request::kRetrieveMany:
      return true;
    default:
      return false;
  }
}

}  // namespace

void Device::begin_work(abi::ConnectionSlot& slot, uint64_t sequence) {
  if (slot.in_work != sequence) kho::store_word(&slot.deaths, 0);
  kho::store_word(&slot.in_work, sequence);
}

// Answered, or waiting for room in its socket.
void Device::end_work(abi::ConnectionSlot& slot) {
  if (slot.in_work != 0) kho::store_word(&slot.in_work, 0);
}

bool Device::is_poison(const Connection& connection, const wire::Message& message) const {
  const abi::ConnectionSlot& slot = *connection.slot;
  const bool poison =
      slot.in_work == message.header.sequence && slot.deaths >= parts_.control.most_deaths_of_one();
  if (poison) {
    log_error("a request ({:#x}) of uid {} was in work at {} deaths of the worker: answered EIO",
              unsigned{message.header.request}, slot.uid, slot.deaths);
  }
  return poison;
}

bool Device::reply_again(Connection& connection, wire::Message& message) {
  if (is_pure(message.request()) && connection.slot->result == 0) {
    // It has no effect, so that an error may take the place of what it said before.
    if (is_poison(connection, message)) {
      luo::Change change(parts_.records());
      record_reply(change, connection, message.header.sequence, -EIO);
      change.commit();
      return answer(connection, message, stored_reply(connection, message));
    }
    begin_work(*connection.slot, message.header.sequence);
    return answer(connection, message, requests_->handle(connection, message));
  }
  if (message.request() == abi::Request::kReady && connection.slot->result == 0) {
    return ready_again(connection, message);
  }
  if (connection.slot->result == 0) requests_->mend(connection, message);
  return answer(connection, message, stored_reply(connection, message));
}

// What follows from it comes after its reply, and the worker may have died in between. An error: it
// has come already.
bool Device::ready_again(Connection& connection, const wire::Message& message) {
  wire::Message again = {message.header, message.body, {}};
  const Outcome outcome = requests_->handle(connection, again);
  const uint64_t address = connection.address;
  const bool more = answer(connection, message, stored_reply(connection, message));
  if (outcome.result == 0 && outcome.after) outcome.after();
  return more && find(address) != nullptr;
}

Outcome Device::stored_reply(Connection& connection, const wire::Message& message) {
  const abi::ConnectionSlot& slot = *connection.slot;
  if (slot.result != 0) {
    return Outcome::error(fail(static_cast<int>(-slot.result), "the request failed"));
  }
  Outcome outcome;
  outcome.body.assign(message.body.begin(), message.body.end());
  if (slot.reply_fd >= 0) outcome.fds.emplace_back(static_cast<int>(slot.reply_fd));
  return outcome;
}

}  // namespace outlive::daemon
