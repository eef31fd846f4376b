// Client: the device connection, the fd to poll, and taking part in updates.
//
// Events may arrive while a request waits for its reply; the socket is then no longer readable,
// though there is something to dispatch. So the fd to poll is an epoll one over the socket and an
// eventfd that is set for as long as events are queued.
#pragma once

#include <memory>
#include <string>

#include "client/connection.h"
#include "client/participation.h"
#include "client/regions.h"

namespace outlive::client {

class Client {
 public:
  static Result<std::unique_ptr<Client>> create(UniqueFd socket);

  template <typename T>
  Result<Reply> call(abi::Request request, const T& structure, const Extras& extras = {}) {
    auto reply = connection_.call(request, structure, extras);
    update_wake();
    return reply;
  }

  // The halves of call(), for several requests in one round trip (connection.h).
  template <typename T>
  Result<uint64_t> post(abi::Request request, const T& structure, const Extras& extras = {}) {
    return connection_.post(request, wire::bytes_of(structure), extras);
  }
  Result<Reply> collect(uint64_t sequence, size_t reply_fds) {
    auto reply = connection_.collect(sequence, reply_fds);
    update_wake();
    return reply;
  }

  BorrowedFd poll_fd() const { return epoll_; }
  // Runs what has arrived; how many events. ECONNRESET: the connection is lost, and all that came
  // before has been run by earlier calls. EDEADLK: called from a callback.
  Result<size_t> dispatch();
  bool dispatching() const { return dispatching_; }

  // Registers; `instance` is $OUTLIVE_INSTANCE. EEXIST: twice.
  Result<abi::Role> participate(const outlive_participant& participant, uint64_t instance);
  Status ready();
  Status adopt_all() { return end_update(abi::Request::kAdoptAll); }
  Status finish_all() { return end_update(abi::Request::kFinishAll); }
  Participation& participation() { return participation_; }
  const std::shared_ptr<Regions>& regions() const { return regions_; }

 private:
  Client(UniqueFd socket, UniqueFd epoll, UniqueFd wake);
  void update_wake();
  void answer(const abi::EventBody& event, const Answer& answer);
  Status say_ready(abi::Step step, uint64_t update);
  Status end_update(abi::Request request);

  Connection connection_;
  UniqueFd epoll_;
  UniqueFd wake_;
  bool woken_ = false;
  bool dispatching_ = false;
  bool participates_ = false;
  uint64_t update_ = 0;  // that it is the successor of
  std::shared_ptr<Regions> regions_ = std::make_shared<Regions>();
  Participation participation_{*regions_};
};

// "7", "0x1f" or hex digits as outlived writes ids; absent: 0. EINVAL names the variable.
Result<uint64_t> parse_instance(const char* text);

}  // namespace outlive::client
