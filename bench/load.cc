// bench-load: the clients' side of an update. Checks every reply as demo-load does, and keeps every
// request's start and latency, so that each single update's stall can be told.
//
//   bench-load --port PORT [--connections N] [--rate N]
//
// Prints "ready", then makes load. On standard input:
//
//   window START END   prints "stall NS REQUESTS": the longest request begun within 10 ms of this
//   time
//                      (CLOCK_MONOTONIC, ns), of how many; 0 0: none was. What is older is
//                      forgotten.
//   report             prints one line of JSON, and ends; so does the end of standard input
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>

#include "base/clock.h"
#include "base/time_slice.h"
#include "load_client.h"

namespace outlive::bench {
namespace {

constexpr uint64_t kNearNs = 10'000'000;
constexpr uint64_t kStdin = UINT64_MAX;

class Load {
 public:
  Load(uint16_t port, size_t connections, uint64_t rate)
      : port_(port), connections_(connections), rate_(rate) {}

  Status run() {
    // What is measured is how long kv takes, not how long this program waits for a processor.
    static_cast<void>(set_time_slice(kShortTimeSliceNs));
    epoll_ = TRY(sys::epoll_create());
    TRY(sys::epoll_ctl(epoll_, EPOLL_CTL_ADD, BorrowedFd(STDIN_FILENO), EPOLLIN, kStdin));
    for (size_t i = 0; i < connections_; ++i) {
      clients_.push_back(std::make_unique<demo::LoadClient>(i, port_, false, &tally_));
      TRY(clients_[i]->open().context("connection {}", i));
      TRY(sys::epoll_ctl(epoll_, EPOLL_CTL_ADD, clients_[i]->fd(), EPOLLIN, i));
    }
    std::cout << "ready" << std::endl;
    began_ns_ = now();
    while (!ended_) TRY(turn());
    return {};
  }

 private:
  static uint64_t now() { return system_clock().now_ns(); }

  Status turn() {
    epoll_event events[512];
    const size_t count = TRY(sys::epoll_wait(epoll_, events, 1));
    const uint64_t now_ns = now();
    for (size_t i = 0; i < count; ++i) {
      const uint64_t data = events[i].data.u64;
      if (data == kStdin) {
        TRY(listen_to_driver());
      } else if (!clients_[data]->broken()) {
        clients_[data]->receive(SIZE_MAX, now_ns);
      }
    }
    send_what_is_due(now_ns);
    return {};
  }

  // An even rate over all connections; one that waits for its reply is passed over.
  void send_what_is_due(uint64_t now_ns) {
    const uint64_t due = (now_ns - began_ns_) / 1000 * rate_ / 1'000'000;
    for (size_t tried = 0; sent_ < due && tried < clients_.size(); ++tried) {
      next_ = (next_ + 1) % clients_.size();
      if (clients_[next_]->broken() || !clients_[next_]->idle()) continue;
      clients_[next_]->send(now());
      ++sent_;
    }
    sent_ = std::max(sent_, due);  // what could not be sent is not made up for
  }

  Status listen_to_driver() {
    char buffer[4096];
    const size_t got =
        TRY(sys::read(BorrowedFd(STDIN_FILENO), std::as_writable_bytes(std::span(buffer))));
    if (got == 0) ended_ = true;
    commands_.append(buffer, got);
    for (size_t end; (end = commands_.find('\n')) != std::string::npos;
         commands_.erase(0, end + 1)) {
      const std::string line = commands_.substr(0, end);
      uint64_t from = 0, to = 0;
      if (sscanf(line.c_str(), "window %lu %lu", &from, &to) == 2) {
        say_stall(from, to);
      } else {
        report();
      }
    }
    return {};
  }

  void say_stall(uint64_t from, uint64_t to) {
    uint64_t longest = 0, requests = 0;
    for (const demo::Record& record : tally_.records) {
      if (record.start_ns + kNearNs < from || record.start_ns > to + kNearNs) continue;
      longest = std::max(longest, record.latency_ns);
      ++requests;
    }
    tally_.records.clear();
    std::cout << "stall " << longest << ' ' << requests << std::endl;
  }

  void report() {
    ended_ = true;
    std::ranges::replace_if(
        tally_.first_complaint, [](char c) { return c == '"' || c == '\\' || c < ' '; }, '\'');
    fmt::print(
        R"({{"requests":{},"errors":{},"lost":{},"duplicated":{},"wrong":{},"reconnects":{},)"
        R"("broken":{},"complaint":"{}"}})"
        "\n",
        tally_.requests, tally_.errors, tally_.lost, tally_.duplicated, tally_.wrong,
        tally_.reconnects,
        std::ranges::count_if(clients_, [](const auto& c) { return c->broken(); }),
        tally_.first_complaint);
    fflush(stdout);
  }

  uint16_t port_;
  size_t connections_;
  uint64_t rate_;  // requests a second, over all
  UniqueFd epoll_;
  std::vector<std::unique_ptr<demo::LoadClient>> clients_;
  demo::Tally tally_;
  std::string commands_;
  uint64_t began_ns_ = 0, sent_ = 0;
  size_t next_ = 0;
  bool ended_ = false;
};

}  // namespace
}  // namespace outlive::bench

int main(int argc, char** argv) {
  uint16_t port = 0;
  size_t connections = 1000;
  uint64_t rate = 8000;
  CLI::App app("Load for kv that times each update's stall.", "bench-load");
  app.add_option("--port", port)->required();
  app.add_option("--connections", connections);
  app.add_option("--rate", rate);
  CLI11_PARSE(app, argc, argv);
  const outlive::Status status = outlive::bench::Load(port, connections, rate).run();
  if (status) return 0;
  fmt::print(stderr, "bench-load: {}\n", status.error().text());
  return 1;
}
