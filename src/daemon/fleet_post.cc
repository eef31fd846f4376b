#include "daemon/fleet_post.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "daemon/name_lookup.h"

namespace outlive::daemon {
namespace {

constexpr size_t kMostBody = 1 << 20;
constexpr size_t kMostLine = 4096;
constexpr uint64_t kFirstPauseNs = 250'000'000;
constexpr uint64_t kLongestPauseNs = 10'000'000'000;

Status await(BorrowedFd socket, short events, uint64_t deadline_ns) {
  for (;;) {
    const uint64_t now = system_clock().now_ns();
    if (now >= deadline_ns) return fail(ETIMEDOUT, "no answer in time");
    pollfd one{socket.get(), events, 0};
    const int ready = ::poll(&one, 1, static_cast<int>((deadline_ns - now) / 1'000'000) + 1);
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return fail_errno("poll");
  }
}

Result<UniqueFd> connect_to(const ListenAddress& at, uint64_t deadline_ns) {
  UniqueFd socket = TRY(sys::socket(at.domain, SOCK_STREAM | SOCK_NONBLOCK));
  const auto* address = reinterpret_cast<const sockaddr*>(&at.address);
  const Status connected = sys::connect(socket, address, at.length);
  if (connected) return socket;
  if (connected.error().code != EINPROGRESS) return connected.error();
  TRY(await(socket, POLLOUT, deadline_ns));
  const int error = TRY(sys::get_int_option(socket, SOL_SOCKET, SO_ERROR));
  if (error != 0) return fail(error, "connect");
  return socket;
}

Status send_all(BorrowedFd socket, std::string_view text, uint64_t deadline_ns) {
  while (!text.empty()) {
    const auto sent = sys::send(socket, std::as_bytes(std::span(text)), MSG_NOSIGNAL);
    if (sent) text.remove_prefix(*sent);
    if (!sent && sent.error().code != EAGAIN) return sent.error();
    if (!sent) TRY(await(socket, POLLOUT, deadline_ns));
  }
  return {};
}

Result<int> read_status(BorrowedFd socket, uint64_t deadline_ns) {
  std::string line;
  std::array<std::byte, 1024> some;
  while (line.find("\r\n") == std::string::npos && line.size() < kMostLine) {
    TRY(await(socket, POLLIN, deadline_ns));
    const auto got = sys::recv(socket, some, 0);
    if (!got && got.error().code == EAGAIN) continue;
    if (!got) return got.error();
    if (*got == 0) break;
    line.append(reinterpret_cast<const char*>(some.data()), *got);
  }
  constexpr size_t kCodeAt = sizeof "HTTP/1.1";
  int code = 0;
  if (line.starts_with("HTTP/1.") && line.size() > kCodeAt + 3) {
    std::from_chars(line.data() + kCodeAt, line.data() + kCodeAt + 3, code);
  }
  if (code < 100) return fail(EPROTO, "the answer isn't HTTP");
  return code;
}

// Until its end: who launches us has written it all by then.
Result<std::string> read_input() {
  std::string text;
  std::array<std::byte, 4096> some;
  for (;;) {
    const size_t got = TRY(sys::read(BorrowedFd(STDIN_FILENO), some));
    if (got == 0) return text;
    text.append(reinterpret_cast<const char*>(some.data()), got);
    if (text.size() > kMostBody) return fail(EFBIG, "standard input");
  }
}

Status post_once(const FleetAddress& to, const std::string& body, uint64_t most_ns) {
  const int code = TRY(http_post(to, body, most_ns));
  if (code / 100 != 2) return fail(EREMOTEIO, "the answer is {}", code);
  return {};
}

void pause_for(uint64_t ns) {
  const timespec time{static_cast<time_t>(ns / 1'000'000'000),
                      static_cast<long>(ns % 1'000'000'000)};
  ::nanosleep(&time, nullptr);
}

Status post_until(const FleetAddress& to, const std::string& body, uint64_t deadline_ns,
                  uint64_t try_ns) {
  uint64_t pause_ns = kFirstPauseNs;
  for (unsigned tries = 1;; ++tries) {
    const uint64_t now = system_clock().now_ns();
    const uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
    const Status posted = post_once(to, body, std::min(left, try_ns));
    if (tries == 1) ::send(STDIN_FILENO, "", 1, MSG_NOSIGNAL);
    if (posted) {
      log_notice("the refusal is reported to {} (try {})", to.host, tries);
      return {};
    }
    if (system_clock().now_ns() + pause_ns >= deadline_ns) {
      return Status(posted.error()).context("{} tries, the last one", tries);
    }
    if (tries == 1) log_warning("{}: {}; trying again", to.host, posted.error().text());
    pause_for(pause_ns);
    pause_ns = std::min(2 * pause_ns, kLongestPauseNs);
  }
}

}  // namespace

Result<UniqueFd> connect_to_any(std::span<const ListenAddress> list, uint64_t deadline_ns) {
  Result<UniqueFd> connected = fail(ENOENT, "no address");
  for (size_t left = list.size(); left != 0 && !connected; --left) {
    const uint64_t now = system_clock().now_ns();
    const uint64_t share = deadline_ns > now ? (deadline_ns - now) / left : 0;
    connected = connect_to(list[list.size() - left], now + share);
  }
  return connected;
}

Result<int> http_post(const FleetAddress& to, std::string_view json, uint64_t most_ns) {
  const uint64_t deadline_ns = system_clock().now_ns() + most_ns;
  std::vector<ListenAddress> list{to.at};
  if (!to.name.empty()) list = TRY(look_up_name(to.name, to.at.port, deadline_ns));
  const UniqueFd socket = TRY(connect_to_any(list, deadline_ns));
  const std::string request = fmt::format(
      "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: outlived/{}\r\nContent-Type: "
      "application/json\r\n"
      "Content-Length: {}\r\nConnection: close\r\n\r\n{}",
      to.path, to.host, OUTLIVE_VERSION, json.size(), json);
  TRY(send_all(socket, request, deadline_ns));
  return read_status(socket, deadline_ns);
}

int post_report(const std::string& address, uint64_t most_ns, uint64_t try_ns) {
  set_log_role("fleet");
  const uint64_t deadline_ns = system_clock().now_ns() + most_ns;
  const auto to = parse_fleet_address(address);
  const auto body = read_input();
  Status done;
  if (!to) done = to.error();
  if (!body) done = body.error();
  if (done) done = post_until(*to, *body, deadline_ns, try_ns);
  if (!done) log_error("the refusal is not reported: {}", done.error().text());
  return done ? 0 : 1;
}

}  // namespace outlive::daemon
