#include "server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "commands.h"

namespace kv {
namespace {

constexpr size_t kReadSize = 64 * 1024;
constexpr size_t kOutputLimit = 256 * 1024;  // replies collected before the first is sent
constexpr int kTickMs = 100;
constexpr int kEvents = 64;  // a turn is short, so that freeze does not wait long for its end
constexpr uint64_t kListenerEvent = UINT64_MAX;
constexpr uint64_t kWatchedEvent = UINT64_MAX - 1;

uint64_t unix_ms() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

bool complain(const char* what) {
  fprintf(stderr, "kv: %s: %s\n", what, strerror(errno));
  return false;
}

bool add(int epoll, int fd, uint32_t events, uint64_t data) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 || complain("epoll_ctl");
}

}  // namespace

bool Server::open() {
  epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  connections_.resize(kSlots);
  scratch_ = std::make_unique<char[]>(kReadSize);
  info_ = [this] { return info(); };
  return static_cast<bool>(epoll_) || complain("epoll_create1");
}

bool Server::listen(const std::string& address, uint16_t port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return complain("socket");
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  const int on = 1;
  if (inet_pton(AF_INET, address.c_str(), &name.sin_addr) != 1) {
    fprintf(stderr, "kv: --bind %s: not an IPv4 address\n", address.c_str());
    return false;
  }
  if (setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
      bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) < 0 ||
      ::listen(fd.get(), 4096) < 0) {
    return complain(("listen on " + address + ":" + std::to_string(port)).c_str());
  }
  return take_listener(std::move(fd));
}

bool Server::take_listener(UniqueFd fd) {
  listener_ = std::move(fd);
  return add(epoll_.get(), listener_.get(), EPOLLIN, kListenerEvent);
}

uint16_t Server::port() const {
  sockaddr_in name{};
  socklen_t size = sizeof name;
  getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&name), &size);
  return ntohs(name.sin_port);
}

bool Server::watch(int fd) {
  return add(epoll_.get(), fd, EPOLLIN, kWatchedEvent);
}

bool Server::watch_connection(uint32_t slot, UniqueFd fd, uint32_t interest) {
  connections_[slot] = {std::move(fd), interest};
  return add(epoll_.get(), connections_[slot].fd.get(), interest, slot);
}

bool Server::preview_connection(uint32_t slot, UniqueFd fd) {
  if (slot >= kSlots) {
    errno = ERANGE;
    return false;
  }
  return watch_connection(slot, std::move(fd), EPOLLIN);
}

// By hand, since closing it doesn't: others have the same open socket.
void Server::leave_epoll(uint32_t slot) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connections_[slot].fd.get(), nullptr);
}

void Server::drop_preview(uint32_t slot) {
  if (slot >= kSlots || !connections_[slot].fd) return;
  leave_epoll(slot);
  connections_[slot] = {};
}

bool Server::take_connections() {
  const uint64_t used = store_->state().slots_used;
  for (uint32_t i = 0; i < used; ++i) {
    const bool open = store_->slot(i).state == Slot::kOpen;
    if (open && !connections_[i].fd) return false;
    if (!open) {
      drop_preview(i);  // shut down already; outlived's copy goes with its unpreserve
      continue;
    }
    ++connected_;
    set_interest(i);
  }
  return true;
}

void Server::start() {
  const auto used = static_cast<uint32_t>(store_->state().slots_used);
  for (uint32_t i = used; i-- > 0;) {
    if (store_->slot(i).state == Slot::kFree) free_.push_back(i);
    if (store_->slot(i).state == Slot::kClosing) closing_.push_back(i);
  }
}

bool Server::turn() {
  epoll_event events[kEvents];
  const int count = epoll_wait(epoll_.get(), events, kEvents, kTickMs);
  bool watched = false;
  now_ms_ = unix_ms();
  for (int i = 0; i < count; ++i) {
    const uint64_t data = events[i].data.u64;
    if (data == kWatchedEvent) {
      watched = true;
    } else if (data == kListenerEvent) {
      accept_some();
    } else {
      const auto slot = static_cast<uint32_t>(data);
      if (!connections_[slot].fd) continue;  // closed earlier in this turn
      // Errors and hang-ups show in the call, whichever it is.
      connections_[slot].interest == EPOLLOUT ? on_writable(slot) : on_readable(slot);
    }
  }
  if (now_ms_ - swept_ms_ >= kTickMs) {
    store_->table().sweep(256, now_ms_);
    swept_ms_ = now_ms_;
  }
  // Only now: an event of this turn may still have carried a slot that was freed in it.
  free_.insert(free_.end(), freed_.begin(), freed_.end());
  freed_.clear();
  return watched;
}

void Server::accept_some() {
  for (int i = 0; i < 64; ++i) {
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      if (errno != EAGAIN && errno != ECONNABORTED) complain("accept");
      return;
    }
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    State& state = store_->state();
    if (free_.empty() && state.slots_used == kSlots) {
      constexpr std::string_view kFull = "-ERR max number of clients reached\r\n";
      (void)!send(fd.get(), kFull.data(), kFull.size(), MSG_NOSIGNAL);
      continue;
    }
    auto slot = static_cast<uint32_t>(state.slots_used);
    if (free_.empty()) {
      ++state.slots_used;
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    store_->slot(slot) = {};
    store_->slot(slot).state = Slot::kOpen;
    ++connected_;
    if (!watch_connection(slot, std::move(fd), EPOLLIN)) close_connection(slot);
  }
}

void Server::on_readable(uint32_t slot) {
  Buffer& input = store_->slot(slot).input;
  const bool fresh = input.block == 0;
  char* room = fresh ? scratch_.get() : store_->reserve(&input, kReadSize);
  if (room == nullptr) return close_connection(slot);
  const ssize_t got = recv(connections_[slot].fd.get(), room, kReadSize, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return close_connection(slot);
  const auto size = static_cast<size_t>(got);
  if (!fresh) {
    input.end += size;
    return pump(slot);
  }
  bool quit = false;
  const size_t used = execute_all({room, size}, &quit);
  const bool kept = store_->append(&input, {room + used, size - used});
  if (!send_output(slot) || quit || !kept) return close_connection(slot);
  pump(slot);
}

void Server::on_writable(uint32_t slot) {
  Buffer& output = store_->slot(slot).output;
  const std::string_view bytes = store_->contents(output);
  const ssize_t sent = send(connections_[slot].fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (sent < 0) return close_connection(slot);
  store_->consume(&output, static_cast<size_t>(sent));
  pump(slot);
}

// Goes on with the input that is kept, as long as the peer takes the output.
void Server::pump(uint32_t slot) {
  Slot& state = store_->slot(slot);
  while (state.output.block == 0 && state.input.block != 0) {
    bool quit = false;
    const size_t used = execute_all(store_->contents(state.input), &quit);
    store_->consume(&state.input, used);
    if (!send_output(slot) || quit) return close_connection(slot);
    if (used == 0) break;
  }
  set_interest(slot);
}

// Runs whole requests until the replies are many; returns how many bytes of input they were.
size_t Server::execute_all(std::string_view input, bool* quit) {
  size_t used = 0;
  out_.clear();
  while (used < input.size() && out_.size() < kOutputLimit && !*quit) {
    const Parsed parsed = parse_request(input.substr(used), &arguments_);
    if (parsed.kind == Parsed::Kind::kIncomplete) break;
    if (parsed.kind == Parsed::Kind::kError) {
      reply_error(&out_, parsed.error);
      *quit = true;
      break;
    }
    used += parsed.size;
    if (arguments_.empty()) continue;
    Call call{*store_, arguments_, now_ms_, &out_, info_};
    execute(call);
    *quit = call.quit;
  }
  return used;
}

// Sends what execute_all collected; what doesn't go now waits in the slot.
bool Server::send_output(uint32_t slot) {
  size_t done = 0;
  if (!out_.empty()) {
    const ssize_t sent = send(connections_[slot].fd.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (sent > 0) done = static_cast<size_t>(sent);
  }
  const std::string_view rest = std::string_view(out_).substr(done);
  return store_->append(&store_->slot(slot).output, rest);
}

void Server::set_interest(uint32_t slot) {
  const bool writer = store_->slot(slot).output.block != 0;
  const uint32_t wanted = writer ? EPOLLOUT : EPOLLIN;
  Connection& connection = connections_[slot];
  if (connection.interest == wanted) return;
  connection.interest = wanted;
  writers_ = writer ? writers_ + 1 : writers_ - 1;
  epoll_event event{};
  event.events = wanted;
  event.data.u64 = slot;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection.fd.get(), &event);
}

void Server::close_connection(uint32_t index) {
  Connection& connection = connections_[index];
  Slot& slot = store_->slot(index);
  // outlived's copy keeps the socket open: the peer is told by hand.
  leave_epoll(index);
  shutdown(connection.fd.get(), SHUT_RDWR);
  connection.fd.reset();
  writers_ -= connection.interest == EPOLLOUT ? 1 : 0;
  --connected_;
  const Change change(store_->heap());
  store_->heap().free(slot.input.block);
  store_->heap().free(slot.output.block);
  slot.input = slot.output = {};
  slot.state = slot.preserved != 0 ? Slot::kClosing : Slot::kFree;
  (slot.preserved != 0 ? closing_ : freed_).push_back(index);
}

std::vector<uint32_t> Server::not_preserved() const {
  std::vector<uint32_t> result;
  for (uint32_t i = 0; i < store_->state().slots_used; ++i) {
    const Slot& slot = store_->slot(i);
    if (slot.state == Slot::kOpen && slot.preserved == 0) result.push_back(i);
  }
  return result;
}

void Server::released() {
  for (const uint32_t i : closing_) store_->slot(i) = {};
  freed_.insert(freed_.end(), closing_.begin(), closing_.end());
  closing_.clear();
}

std::string Server::info() const {
  const State& state = store_->state();
  outlive_memory_stats memory{};
  outlive_memory_stat(store_->heap().memory(), &memory);
  std::string text = "# Server\r\n";
  const auto line = [&text](const char* name, uint64_t value) {
    text += std::string(name) + ":" + std::to_string(value) + "\r\n";
  };
  line("kv_version", KV_VERSION);
  line("process_id", static_cast<uint64_t>(getpid()));
  line("tcp_port", port());
  line("generation", state.generation);
  line("repairs", state.copy);
  text += "# Clients\r\n";
  line("connected_clients", connected_);
  line("outputs_waiting", writers_);
  line("outputs_waiting_at_last_freeze", state.frozen_outputs);
  text += "# Memory\r\n";
  line("used_memory", memory.allocated);
  text += "# Keyspace\r\n";
  line("keys", store_->table().size());
  return text;
}

}  // namespace kv
