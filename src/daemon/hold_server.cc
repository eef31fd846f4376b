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
#include "daemon/fleet_report.h"
#include "daemon/hold_status.h"
#include "daemon/metrics.h"
#include "daemon/metrics_server.h"
#include "daemon/new_binary.h"
#include "daemon/rebooter.h"
#include "daemon/self_update_call.h"
#include "daemon/watchdog.h"
#include "machine/process/closer.h"
#include "machine/process/takeover.h"
#include "wire/message.h"
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
std::optional<std::string> news_of(const HoldInput& input, const BinaryAsker& asker,
                                   const wire::RequestId& request) {
  if (const Error* failed = asker.failure_of(request)) return refused_text(*failed);
  const machine::Takeover takeover(input.control);
  const auto outcome = takeover.outcome_of(request.words);
  if (!outcome) return std::nullopt;
  const Result<Json> result = self_update_result(*outcome, takeover);
  return result ? wire::reply_text(*result) : refused_text(result.error());
}

// nullopt: the client waits.
std::optional<std::string> update_outlived(const HoldInput& input, BinaryAsker& asker,
                                           Client& client, const Json& parameters) {
  const Result<ucred> peer = sys::peer_credentials(client.fd);
  if (!peer) return wire::error_text(peer.error());
  const Result<SelfUpdateCall> call = self_update_call(peer->uid, parameters);
  if (!call) return wire::error_text(call.error());
  const NewBinary wanted{call->request, call->binary, call->force, input.config.takeover_tries};
  client.waits = wanted.request;
  if (machine::Takeover(input.control).outcome_of(wanted.request.words)) {
    return news_of(input, asker, wanted.request);
  }
  const machine::Takeover takeover(input.control);
  if (asker.looks_for(wanted.request) || takeover.is_current(wanted.request.words)) {
    return std::nullopt;
  }
  const Status asked = asker.ask(wanted);
  if (!asked) return refused_text(asked.error());
  return std::nullopt;
}

Json status_of(const HoldInput& input) {
  return hold_status(input.control, input.runtime.path, input.reason, input.refused);
}

// nullopt: later; empty: it is no call.
std::optional<std::string> answer(const HoldInput& input, BinaryAsker& asker, Client& client,
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
  if (call->method == prefix + "Metrics") {
    return wire::reply_text(Json{{"text", control_metrics(input.control, true)}});
  }
  if (call->method == prefix + "UpdateOutlived" && !input.refused) {
    return update_outlived(input, asker, client, call->parameters);
  }
  if (call->method != prefix + "Status") {
    return wire::error_text(input.refused
                                ? fail(ESTALE, "inherited state refused: {}", input.reason)
                                : fail(ESTALE, "everything is held: {}", input.reason));
  }
  return wire::reply_text(status_of(input));
}

// False: it is gone.
bool serve(const HoldInput& input, BinaryAsker& asker, Client& client, machine::Closer& closer) {
  char buffer[16384];
  wire::Unwanted fds;
  const Result<size_t> got =
      wire::take_bytes(client.fd, std::as_writable_bytes(std::span(buffer)), fds);
  for (UniqueFd& fd : fds) closer.close(BorrowedFd(fd.release()));
  if (!got) return got.error().code == EAGAIN;
  if (*got == 0) return false;
  client.framer.append(std::string_view(buffer, *got));
  for (;;) {
    const Result<std::optional<std::string>> message = client.framer.next();
    if (!message) return false;
    if (!*message) return true;
    const std::optional<std::string> text = answer(input, asker, client, **message);
    if (!text) continue;
    client.waits.reset();
    if (text->empty() || !send(client, *text)) return false;
  }
}

// Clients in order of use, the one that has been idle for the longest first.
class Clients {
 public:
  Clients(machine::Closer& closer, BinaryAsker& asker) : closer_(closer), asker_(asker) {}
  void accept(BorrowedFd listener) {
    Result<UniqueFd> accepted = sys::accept(listener, SOCK_NONBLOCK);
    if (!accepted) return;
    if (list_.size() == kMostClients) drop(list_.begin());
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
      if (!serve(input, asker_, *found, closer_)) drop(found);
    }
  }
  void tell_news(const HoldInput& input) {
    for (auto next = list_.begin(); next != list_.end();) {
      const auto client = next++;
      const auto news = client->waits ? news_of(input, asker_, *client->waits) : std::nullopt;
      if (!news) continue;
      client->waits.reset();
      if (!send(*client, *news)) drop(client);
    }
  }
  // Their descriptors cross the exec, for the next worker to close: what waits in their queues may
  // block, and there is no time for that.
  void hang_up() {
    for (Client& client : list_) {
      ::shutdown(client.fd.get(), SHUT_RDWR);
      static_cast<void>(sys::set_cloexec(client.fd, false));
      static_cast<void>(client.fd.release());
    }
    list_.clear();
  }
  void add_waits(std::vector<pollfd>* waits) const {
    for (const Client& client : list_) waits->push_back({client.fd.get(), POLLIN, 0});
  }

 private:
  // What waits in its queue is closed with it, and that may block.
  void drop(std::list<Client>::iterator client) {
    closer_.close(BorrowedFd(client->fd.release()));
    list_.erase(client);
  }

  machine::Closer& closer_;
  BinaryAsker& asker_;
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
  machine::LaunchQueue launches(input.control);
  FleetReport report(input.control);
  if (input.refused)
    report.send(launches, input.config, status_of(input), FleetReport::Policy::kWaits);
  Rebooter rebooter(input.control, launches, "on-incoming-failure",
                    input.reboots ? input.config.reboot_command : std::vector<std::string>(),
                    input.config.reboot_timeout_ns);
  Watchdog watchdog;
  machine::Takeover takeover(input.control);
  // The metrics' listener of the workers before, if there is one.
  Result<Loop> loop = Loop::create();
  std::optional<MetricsServer> metrics;
  if (loop) {
    metrics.emplace(*loop, input.control,
                    [&input] { return control_metrics(input.control, true); });
    metrics->resume();
  }
  machine::Closer closer(input.control);
  machine::Opener opener(input.control, launches, closer, input.config.lookup_timeout_ns);
  BinaryAsker asker(input.control, opener, input.arena);
  Clients clients(closer, asker);
  while (input.control.stop_requested() == 0) {
    input.control.beat(system_clock().now_ns());
    watchdog.turn(system_clock().now_ns());
    opener.tick(system_clock().now_ns());
    launches.pump();
    const bool reports = report.is_due(system_clock().now_ns());
    if (!reports) rebooter.turn(system_clock().now_ns());
    if (takeover.wants_stop()) {
      // Who waits asks again, with the same request_id, and finds the next worker.
      clients.hang_up();
      if (takeover.stopped(system_clock().now_ns())) ::_exit(machine::kHandoverCode);
    }
    takeover.close_leftovers(system_clock().now_ns());
    clients.tell_news(input);
    std::vector<pollfd> polled = {{input.control_listener.get(), POLLIN, 0},
                                  {input.control.worker_wake().get(), POLLIN, 0},
                                  {loop ? loop->fd().get() : -1, POLLIN, 0}};
    clients.add_waits(&polled);
    closer.tick(system_clock().now_ns());
    const auto closing_ms = static_cast<int>(closer.wait_ns() / 1'000'000) + 1;
    int most_ms = closer.pending() != 0 ? closing_ms : 500;
    // What is being opened wakes us by its end; a look now and then is for its time-out, and for
    // the report's.
    if (opener.next_deadline() != 0 || reports) most_ms = std::min(most_ms, 20);
    const int news = ::poll(polled.data(), polled.size(), most_ms);
    if (metrics) metrics->tick(system_clock().now_ns());
    if (news <= 0) continue;
    input.control.drain_worker_wake();
    if (polled[2].revents != 0) static_cast<void>(loop->turn(0));
    clients.serve_all(input, std::span(polled).subspan(3));
    if (polled[0].revents != 0) clients.accept(input.control_listener);
  }
  return 0;
}

}  // namespace outlive::daemon
