#include "daemon/control_server.h"

#include <string.h>
#include <unistd.h>

#include <algorithm>

#include "abi/orchestrator_varlink.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mutant.h"
#include "base/sys.h"
#include "daemon/device.h"
#include "daemon/totals.h"
#include "wire/message.h"

namespace outlive::daemon {

namespace {
constexpr size_t kMostCall = 192 << 10;  // what surely fits into a socket's buffer
constexpr size_t kBufferSize = kMostCall + 1;
constexpr int kSendBuffer = 1 << 20;
// Descriptors of the table's reserve; the rest of it is for starting services.
constexpr size_t kMostInReserve = 16;
constexpr uint64_t kServeNs = 50'000;  // then it is looked who else has come
}  // namespace

ControlServer::ControlServer(Parts& parts, Supervisor& supervisor, Device& device)
    : parts_(parts),
      methods_(parts, supervisor, device),
      suspect_(parts.control),
      acceptor_(parts, [this](UniqueFd fd, const ucred& peer) { take_on(std::move(fd), peer); }),
      buffer_(std::make_unique_for_overwrite<char[]>(kBufferSize)) {
  supervisor.observer.service_changed = [this](const auto& service) { service_changed(service); };
  supervisor.observer.service_gone = [this](uint64_t service) { service_gone(service); };
  supervisor.observer.update_progress = [this](const auto& update) { update_progress(update); };
  supervisor.observer.update_over = [this](const auto& update) { update_over(update); };
}

ControlServer::~ControlServer() = default;

Status ControlServer::start(BorrowedFd listener) {
  // linux/socket.h of 6.16: who sends descriptors here is refused, and inherited by what is
  // accepted. Before it they are taken and closed.
  constexpr int kPassRights = 83;
  static_cast<void>(sys::set_int_option(listener, SOL_SOCKET, kPassRights, 0));
  return acceptor_.start(listener);
}

void ControlServer::take_on(UniqueFd fd, const ucred& peer) {
  // A reply fits whole or waits: a death in the middle of one would leave half a message.
  const Status larger = sys::set_int_option(fd, SOL_SOCKET, SO_SNDBUF, kSendBuffer);
  static_cast<void>(larger);
  const int number = fd.get();
  Client client;
  client.caller = {peer.uid, peer.gid, peer.pid, 0, 0, Acceptor::groups_of(fd)};
  client.fd = std::move(fd);
  client.used = ++uses_;
  if (const Status room = make_room(client); !room) {
    parts_.refusals.refused(peer.uid, parts_.now(),
                            fmt::format("control: {}", room.error().message));
    const std::string text = wire::error_text(abi::kErrorBusy, room.error());
    const auto ignored =
        sys::send(client.fd, std::as_bytes(std::span(text)), MSG_DONTWAIT | MSG_NOSIGNAL);
    static_cast<void>(ignored);
    return parts_.closer.close(BorrowedFd(client.fd.release()));
  }
  // Edge-triggered: a call that is being carried out stays in the socket.
  const Status added = parts_.loop.add(client.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                       [this, number](uint32_t events) { ready(number, events); });
  if (!added) {
    log_warning("control: {}", added.error().message);
    return;
  }
  clients_[number] = std::move(client);
}

Status ControlServer::make_room(const Client& client) {
  const bool full = parts_.in_reserve(client.fd, client.caller.uid);
  size_t others = 0, of_uid = 0, in_reserve = 0;
  const Client* idle = nullptr;
  for (const auto& [number, one] : clients_) {
    others += !is_operator(one.caller.uid);
    of_uid += one.caller.uid == client.caller.uid;
    in_reserve += parts_.in_reserve(one.fd);
    if (one.in_work != 0 || !one.outgoing.empty() || (full && !parts_.in_reserve(one.fd))) continue;
    if (idle == nullptr || one.used < idle->used) idle = &one;
  }
  const uint64_t most = parts_.config.control_connections;
  if (!is_operator(client.caller.uid)) {
    const uint64_t most_of_uid = parts_.config.control_connections_per_uid;
    if (of_uid >= most_of_uid) {
      return fail(
          EMFILE,
          "uid {} has {} connections of {} (control-connections-per-uid): close some, or try "
          "again later",
          client.caller.uid, of_uid, most_of_uid);
    }
    if (!full && others < most / 2) return {};
    return fail(
        EMFILE, "there are {} connections of users, {}: try again later", others,
        full ? "and the table of descriptors is full" : "as many as half of control-connections");
  }
  if (clients_.size() < most && (!full || in_reserve < kMostInReserve)) return {};
  if (idle == nullptr) {
    return fail(EMFILE, "all {} connections have a call in work: try again later", clients_.size());
  }
  log_info("control: a connection of uid {} that was idle made room for uid {}", idle->caller.uid,
           client.caller.uid);
  close(idle->fd.get());
  return {};
}

void ControlServer::ready(int number, uint32_t events) {
  auto found = clients_.find(number);
  if (found == clients_.end()) return;
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) found->second.gone = true;
  if (flush(found->second)) ready_.add(found->second.caller.uid, static_cast<uint64_t>(number));
}

// One call of each, users in turns; what else a client has sent already is for a turn of its own.
void ControlServer::serve_some() {
  if (kexec_waits_) kexec_moved();
  if (ready_.empty()) return;
  const uint64_t begun = parts_.now();
  while (const auto key = ready_.next()) {
    const int number = static_cast<int>(*key);
    auto found = clients_.find(number);
    if (found == clients_.end()) continue;
    const uint64_t uid = found->second.caller.uid;
    const Parts::Expense expense = parts_.begin_expense(uid);
    if (const uint64_t wait = parts_.throttle.wait_ns(uid, expense.since_ns); wait != 0) {
      parked_.push_back(number);
      next_resume_ns_ = sooner(next_resume_ns_, expense.since_ns + wait);
      continue;
    }
    parts_.closer.charge(uid);
    const bool more = serve_one(found->second);
    const uint64_t now = parts_.charge(expense);
    found = clients_.find(number);
    if (found != clients_.end() && more) ready_.add(uid, *key);
    if (found != clients_.end() && !more && found->second.gone) close(number);
    if (now - begun >= kServeNs) break;
  }
}

void ControlServer::resume() {
  const uint64_t now = parts_.now();
  acceptor_.resume(now);
  if (next_resume_ns_ == 0 || now < next_resume_ns_) return;
  next_resume_ns_ = 0;
  for (const int number : std::exchange(parked_, {})) {
    const auto found = clients_.find(number);
    if (found == clients_.end()) continue;
    ready_.add(found->second.caller.uid, static_cast<uint64_t>(number));
  }
}

uint64_t ControlServer::next_resume_ns() const {
  return sooner(acceptor_.next_ns(), next_resume_ns_);
}

bool ControlServer::serve_one(Client& client) {
  if (client.in_work != 0 || !client.outgoing.empty()) return false;
  const Result<size_t> got =
      sys::recv(client.fd, std::as_writable_bytes(std::span(buffer_.get(), kBufferSize)),
                MSG_PEEK | MSG_DONTWAIT);
  if (!got && got.error().code == EAGAIN) return false;
  if (!got || *got == 0) {
    close(client.fd.get());
    return false;
  }
  const auto* end = static_cast<const char*>(memchr(buffer_.get(), '\0', *got));
  if (end == nullptr) {
    if (*got > kMostCall) {
      log_warning("control: a call of uid {} has more than {} bytes", client.caller.uid, kMostCall);
      close(client.fd.get());
    }
    return false;
  }
  if (end == buffer_.get()) {
    // The worker before died while it replied. A second reply would be taken for the next call's:
    // whoever missed the first connects again, and asks with the same request_id.
    log_info("control: uid {}: the worker died while it replied", client.caller.uid);
    close(client.fd.get());
    return false;
  }
  client.in_work = static_cast<size_t>(end - buffer_.get()) + 1;
  const std::string_view text(buffer_.get(), client.in_work - 1);
  if (suspect_.refuses(client.fd, text)) {
    log_error("a control call of uid {} was in work at deaths of the worker: answered EIO",
              client.caller.uid);
    const int refused = client.fd.get();
    reply(client,
          wire::error_text(fail(EIO, "outlived's worker died of this call, again and again")),
          true);
    return clients_.contains(refused);
  }
  suspect_.begin(client.fd, text);
  const bool more = carry_out(client, text);
  suspect_.end();
  return more;
}

bool ControlServer::carry_out(Client& client, std::string_view text) {
  const Result<wire::VarlinkCall> call = wire::parse_call(text);
  if (!call) {
    log_info("control: a call of uid {}: {}", client.caller.uid, call.error().message);
    close(client.fd.get());
    return false;
  }
  count(parts_.control.operators().totals.control_calls);
  client.more = call->more;
  client.used = ++uses_;
  client.waiting = {};
  client.waiting.connection = client.fd.borrow();
  const int number = client.fd.get();
  std::optional<Answer> answer = methods_.handle(client.caller, *call, client.waiting);
  // What it started may have answered already, through the observer.
  const auto found = clients_.find(number);
  if (found == clients_.end() || found->second.in_work == 0) return false;
  if (found->second.waiting.what == Waiting::For::kKexec) kexec_waits_ = true;
  if (!answer) return false;
  reply(found->second, call->oneway ? "" : answer->text, true);
  return clients_.contains(number);
}

void ControlServer::reply(Client& client, const std::string& text, bool last) {
  client.outgoing += text;
  const int number = client.fd.get();
  // The call is done: all of it but the NUL at its end leaves the socket before the reply, the NUL
  // after it. Who finds a NUL alone doesn't know whether the reply was sent (see serve_one).
  const size_t before = mutant("call-consumed-late") ? 0 : client.in_work - 1;
  if (last && !consume(client, before)) return;
  if (last) suspect_.consumed(client.fd);
  if (!flush(client)) return;
  FAULT_POINT("daemon.replied");
  if (!last || !clients_.contains(number)) return;
  if (!consume(client, client.in_work - before)) return;
  client.in_work = 0;
  client.waiting = {};
}

// False: it could not be, and the client is gone: what is left would be taken for its next call.
bool ControlServer::consume(const Client& client, size_t bytes) {
  while (bytes > 0) {
    wire::Unwanted fds;
    const Result<size_t> got =
        wire::take_bytes(client.fd, std::as_writable_bytes(std::span(buffer_.get(), bytes)), fds);
    for (UniqueFd& fd : fds) parts_.closer.close(BorrowedFd(fd.release()));
    if (!got || *got == 0) {
      close(client.fd.get());
      return false;
    }
    bytes -= *got;
  }
  return true;
}

bool ControlServer::flush(Client& client) {
  while (!client.outgoing.empty()) {
    const Result<size_t> sent =
        sys::send(client.fd, std::as_bytes(std::span(client.outgoing)), MSG_DONTWAIT);
    if (!sent && sent.error().code == EAGAIN) return true;  // EPOLLOUT comes
    if (!sent) {
      close(client.fd.get());
      return false;
    }
    client.outgoing.erase(0, *sent);
  }
  return true;
}

void ControlServer::close(int number) {
  const auto found = clients_.find(number);
  if (found == clients_.end()) return;
  parts_.loop.remove(found->second.fd);
  // What it sent and nobody read is closed with it: that may block.
  parts_.closer.charge(found->second.caller.uid);
  parts_.closer.close(BorrowedFd(found->second.fd.release()));
  clients_.erase(found);
}

void ControlServer::pump(const std::function<std::optional<Answer>(Client&)>& news) {
  std::vector<int> numbers;
  for (const auto& [number, client] : clients_) {
    if (client.waiting.what != Waiting::For::kNothing) numbers.push_back(number);
  }
  for (const int number : numbers) {
    const auto found = clients_.find(number);
    if (found == clients_.end()) continue;
    const uint64_t uid = found->second.caller.uid;
    const std::optional<Answer> answer = news(found->second);
    if (!answer) continue;
    if (answer->last || found->second.more) reply(found->second, answer->text, answer->last);
    if (answer->last && clients_.contains(number)) {
      ready_.add(uid, static_cast<uint64_t>(number));
    }
  }
}

void ControlServer::service_changed(const abi::ServiceSlot& service) {
  const uint64_t address = parts_.records().address_of(&service);
  pump([&](Client& client) -> std::optional<Answer> {
    if (client.waiting.service != address) return std::nullopt;
    if (client.waiting.what == Waiting::For::kRun) {
      return methods_.run_news(client.waiting, service);
    }
    if (client.waiting.what == Waiting::For::kUpdate) {
      return client.waiting.begun ? methods_.update_lost(service)
                                  : methods_.begin_update(client.waiting);
    }
    return std::nullopt;
  });
}

void ControlServer::self_update_changed() {
  pump([&](Client& client) -> std::optional<Answer> {
    if (client.waiting.what != Waiting::For::kSelfUpdate) return std::nullopt;
    return methods_.self_update_news(client.waiting);
  });
}

void ControlServer::kexec_moved() {
  kexec_waits_ = false;
  pump([&](Client& client) -> std::optional<Answer> {
    if (client.waiting.what != Waiting::For::kKexec) return std::nullopt;
    std::optional<Answer> answer = methods_.kexec_news(client.waiting);
    if (!answer) kexec_waits_ = true;
    return answer;
  });
}

void ControlServer::service_gone(uint64_t service) {
  pump([&](Client& client) -> std::optional<Answer> {
    if (client.waiting.service != service) return std::nullopt;
    if (client.waiting.what == Waiting::For::kStop) {
      return Answer{wire::reply_text(wire::Json::object()), true};
    }
    return Answer{wire::error_text(fail(ENOENT, "the service was stopped")), true};
  });
}

void ControlServer::update_progress(const abi::UpdateSlot& update) {
  const uint64_t address = parts_.records().address_of(&update);
  pump([&](Client& client) -> std::optional<Answer> {
    if (client.waiting.update != address) return std::nullopt;
    return methods_.update_news(client.waiting, update, false);
  });
}

void ControlServer::update_over(const abi::UpdateSlot& update) {
  const uint64_t address = parts_.records().address_of(&update);
  pump([&](Client& client) -> std::optional<Answer> {
    // Who waits for this one to be over won't begin.
    const bool waits = client.waiting.what == Waiting::For::kUpdate && !client.waiting.begun &&
                       client.waiting.service == update.service;
    if (waits && luo::finish_failed(update)) return methods_.begin_update(client.waiting);
    if (client.waiting.update != address) return std::nullopt;
    return methods_.update_news(client.waiting, update, true);
  });
}

}  // namespace outlive::daemon
