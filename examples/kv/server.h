// Server: sockets, one epoll, one thread. It knows nothing of updates but this: there are times in
// which it must not run (updates.h), and every connection has a slot in memory, whose number is the
// connection's token with outlived, in every version of kv.
//
// Whatever a turn of the loop can't finish is in the slot before the turn ends: the unfinished
// request in `input`, what the peer hasn't taken yet in `output`. So between two turns this process
// has nothing of its own, and another one can go on. While output waits, nothing more is read from
// that peer: a slow reader costs one turn's worth of replies, not all of our memory.
#pragma once

#include <functional>
#include <memory>
#include <outlive/unique_fd.hpp>
#include <string>
#include <vector>

#include "resp.h"
#include "store.h"

namespace kv {

using outlive::UniqueFd;

class Server {
 public:
  explicit Server(Store* store) : store_(store) {}

  // False, with a line on stderr, when the system refuses.
  bool open();
  // A fresh one's listener. Port 0: any.
  bool listen(const std::string& address, uint16_t port);
  bool take_listener(UniqueFd fd);
  int listener() const { return listener_.get(); }
  uint16_t port() const;

  // A successor's, while the old one serves: into the epoll, which nobody waits on before start().
  // The thousand epoll_ctl calls are made by then.
  bool preview_connection(uint32_t slot, UniqueFd fd);
  void drop_preview(uint32_t slot);
  // In adopt: what the slots in memory say of their connections; changes none of either. False: an
  // open slot has no connection.
  bool take_connections();
  // The memory is ours to write from here: finds the free slots, and those left half closed.
  void start();

  // Another fd for this epoll: turn() answers true when it is readable.
  bool watch(int fd);
  // Waits for events (at most 100 ms) and deals with them.
  bool turn();

  int connection(uint32_t slot) const { return connections_[slot].fd.get(); }
  // Connections that outlived has no copy of yet.
  std::vector<uint32_t> not_preserved() const;
  // Slots that are shut down, but outlived still has a copy of: the peer sees no end before that is
  // unpreserved. Then released() makes them free.
  const std::vector<uint32_t>& closing() const { return closing_; }
  void released();
  size_t connected() const { return connected_; }
  size_t outputs_waiting() const { return writers_; }

 private:
  struct Connection {
    UniqueFd fd;
    uint32_t interest = 0;
  };
  void accept_some();
  bool watch_connection(uint32_t slot, UniqueFd fd, uint32_t interest);
  void on_readable(uint32_t slot);
  void on_writable(uint32_t slot);
  void pump(uint32_t slot);
  size_t execute_all(std::string_view input, bool* quit);
  bool send_output(uint32_t slot);
  void set_interest(uint32_t slot);
  void leave_epoll(uint32_t slot);
  void close_connection(uint32_t slot);
  std::string info() const;

  Store* store_;
  UniqueFd epoll_, listener_;
  std::vector<Connection> connections_;
  std::vector<uint32_t> free_, freed_, closing_;
  size_t connected_ = 0, writers_ = 0;
  uint64_t now_ms_ = 0, swept_ms_ = 0;
  Arguments arguments_;
  std::string out_;
  std::unique_ptr<char[]> scratch_;
  std::function<std::string()> info_;
};

}  // namespace kv
