// An ordinary TCP server that answers lines, one poll() loop. It knows nothing of updates; hello.cc
// puts it under outlive.
#ifndef HELLO_LINE_SERVER_H
#define HELLO_LINE_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "outlive/unique_fd.hpp"

class LineServer {
 public:
  virtual ~LineServer() = default;

  outlive::UniqueFd listener;
  std::map<std::uint64_t, outlive::UniqueFd> connections;  // by a number that isn't used again soon
  bool serving = false;                                    // else only `other_fd` is looked at

  void listen_on(std::uint16_t port) {
    listener.reset(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener.get(), 128) != 0) {
      std::perror(("127.0.0.1:" + std::to_string(port)).c_str());
      std::exit(1);
    }
    serving = true;
  }

  // Waits until there is something to do. True: `other_fd` is readable. Else the work is done.
  bool turn(int other_fd) {
    std::vector<pollfd> polled{{other_fd, POLLIN, 0}};
    if (serving) polled.push_back({listener.get(), POLLIN, 0});
    if (serving) {
      for (const auto& [number, connection] : connections) {
        polled.push_back({connection.get(), POLLIN, 0});
      }
    }
    ::poll(polled.data(), static_cast<nfds_t>(polled.size()), -1);
    if (polled[0].revents != 0) return true;
    if (serving) serve();
    return false;
  }

 protected:
  virtual void opened(std::uint64_t number, int fd) = 0;
  virtual void closed(std::uint64_t number, outlive::UniqueFd fd) = 0;
  virtual std::string answer(const std::string& line) = 0;

 private:
  void serve() {
    outlive::UniqueFd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (accepted) {
      const std::uint64_t number = connections.empty() ? 1 : connections.rbegin()->first + 1;
      opened(number, accepted.get());
      connections[number] = std::move(accepted);
    }
    for (auto next = connections.begin(); next != connections.end();) {
      const auto current = next++;
      // Lines are short, one read has them whole; kv shows how half of one survives.
      char text[512];
      const ssize_t got = ::recv(current->second.get(), text, sizeof text, MSG_DONTWAIT);
      if (got > 0) {
        reply(current->second.get(), std::string(text, static_cast<std::size_t>(got)));
      } else if (got == 0 || errno != EAGAIN) {
        closed(current->first, std::move(current->second));
        connections.erase(current);
      }
    }
  }
  void reply(int fd, const std::string& text) {
    std::string out;
    for (std::size_t start = 0, end = 0; (end = text.find('\n', start)) != std::string::npos;) {
      out += answer(text.substr(start, end - start)) + "\n";
      start = end + 1;
    }
    // What doesn't go out at once finds a client that doesn't read: its next read tells.
    [[maybe_unused]] const auto sent = ::send(fd, out.data(), out.size(), MSG_NOSIGNAL);
  }
};

#endif
