// The device: liveupdate.sock and all connections of its protocol, each request exactly once.
//
// Happy path:   peek -> sequence is last + 1 -> carried out; {effect, sequence, result, reply's fd}
//               are ONE commit -> send -> consume
// A death:      before the commit nothing happened: the next worker peeks it again. After it the
//               sequence is the last one again: the stored reply is sent again.
// Unhappy:      another sequence, wrong magic: EPROTO, closed. The socket is full: the request
// stays
//               unconsumed and is answered when it drains. A request in work at two deaths in a row
//               is answered EIO and never replayed (four, when it was killed from outside:
//               Control::most_deaths_of_one); so is one that only reads and kills in its
//               repetition.
// Threads: one. Nothing here waits. A client's fds are never closed here but given to the closer.
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "daemon/acceptor.h"
#include "daemon/connection.h"
#include "daemon/fair_queue.h"
#include "daemon/parts.h"

namespace outlive::daemon {

class Requests;
class Supervisor;

class Device {
 public:
  Device(Parts& parts, Supervisor& supervisor);
  ~Device();
  // Takes up what the records name, and accepts at `listener` from now on.
  Status start(BorrowedFd listener);
  // An accepted connection of a dead worker that no record names: a new client.
  void take_on(UniqueFd connection) { acceptor_.accepted(std::move(connection)); }

  // For updates.
  std::vector<luo::Participant> participants(uint64_t service, uint64_t generation) const;
  void send_event(uint64_t connection, abi::Step step, uint64_t update, uint64_t deadline_ns,
                  std::string_view reason);
  void drop_generation(uint64_t service, uint64_t generation);
  bool has_participant(uint64_t service, uint64_t generation) const;

  // For requests. The session connection made for a client: its end is in the record as reply_fd.
  Status add_session_connection(luo::Change& change, Connection& client, abi::SessionSlot& session,
                                uint64_t session_address, abi::ConnectionSlot** made);
  void committed_session_connection(abi::ConnectionSlot& slot);
  // Queues the words of the reply.
  void record_reply(luo::Change& change, Connection& connection, uint64_t sequence, int result,
                    int64_t reply_fd = -1);
  // A socket of ours, or a session of the kernel, whose end is its client's: they must never be
  // preserved in a session. `facts`: as classify_to_preserve tells them.
  bool is_ours(BorrowedFd fd, const luo::FileFacts& facts) const;
  size_t size() const { return connections_.size(); }
  // The fd store has taken everything: replies that waited for that go out.
  void stored();

  // Serves those that have something to say, users in turns, for a while; has_work(): not all of it
  // was done.
  void serve_some();
  bool has_work() const { return !ready_.empty() && paused_until_ns_ == 0; }
  // Who had his share of the time (throttle.h) is served again when his wait is over: each turn.
  void resume();
  void accept_some() { acceptor_.accept_some(); }
  // When resume() has something to do; 0: never.
  uint64_t next_resume_ns() const;
  // Nobody's request is read before this time; 0: from now on. (CLOCK_MONOTONIC)
  void pause_until(uint64_t ns) { paused_until_ns_ = ns; }
  bool is_paused() const { return paused_until_ns_ != 0; }
  // What waits for descriptors in flight to arrive, and what failed for want of memory, is tried
  // again; is_starved(): every 20 ms.
  void tick();
  bool is_starved() const { return !starved_.empty() || !unwatched_.empty(); }

 private:
  void take_on(UniqueFd connection, const ucred& peer);
  void readable(uint64_t address);
  void writable(uint64_t address);
  void park(Connection& connection, uint64_t until_ns);
  void unpark(Connection& connection);
  // False: nothing more can be done with it in this turn.
  bool serve_one(Connection& connection);
  bool serve(Connection& connection, wire::Message& message);
  bool answer(Connection& connection, const wire::Message& message, const Outcome& outcome);
  Outcome stored_reply(Connection& connection, const wire::Message& message);
  bool reply_again(Connection& connection, wire::Message& message);
  bool ready_again(Connection& connection, const wire::Message& message);
  static void begin_work(abi::ConnectionSlot& slot, uint64_t sequence);
  static void end_work(abi::ConnectionSlot& slot);
  // What carrying out `message` killed the worker at, too often. It is said.
  bool is_poison(const Connection& connection, const wire::Message& message) const;
  bool flush_events(Connection& connection);
  abi::MessageHeader header_of(const abi::EventBody& event) const;
  void block(Connection& connection);
  void delay(Connection& connection);
  void starve(Connection& connection);
  void feed(uint64_t address);
  void forget_unread(Connection& connection);
  // Whether so many descriptors more may be on their way to this user's connections.
  bool may_send(Connection& connection, size_t fds);
  void drop_reply_fd(Connection& connection);
  Status take(Connection& connection);
  void close(Connection& connection, std::string_view why);
  void drop_session(Connection& connection);
  void unheld(luo::Session& session);  // from now on it waits to be claimed
  void watch(Connection& connection);
  Connection* find(uint64_t address);
  void release_fds(std::vector<UniqueFd>& fds);

  Parts& parts_;
  Supervisor& supervisor_;
  std::unique_ptr<Requests> requests_;
  std::unordered_map<uint64_t, Connection> connections_;
  std::unordered_map<uint64_t, uint64_t> by_uid_;
  std::vector<uint64_t> unwatched_;                    // connections that the loop doesn't have yet
  std::unordered_map<uint64_t, uint64_t> unread_fds_;  // by uid
  FairQueue ready_;
  std::unordered_map<uint64_t, std::vector<uint64_t>> parked_;  // by uid
  uint64_t next_resume_ns_ = 0;
  std::vector<uint64_t> starved_;
  std::unordered_set<uint64_t> own_inodes_;  // session sockets, both ends
  std::vector<uint64_t> delayed_;
  Acceptor acceptor_;
  wire::Buffer buffer_;
  wire::Unwanted unwanted_;
  uint64_t paused_until_ns_ = 0;
};

}  // namespace outlive::daemon
