#include "daemon/metrics_server.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "daemon/exposition.h"
#include "daemon/metrics_address.h"

namespace outlive::daemon {
namespace {

constexpr size_t kMostClients = 16;
constexpr size_t kMostHead = 4096;
constexpr uint64_t kPatienceNs = 5'000'000'000;
constexpr uint64_t kFreshNs = 200'000'000;

std::string response(std::string_view status, std::string_view type, std::string_view body,
                     std::string_view more = "", bool head_only = false) {
  return fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}Connection: close\r\n\r\n{}",
      status, type, body.size(), more, head_only ? "" : body);
}

std::string refusal(std::string_view status, std::string_view more = "") {
  return response(status, "text/plain; charset=utf-8", fmt::format("{}\n", status), more);
}

std::string_view take_word(std::string_view& line) {
  const size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

}  // namespace

MetricsServer::~MetricsServer() {
  for (const auto& [number, client] : clients_) loop_.remove(client.fd);
}

Result<std::optional<UniqueFd>> MetricsServer::prepare(const std::string& address) const {
  const BorrowedFd now = control_.metrics_listener();
  if (address.empty()) return now.valid() ? std::optional(UniqueFd()) : std::nullopt;
  const ListenAddress parsed = TRY(parse_metrics_address(address));
  if (now.valid() && is_bound_to(now, parsed)) return std::optional<UniqueFd>();
  UniqueFd listener = TRY(bind_metrics(parsed).context("metrics"));
  return std::optional(std::move(listener));
}

Status MetricsServer::use(UniqueFd listener) {
  const UniqueFd before = TRY(control_.keep_metrics_listener(std::move(listener)));
  if (before) {
    loop_.remove(before);
    unlink_bound(before);
  }
  resume();
  return {};
}

void MetricsServer::end() {
  if (const BorrowedFd listener = control_.metrics_listener(); listener.valid()) {
    unlink_bound(listener);
  }
}

void MetricsServer::resume() {
  const BorrowedFd listener = control_.metrics_listener();
  if (!listener.valid()) return;
  const Status added = loop_.add(listener, EPOLLIN, [this](uint32_t) { accept_all(); });
  if (!added) log_warning("metrics: {}", added.error().message);
}

void MetricsServer::accept_all() {
  const BorrowedFd listener = control_.metrics_listener();
  for (size_t i = 0; i < kMostClients; ++i) {
    Result<UniqueFd> accepted = sys::accept(listener, SOCK_NONBLOCK);
    if (!accepted) return;
    if (clients_.size() == kMostClients) {
      auto oldest = clients_.begin();
      for (auto it = clients_.begin(); it != clients_.end(); ++it) {
        if (it->second.since_ns < oldest->second.since_ns) oldest = it;
      }
      loop_.remove(oldest->second.fd);
      clients_.erase(oldest);
    }
    const int number = accepted->get();
    const Status added = loop_.add(*accepted, EPOLLIN, [this, number](uint32_t) { ready(number); });
    if (!added) return;
    clients_[number] = Client{std::move(*accepted), system_clock().now_ns(), {}, {}};
  }
}

void MetricsServer::ready(int number) {
  const auto found = clients_.find(number);
  if (found == clients_.end()) return;
  Client& client = found->second;
  bool stays = true;
  if (client.rest.empty()) stays = read(client);
  if (stays && !client.rest.empty()) {
    const Result<size_t> sent =
        sys::send(client.fd, std::as_bytes(std::span(client.rest)), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent) client.rest.erase(0, *sent);
    // A rest waits until the client reads on, or its time is over.
    stays = sent ? !client.rest.empty() : sent.error().code == EAGAIN;
    if (stays) stays = static_cast<bool>(loop_.change(client.fd, EPOLLOUT));
  }
  if (stays) return;
  loop_.remove(client.fd);
  clients_.erase(found);
}

// False: it is gone. With the whole head, `rest` is the answer.
bool MetricsServer::read(Client& client) {
  char buffer[kMostHead + 1];
  const Result<size_t> got =
      sys::recv(client.fd, std::as_writable_bytes(std::span(buffer)), MSG_DONTWAIT);
  if (!got) return got.error().code == EAGAIN;
  if (*got == 0) return false;
  client.head.append(buffer, *got);
  const size_t end = client.head.find("\r\n\r\n");
  if (end != std::string::npos && end <= kMostHead) {
    client.rest = answer(std::string_view(client.head).substr(0, end));
  } else if (client.head.size() > kMostHead) {
    client.rest = refusal("431 Request Header Fields Too Large");
  }
  return true;
}

std::string MetricsServer::answer(std::string_view head) {
  std::string_view line = head.substr(0, head.find("\r\n"));
  const std::string_view method = take_word(line);
  std::string_view path = take_word(line);
  if (path.empty() || !line.starts_with("HTTP/1.")) return refusal("400 Bad Request");
  path = path.substr(0, path.find('?'));
  if (path != "/metrics") return refusal("404 Not Found");
  if (method != "GET" && method != "HEAD") {
    return refusal("405 Method Not Allowed", "Allow: GET, HEAD\r\n");
  }
  return response("200 OK", Exposition::kContentType, text(), "", method == "HEAD");
}

const std::string& MetricsServer::text() {
  const uint64_t now = system_clock().now_ns();
  if (cached_.empty() || now - cached_ns_ > kFreshNs) {
    cached_ = text_();
    cached_ns_ = now;
  }
  return cached_;
}

void MetricsServer::tick(uint64_t now_ns) {
  for (auto it = clients_.begin(); it != clients_.end();) {
    if (now_ns - it->second.since_ns < kPatienceNs) {
      ++it;
      continue;
    }
    loop_.remove(it->second.fd);
    it = clients_.erase(it);
  }
}

}  // namespace outlive::daemon
