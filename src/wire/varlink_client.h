// A blocking Varlink client over a Unix stream socket: one call at a time.
//
//   VarlinkClient client = TRY(VarlinkClient::connect(path));
//   Json status = TRY(client.call("org.outlive.Orchestrator.Status", Json::object()));
//
// Unhappy: ENOENT, ECONNREFUSED, EACCES from connect; ECONNRESET when the server closes before the
// last reply; EPROTO for what is no reply; ETIMEDOUT; ECANCELED when the interrupt fd gets
// readable. After any of these the connection is of no use any more. An error that the server
// replied is an Error with its errno and message, failure() has all of it, and the connection stays
// good. Threads: a client is used by one at a time.
#pragma once

#include <functional>

#include "base/unique_fd.h"
#include "wire/varlink.h"

namespace outlive::wire {

class VarlinkClient {
 public:
  static Result<VarlinkClient> connect(const std::string& path);
  explicit VarlinkClient(UniqueFd socket) : socket_(std::move(socket)) {}

  // How long call() waits for each reply; < 0: for ever. Default 60 s.
  void set_timeout_ms(int timeout_ms) { timeout_ms_ = timeout_ms; }
  // When this fd is readable, waiting ends with ECANCELED. It stays the caller's.
  void set_interrupt(BorrowedFd interrupt) { interrupt_ = interrupt; }

  Result<Json> call(std::string_view method, const Json& parameters);
  // With "more": `each` gets every reply but the last one, which is returned.
  Result<Json> call_more(std::string_view method, const Json& parameters,
                         const std::function<void(const Json&)>& each);

  // The parts of call_more(), for who has something else to do between the replies.
  Status send(const VarlinkCall& call);
  // The next reply, an error reply too; nullopt: none within timeout_ms.
  Result<std::optional<VarlinkReply>> receive(int timeout_ms);
  // The parameters of a reply, or the Error that it carries.
  Result<Json> check(VarlinkReply reply);

  // The last error that the server replied to check() and the calls.
  const std::optional<VarlinkReply>& failure() const { return failure_; }

 private:
  Result<VarlinkReply> await();
  Result<bool> wait_readable(int timeout_ms);

  UniqueFd socket_;
  VarlinkFramer framer_;
  BorrowedFd interrupt_;
  int timeout_ms_ = 60'000;
  std::optional<VarlinkReply> failure_;
};

}  // namespace outlive::wire
