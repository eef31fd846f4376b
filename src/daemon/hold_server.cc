#include "daemon/hold_server.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <list>
#include <vector>

#include "abi/orchestrator_varlink.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "daemon/new_binary.h"
#include "daemon/rebooter.h"
#include "daemon/self_update_call.h"
#include "machine/process/takeover.h"
#include "wire/varlink.h"

namespace outlive::daemon {

using wire::Json;

namespace {

constexpr size_t kMostClients = 64;

struct Client {
  UniqueFd fd;
  wire::VarlinkFramer framer;
  std::optional<wire::RequestId> waits = {};  // for the end of this update of outlived
};

bool send(const Client& client, const std::string& text) {
  const Result<size_t> sent = sys::send(client.fd, std::as_bytes(std::span(text)), MSG_DONTWAIT);
  return sent && *sent == text.size();
}

// What became of an update of outlived; nullopt: it is going on.
std::optional<std::string> news_of(const HoldInput& input, const wire::RequestId& request) {
  const machine::Takeover takeover(input.control);
  const auto outcome = takeover.outcome_of(request.words);
  if (!outcome) return std::nullopt;
  const Result<Json> result = self_update_result(*outcome, takeover);
  return result ? wire::reply_text(*result) : refused_text(result.error());
}

// nullopt: the client waits.
std::optional<std::string> update_outlived(const HoldInput& input, Client& client,
                                           const Json& parameters) {
  const Result<ucred> peer = sys::peer_credentials(client.fd);
  if (!peer) return wire::error_text(peer.error());
  const Result<SelfUpdateCall> call = self_update_call(peer->uid, parameters);
  if (!call) return wire::error_text(call.error());
  const NewBinary wanted{call->request, call->binary, call->force, input.takeover_tries};
  client.waits = wanted.request;
  if (auto news = news_of(input, wanted.request)) return news;
  if (machine::Takeover(input.control).is_current(wanted.request.words)) return std::nullopt;
  const Status asked = ask_for_binary(input.control, input.arena, wanted, system_clock().now_ns());
  if (!asked) return refused_text(asked.error());
  return std::nullopt;
}

// nullopt: later; empty: it is no call.
std::optional<std::string> answer(const HoldInput& input, Client& client,
                                  const std::string& message) {
  static const wire::VarlinkService kAbout{"outlive",
                                           "outlived",
                                           OUTLIVE_VERSION,
                                           "",
                                           abi::kOrchestratorInterface,
                                           abi::kOrchestratorVarlink};
  const Result<wire::VarlinkCall> call = wire::parse_call(message);
  if (!call) return "";
  if (auto text = wire::introspect(kAbout, *call)) return *text;
  const std::string prefix = std::string(abi::kOrchestratorInterface) + ".";
  if (call->method == prefix + "UpdateOutlived" && !input.refused) {
    return update_outlived(input, client, call->parameters);
  }
  if (call->method != prefix + "Status") {
    return wire::error_text(input.refused
                                ? fail(ESTALE, "inherited state refused: {}", input.reason)
                                : fail(ESTALE, "everything is held: {}", input.reason));
  }
  const machine::Control& control = input.control;
  return wire::reply_text(Json{{"state", "undefined"},
                               {"in_progress", false},
                               {"live_update_number", 0},
                               {"refused", input.refused ? Json(input.reason) : Json()},
                               {"held", input.refused ? Json() : Json(input.reason)},
                               {"runtime_dir", input.runtime.path},
                               {"version", OUTLIVE_VERSION},
                               {"pid_keeper", control.keeper_pid()},
                               {"pid_worker", control.worker_pid()},
                               {"pid_spare", control.spare_pid()},
                               {"worker_deaths", control.block().worker_deaths},
                               {"self_updates", control.block().takeover.updates},
                               {"self_rollbacks", control.block().takeover.rollbacks},
                               {"self_update_failed", nullptr},
                               {"uptime_us", 0},
                               {"sessions", 0},
                               {"files", 0},
                               {"services", 0},
                               {"arena_used", 0},
                               {"arena_size", 0},
                               {"kho_enabled", true},
                               {"liveupdate_enabled", true},
                               {"fd_store", nullptr},
                               {"log", nullptr}});
}

// False: it is gone.
bool serve(const HoldInput& input, Client& client) {
  char buffer[16384];
  const Result<size_t> got =
      sys::recv(client.fd, std::as_writable_bytes(std::span(buffer)), MSG_DONTWAIT);
  if (!got) return got.error().code == EAGAIN;
  if (*got == 0) return false;
  client.framer.append(std::string_view(buffer, *got));
  for (;;) {
    const Result<std::optional<std::string>> message = client.framer.next();
    if (!message) return false;
    if (!*message) return true;
    const std::optional<std::string> text = answer(input, client, **message);
    if (!text) continue;
    client.waits.reset();
    if (text->empty() || !send(client, *text)) return false;
  }
}

// Clients in order of use, the one that has been idle for the longest first.
class Clients {
 public:
  void accept(BorrowedFd listener) {
    Result<UniqueFd> accepted = sys::accept(listener, SOCK_NONBLOCK);
    if (!accepted) return;
    if (list_.size() == kMostClients) list_.pop_front();
    list_.push_back({std::move(*accepted), {}});
  }
  void serve_all(const HoldInput& input, std::span<const pollfd> polled) {
    for (const pollfd& one : polled) {
      if (one.revents == 0) continue;
      const auto found = std::find_if(list_.begin(), list_.end(), [&](const Client& client) {
        return client.fd.get() == one.fd;
      });
      if (found == list_.end()) continue;
      list_.splice(list_.end(), list_, found);
      if (!serve(input, *found)) list_.erase(found);
    }
  }
  void tell_news(const HoldInput& input) {
    list_.remove_if([&](Client& client) {
      const auto news = client.waits ? news_of(input, *client.waits) : std::nullopt;
      if (!news) return false;
      client.waits.reset();
      return !send(client, *news);
    });
  }
  void close_all() { list_.clear(); }
  void add_waits(std::vector<pollfd>* waits) const {
    for (const Client& client : list_) waits->push_back({client.fd.get(), POLLIN, 0});
  }

 private:
  std::list<Client> list_;
};

}  // namespace

int hold(const HoldInput& input) {
  log_error("holding: {}", input.reason);
  if (input.refused) {
    const Status gone = sys::unlink(input.runtime.liveupdate_socket());
    static_cast<void>(gone);  // ENOENT: it never was there
  }
  input.control.set_worker_state(abi::WorkerState::kHolding);
  Rebooter rebooter(input.control, input.reboot_command, input.reboot_timeout_ns);
  machine::Takeover takeover(input.control);
  Clients clients;
  while (input.control.stop_requested() == 0) {
    input.control.beat(system_clock().now_ns());
    rebooter.turn(system_clock().now_ns());
    if (takeover.wants_stop()) {
      // Who waits asks again, with the same request_id, and finds the next worker.
      clients.close_all();
      if (takeover.stopped(system_clock().now_ns())) ::_exit(machine::kHandoverCode);
    }
    takeover.close_leftovers(system_clock().now_ns());
    clients.tell_news(input);
    std::vector<pollfd> polled = {{input.control_listener.get(), POLLIN, 0},
                                  {input.control.worker_wake().get(), POLLIN, 0}};
    clients.add_waits(&polled);
    if (::poll(polled.data(), polled.size(), 500) <= 0) continue;
    input.control.drain_worker_wake();
    clients.serve_all(input, std::span(polled).subspan(2));
    if (polled[0].revents != 0) clients.accept(input.control_listener);
  }
  return 0;
}

}  // namespace outlive::daemon
