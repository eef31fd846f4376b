// Updates: how kv outlives its own replacement. This is the file to copy.
//
//   fresh      make session, memory, listener; preserve the two; ready
//   old one    prepare   preserve the connections that are not yet; serving goes on
//              freeze    preserve what came since, stop serving; the rest is in memory already
//              cancel    serve again: nothing has changed
//              retire    leave; sockets and memory are another's now
//   successor  start-up  preview: map the memory read-only and put listener and connections into
//   the
//                        epoll, while the old one serves; nobody waits on that epoll yet
//              preview   take what the old one has preserved in prepare
//              adopt     claim the session, take what has changed since, look, touch nothing
//              committed memory writable, serve; after the first turn: adopt_all
//   restarted  (the one before was killed) listener and memory are there; the connections may have
//              lost half a request: they are dropped; memory that was inside a change is repaired
//   after a    as restarted, but no socket has crossed: it listens anew, and clients connect again
//   kexec
//
// Sessions and tokens: one session "kv"; 1 the listener, 2 the memory (3: a repaired one, in
// turns), 0x100 + slot a connection. So nobody has to ask which tokens there are: the slots say.
#pragma once

#include <map>
#include <optional>
#include <outlive/outlive.hpp>
#include <string>
#include <vector>

#include "broken.h"
#include "server.h"
#include "store.h"

namespace kv {

struct Options {
  std::string address = "127.0.0.1";
  uint16_t port = 6380;
  std::string port_file;  // where to write the port; "": nowhere
  uint64_t memory_limit = uint64_t{16} << 30;
  bool standalone = false;  // without outlived
  Broken broken = Broken::kNo;
};

class Updates : private outlive::Participant {
 public:
  Updates(const Options& options, Store* store, Server* server)
      : options_(options), store_(store), server_(server) {}
  Updates(const Updates&) = delete;
  Updates& operator=(const Updates&) = delete;

  // When this returns true a fresh and a restarted one can serve; a successor waits for its turn.
  bool start();
  bool serving() const { return serving_; }
  bool retired() const { return retired_; }
  // While not serving: waits for the next event and deals with it. False: outlived is gone.
  bool wait();
  // After every turn of the server. `event`: outlived has something to say.
  void after_turn(bool event);

 private:
  using Event = outlive::Event;
  using Status = outlive::Status;
  using Token = outlive::Token;

  // The callbacks of outlive::Participant.
  std::uint32_t state_version() const override { return kStateVersion; }
  std::uint32_t oldest_state_version() const override { return kStateVersion; }
  int prepare(const Event& event) override;
  int freeze(const Event& event) override;
  void cancel(const Event& event) override;
  void retire(const Event& event) override;
  int preview(const Event& event) override;
  int adopt(const Event& event) override;
  void committed(const Event& event) override;

  Status start_standalone();
  Status start_fresh();
  Status start_successor();
  Status start_restarted();
  Status listen_anew();
  Status drop_what_is_stale();
  Status repair();
  Status make_store(const outlive::Memory& memory);
  Status listen();
  void serve();
  void write_port_file();
  void announce();
  Status preserve_new_connections();
  void unpreserve_closed();
  Status retrieve_after_crash();
  Status claim();
  Status take_previewed();
  Status choose_memory();
  int answer(const Status& status);

  const Options& options_;
  Store* store_;
  Server* server_;
  std::optional<outlive::Client> client_;
  outlive::Preview preview_;
  outlive::Session session_;
  std::map<Token, outlive::Memory> candidates_;  // mapped, not looked at yet
  outlive::Memory memory_;
  Token memory_token_ = 0;
  bool serving_ = false;
  bool retired_ = false;
  bool listener_lost_ = false;
  bool adopt_after_turn_ = false;
};

}  // namespace kv
