// The listener of the metrics: HTTP/1.1, GET and HEAD of /metrics, one answer a connection.
//
// Happy path:   accept -> the request's head -> 200 with the text -> close
// Unhappy path: another path 404, another method 405, no HTTP 400, a head above 4 KiB 431; who says
//               nothing, or doesn't read, is cut off after 5 s. More than 16 at once: the one that
//               has been there for the longest makes room.
// A death:      the listener is in the table (Control::metrics_listener) and who waits there is
//               served by the next worker; a connection that was accepted is closed.
// Threads: the worker's only one; nothing here blocks. The text is made at most five times a
// second, however many ask.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "daemon/loop.h"
#include "machine/process/control.h"

namespace outlive::daemon {

class MetricsServer {
 public:
  using Text = std::function<std::string()>;
  MetricsServer(Loop& loop, machine::Control& control, Text text)
      : loop_(loop), control_(control), text_(std::move(text)) {}
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // The listener for `address`, which isn't served yet; invalid for "": none. nullopt: the one that
  // is there stays.
  Result<std::optional<UniqueFd>> prepare(const std::string& address) const;
  // Serves this one from now on (invalid: none), and closes the one before.
  Status use(UniqueFd listener);
  // Serves the one that the table has, if there is one.
  void resume();
  // Closes the listener, and a Unix socket's path, when outlived ends.
  void end();
  // Cuts off who is late: at least every second while there are connections.
  void tick(uint64_t now_ns);

 private:
  struct Client {
    UniqueFd fd;
    uint64_t since_ns = 0;
    std::string head;  // of the request
    std::string rest;  // of the answer
  };
  void accept_all();
  void ready(int number);
  bool read(Client& client);
  std::string answer(std::string_view head);
  const std::string& text();

  Loop& loop_;
  machine::Control& control_;
  Text text_;
  std::string cached_;
  uint64_t cached_ns_ = 0;
  std::map<int, Client> clients_;
};

}  // namespace outlive::daemon
