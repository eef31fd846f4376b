// The control side: control.sock, Varlink for operators (abi/orchestrator_varlink.h).
//
// Happy path:   a call is peeked until it is whole -> carried out -> replied -> consumed.
// A death:      the call is still in the socket: the next worker peeks it again and answers. What
//               changes something carries a request id, so it happens once. One that was in work
//               at deaths in a row (Control::most_deaths_of_one) is answered EIO, and only tried
//               again when it is sent again (suspect_call.h).
// Too many:     whoever is no operator (root, or the user that outlived runs as) is refused; for an
//               operator the connection that has been idle for the longest makes room. So one can
//               always get through, and what a call is being carried out for is never cut off.
// Waiting:      Run, Update, Rollback, Stop and Kexec answer when it is over; meanwhile their call
//               stays unconsumed and nothing waits in here.
// Threads: one.
#pragma once

#include <unordered_map>

#include "daemon/acceptor.h"
#include "daemon/fair_queue.h"
#include "daemon/methods.h"
#include "daemon/parts.h"
#include "daemon/suspect_call.h"

namespace outlive::daemon {

class ControlServer {
 public:
  ControlServer(Parts& parts, Supervisor& supervisor, Device& device);
  ~ControlServer();
  Status start(BorrowedFd listener);
  void take_on(UniqueFd connection) { acceptor_.accepted(std::move(connection)); }
  void self_update_changed();

  // As the device's.
  void serve_some();
  bool has_work() const { return !ready_.empty(); }
  void resume();
  void accept_some() { acceptor_.accept_some(); }
  uint64_t next_resume_ns() const;

 private:
  struct Client {
    UniqueFd fd;
    luo::Caller caller;
    std::string outgoing;  // not sent yet
    size_t in_work = 0;    // bytes of the call that is being carried out, 0: none
    uint64_t used = 0;     // when it was last heard of, in order
    bool more = false;
    bool gone = false;  // hung up: closed once what it has sent is served
    Waiting waiting;
  };
  void take_on(UniqueFd connection, const ucred& peer);
  // OK when there is a place for it, if need be somebody else's. EMFILE.
  Status make_room(const Client& client);
  void ready(int number, uint32_t events);
  bool serve_one(Client& client);
  bool consume(const Client& client, size_t bytes);
  bool carry_out(Client& client, std::string_view text);
  void reply(Client& client, const std::string& text, bool last);
  bool flush(Client& client);
  void close(int number);
  // What somebody waits for has moved.
  void service_changed(const abi::ServiceSlot& service);
  void service_gone(uint64_t service);
  void update_progress(const abi::UpdateSlot& update);
  void update_over(const abi::UpdateSlot& update);
  void kexec_moved();
  void pump(const std::function<std::optional<Answer>(Client&)>& news);

  Parts& parts_;
  Methods methods_;
  SuspectCall suspect_;
  Acceptor acceptor_;
  FairQueue ready_;
  std::vector<int> parked_;  // of users who have to wait
  uint64_t next_resume_ns_ = 0;
  std::unordered_map<int, Client> clients_;
  std::unique_ptr<char[]> buffer_;  // of one call
  uint64_t uses_ = 0;
  bool kexec_waits_ = false;  // somebody, for the services
};

}  // namespace outlive::daemon
