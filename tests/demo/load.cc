// demo-load: many connections to kv, opened once, that notice everything.
//
//   demo-load --port PORT [--connections 1000] [--slow 10] [--rate 10000] [--data 100000]
//
// Fills kv with `data` keys, opens the connections, prints "ready" and makes load until told to
// end. The driver says what happens, line by line on standard input (times: CLOCK_MONOTONIC, ns):
//
//   window START END   an update ran from START to END
//   kill               kv will be killed now: connections may break, what was acknowledged may not
//   count              prints "count N": replies so far
//   report             stops, waits for what is in flight, prints one line of JSON, ends
//
// The end of standard input ends it too.
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>

#include "base/clock.h"
#include "load_client.h"

namespace outlive::demo {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr size_t kSlowRead = 4096;
constexpr uint64_t kSlowEveryNs = 4 * kMs;
constexpr uint64_t kLastReplyNs = 20'000 * kMs;
constexpr uint64_t kStdin = UINT64_MAX;

struct Options {
  uint16_t port = 0;
  size_t connections = 1000;
  size_t slow = 10;
  uint64_t rate = 10000;  // requests a second, over all
  size_t data = 100000;   // keys that nobody writes again
};

struct Window {
  uint64_t start_ns, end_ns;
};

class Load {
 public:
  explicit Load(const Options& options) : options_(options) {}

  Status run() {
    TRY(fill());
    epoll_ = TRY(sys::epoll_create());
    TRY(sys::epoll_ctl(epoll_, EPOLL_CTL_ADD, BorrowedFd(STDIN_FILENO), EPOLLIN, kStdin));
    for (size_t i = 0; i < options_.connections; ++i) {
      clients_.push_back(
          std::make_unique<LoadClient>(i, options_.port, i < options_.slow, &tally_));
      TRY(clients_[i]->open().context("connection {}", i));
      TRY(watch(i));
    }
    say("ready");
    began_ns_ = now();
    while (!ended_) TRY(turn());
    return {};
  }

 private:
  static uint64_t now() { return system_clock().now_ns(); }
  static void say(std::string_view line) { std::cout << line << std::endl; }

  // A slow one is read by the clock, not by epoll.
  Status watch(size_t index) {
    const LoadClient& client = *clients_[index];
    if (client.slow()) return {};
    return sys::epoll_ctl(epoll_, EPOLL_CTL_ADD, client.fd(), EPOLLIN, index);
  }

  // The keys that only the digest looks at, and the big value.
  Status fill() {
    LoadClient client(0, options_.port, false, &tally_);
    TRY(client.open());
    std::string big(kBigSize, ' ');
    for (size_t i = 0; i < big.size(); ++i) big[i] = big_byte(i);
    TRY(ask(client, request({"SET", kBigKey, big})));
    constexpr size_t kBatch = 500;
    for (size_t i = 0; i < options_.data; i += kBatch) {
      const size_t count = std::min(kBatch, options_.data - i);
      std::string text = fmt::format("*{}\r\n$4\r\nMSET\r\n", 1 + 2 * count);
      for (size_t j = i; j < i + count; ++j) {
        const std::string key = fmt::format("data:{}", j);
        const std::string value = fmt::format("value {} {:064}", j, j * 2654435761);
        text += fmt::format("${}\r\n{}\r\n${}\r\n{}\r\n", key.size(), key, value.size(), value);
      }
      TRY(ask(client, text));
    }
    return {};
  }

  static Status ask(const LoadClient& client, const std::string& text) {
    TRY(sys::write_all(client.fd(), text));
    std::byte reply[64];
    const size_t got = TRY(sys::recv(client.fd(), reply, 0));
    const std::string_view answer(reinterpret_cast<const char*>(reply), got);
    if (answer != "+OK\r\n") return fail(EPROTO, "filling: {}", answer);
    return {};
  }

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
    for (size_t i = 0; i < clients_.size(); ++i) {
      if (clients_[i]->broken()) mend(i);
    }
    drain_slowly(now_ns);
    if (report_by_ns_ == 0) {
      send_what_is_due(now_ns);
    } else if (now_ns > report_by_ns_ || in_flight() == 0) {
      report();
    }
    return {};
  }

  void mend(size_t index) {
    Status opened = clients_[index]->reopen();
    if (opened) opened = watch(index);
    if (opened) return;
    ++tally_.errors;
    tally_.complain(opened.error().message);
  }

  void drain_slowly(uint64_t now_ns) {
    const bool fast = report_by_ns_ != 0;
    if (!fast && now_ns < next_slow_ns_) return;
    next_slow_ns_ = now_ns + kSlowEveryNs;
    for (size_t i = 0; i < options_.slow; ++i) {
      // To the last byte at the end: a window of 4 KiB takes many small reads.
      for (int reads = fast ? 64 : 1; reads > 0 && !clients_[i]->broken(); --reads) {
        clients_[i]->receive(fast ? SIZE_MAX : kSlowRead, now_ns);
      }
    }
  }

  // An even rate over all connections; one that waits for its reply is passed over.
  void send_what_is_due(uint64_t now_ns) {
    for (size_t i = 0; i < options_.slow; ++i) {
      if (!clients_[i]->broken()) clients_[i]->send(now_ns);
    }
    const uint64_t due = (now_ns - began_ns_) / 1000 * options_.rate / 1'000'000;
    for (size_t tried = 0; sent_ < due && tried < clients_.size(); ++tried) {
      next_ = (next_ + 1) % clients_.size();
      LoadClient& client = *clients_[next_];
      if (client.slow() || client.broken() || !client.idle()) continue;
      client.send(now());
      ++sent_;
    }
    sent_ = std::max(sent_, due);  // what could not be sent is not made up for
  }

  size_t in_flight() const {
    size_t sum = 0;
    for (const auto& client : clients_) sum += client->in_flight();
    return sum;
  }

  Status listen_to_driver() {
    char buffer[4096];
    const size_t got =
        TRY(sys::read(BorrowedFd(STDIN_FILENO), std::as_writable_bytes(std::span(buffer))));
    if (got == 0) ended_ = true;
    commands_.append(buffer, got);
    for (size_t end; (end = commands_.find('\n')) != std::string::npos;
         commands_.erase(0, end + 1)) {
      TRY(obey(commands_.substr(0, end)));
    }
    return {};
  }

  Status obey(const std::string& line) {
    Window window{};
    if (sscanf(line.c_str(), "window %lu %lu", &window.start_ns, &window.end_ns) == 2) {
      windows_.push_back(window);
    } else if (line == "kill") {
      ++tally_.kills;
    } else if (line == "count") {
      say(fmt::format("count {}", tally_.requests));
    } else if (line == "report") {
      report_by_ns_ = now() + kLastReplyNs;
    } else {
      return fail(EINVAL, "unknown command '{}'", line);
    }
    return {};
  }

  // The longest request that began within 10 ms of an update.
  uint64_t longest_stall_ns() const {
    uint64_t longest = 0;
    for (const Window& window : windows_) {
      for (const Record& record : tally_.records) {
        if (record.start_ns + 10 * kMs < window.start_ns) continue;
        if (record.start_ns > window.end_ns + 10 * kMs) break;
        longest = std::max(longest, record.latency_ns);
      }
    }
    return longest;
  }

  void report() {
    ended_ = true;
    const size_t missing = in_flight();
    if (missing > 0) tally_.complain(fmt::format("{} replies never came", missing));
    tally_.lost += missing;
    std::ranges::sort(tally_.records, {}, &Record::start_ns);
    const uint64_t stall = longest_stall_ns();
    std::vector<uint64_t> latencies;
    for (const Record& record : tally_.records) latencies.push_back(record.latency_ns);
    std::ranges::sort(latencies);
    const auto percentile = [&](size_t percent) {
      return latencies.empty() ? 0 : latencies[(latencies.size() - 1) * percent / 100] / 1000;
    };
    for (char& c : tally_.first_complaint) c = c == '"' || c == '\\' || c < ' ' ? '\'' : c;
    say(fmt::format(
        R"({{"connections":{},"requests":{},"errors":{},"reconnects":{},"reconnects_after_kill":{},)"
        R"("lost":{},"duplicated":{},"wrong":{},"stall_max_us":{},"latency_p50_us":{},)"
        R"("latency_p99_us":{},"complaint":"{}"}})",
        clients_.size(), tally_.requests, tally_.errors, tally_.reconnects,
        tally_.reconnects_after_kill, tally_.lost, tally_.duplicated, tally_.wrong, stall / 1000,
        percentile(50), percentile(99), tally_.first_complaint));
  }

  Options options_;
  UniqueFd epoll_;
  std::vector<std::unique_ptr<LoadClient>> clients_;
  Tally tally_;
  std::vector<Window> windows_;
  std::string commands_;
  uint64_t began_ns_ = 0, sent_ = 0, next_slow_ns_ = 0, report_by_ns_ = 0;
  size_t next_ = 0;
  bool ended_ = false;
};

}  // namespace
}  // namespace outlive::demo

int main(int argc, char** argv) {
  outlive::demo::Options options;
  CLI::App app("Load for kv that checks every reply.", "demo-load");
  app.add_option("--port", options.port)->required();
  app.add_option("--connections", options.connections);
  app.add_option("--slow", options.slow);
  app.add_option("--rate", options.rate);
  app.add_option("--data", options.data);
  CLI11_PARSE(app, argc, argv);
  const outlive::Status status = outlive::demo::Load(options).run();
  if (status) return 0;
  fmt::print(stderr, "demo-load: {}\n", status.error().text());
  return 1;
}
