#include "daemon/hold_server.h"

#include <poll.h>

#include <map>
#include <vector>

#include "abi/orchestrator_varlink.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "wire/varlink.h"

namespace outlive::daemon {

using wire::Json;

namespace {

struct Client {
  UniqueFd fd;
  wire::VarlinkFramer framer;
};

std::string answer(const HoldInput& input, const std::string& message) {
  static const wire::VarlinkService kAbout{"outlive",
                                           "outlived",
                                           OUTLIVE_VERSION,
                                           "",
                                           abi::kOrchestratorInterface,
                                           abi::kOrchestratorVarlink};
  const Result<wire::VarlinkCall> call = wire::parse_call(message);
  if (!call) return {};
  if (auto text = wire::introspect(kAbout, *call)) return *text;
  if (call->method != std::string(abi::kOrchestratorInterface) + ".Status") {
    return wire::error_text(fail(ESTALE, "inherited state refused: {}", input.reason));
  }
  const machine::Control& control = input.control;
  return wire::reply_text(Json{{"state", "undefined"},
                               {"in_progress", false},
                               {"live_update_number", 0},
                               {"refused", input.reason},
                               {"runtime_dir", input.runtime.path},
                               {"version", OUTLIVE_VERSION},
                               {"pid_keeper", control.keeper_pid()},
                               {"pid_worker", control.worker_pid()},
                               {"pid_spare", control.spare_pid()},
                               {"worker_deaths", control.block().worker_deaths},
                               {"uptime_us", 0},
                               {"sessions", 0},
                               {"files", 0},
                               {"services", 0},
                               {"arena_used", 0},
                               {"arena_size", 0},
                               {"kho_enabled", true},
                               {"liveupdate_enabled", true},
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
    const std::string text = answer(input, **message);
    if (text.empty()) return false;
    const Result<size_t> sent = sys::send(client.fd, std::as_bytes(std::span(text)), MSG_DONTWAIT);
    if (!sent || *sent != text.size()) return false;
  }
}

}  // namespace

int hold(const HoldInput& input) {
  log_error("holding: {}", input.reason);
  const Status gone = sys::unlink(input.runtime.liveupdate_socket());
  static_cast<void>(gone);  // ENOENT: it never was there
  input.control.set_worker_state(abi::WorkerState::kHolding);
  std::map<int, Client> clients;
  while (input.control.stop_requested() == 0) {
    input.control.beat(system_clock().now_ns());
    std::vector<pollfd> polled = {{input.control_listener.get(), POLLIN, 0},
                                  {input.control.worker_wake().get(), POLLIN, 0}};
    for (const auto& [number, client] : clients) polled.push_back({number, POLLIN, 0});
    if (::poll(polled.data(), polled.size(), 500) <= 0) continue;
    input.control.drain_worker_wake();
    if (polled[0].revents != 0 && clients.size() < 64) {
      Result<UniqueFd> accepted = sys::accept(input.control_listener, SOCK_NONBLOCK);
      if (accepted) {
        const int number = accepted->get();
        clients[number].fd = std::move(*accepted);
      }
    }
    for (size_t i = 2; i < polled.size(); ++i) {
      if (polled[i].revents == 0) continue;
      const auto found = clients.find(polled[i].fd);
      if (!serve(input, found->second)) clients.erase(found);
    }
  }
  return 0;
}

}  // namespace outlive::daemon
