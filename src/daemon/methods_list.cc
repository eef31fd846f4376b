// What is there: sessions, files, services, regions, logs.
#include <algorithm>

#include "daemon/device.h"
#include "daemon/methods.h"
#include "kho/reserve_mem.h"

namespace outlive::daemon {

using wire::Json;

namespace {

// Entries of one answer; each is well below 1 KiB but a service's argv, which is bounded by a call.
constexpr size_t kMostEntries = 100;
constexpr size_t kMostBytes = 128 << 10;

// `after` of a list call: the id that the answer before ended with.
Result<uint64_t> after_param(const Json& parameters) {
  const auto text = TRY(wire::param<std::optional<std::string>>(parameters, "after"));
  if (!text) return uint64_t{0};
  return wire::hex_param(parameters, "after");
}

class Page {
 public:
  explicit Page(uint64_t after) : after_(after) {}
  bool empty() const { return list_.empty(); }
  bool full() const { return list_.size() == kMostEntries || bytes_ > kMostBytes; }
  // What follows is for the next one.
  void end() { more_ = true; }
  // False when it stands before the page or doesn't fit any more.
  bool wants(uint64_t id) {
    if (id <= after_) return false;
    more_ = more_ || full();
    return !more_;
  }
  void add(uint64_t id, Json entry) {
    bytes_ += wire::json_text(entry).size();
    last_ = id;
    list_.push_back(std::move(entry));
  }
  Json next() const { return more_ ? Json(wire::hex_text(last_)) : Json(); }
  Json take() { return std::move(list_); }

 private:
  uint64_t after_;
  uint64_t last_ = 0;
  size_t bytes_ = 0;
  bool more_ = false;
  Json list_ = Json::array();
};

}  // namespace

Result<std::optional<Json>> Methods::list_sessions(const luo::Caller& caller,
                                                   const Json& parameters, Waiting&) {
  const uint64_t after = TRY(after_param(parameters));
  Page page(after);
  parts_.core.sessions().for_each([&](luo::Session& session) {
    const abi::SessionSlot& slot = *session.slot;
    if (!parts_.core.sessions().sees(caller, session) || !page.wants(slot.header.id)) return;
    const auto* service = parts_.core.services().at(slot.service);
    const bool incoming = parts_.core.sessions().direction(session) == luo::Direction::kIncoming;
    const bool internal = (slot.flags & abi::kSessionInternal) != 0;
    // Told in today's realtime, whatever it was when the time began.
    const uint64_t real = parts_.clock.realtime_ns();
    const uint64_t since = real - parts_.core.leases().unheld_for_ns(session);
    const uint64_t ends = parts_.core.leases().ends_ns(session);
    const uint64_t left = ends - std::min(ends, parts_.clock.steady_ns());
    page.add(slot.header.id,
             Json{{"id", wire::hex_text(slot.header.id)},
                  {"name", session.name},
                  {"uid", slot.uid},
                  {"service", service != nullptr ? Json(service->name) : Json()},
                  {"generation", internal ? 0 : slot.generation},
                  {"direction", incoming ? "incoming" : "outgoing"},
                  {"claimed", !session.holders.empty()},
                  {"linger", (slot.flags & abi::kSessionLinger) != 0},
                  {"direct", luo::is_direct(session)},
                  {"internal", internal},
                  {"files", session.files.size()},
                  {"created", time_text(slot.created_ns)},
                  {"orphaned", slot.orphaned_ns != 0 ? Json(time_text(since)) : Json()},
                  {"lease_ends", ends != 0 ? Json(time_text(real + left)) : Json()}});
  });
  Json next = page.next();
  return std::optional(Json{{"sessions", page.take()}, {"next", next}});
}

Result<std::optional<Json>> Methods::list_files(const luo::Caller& caller, const Json& parameters,
                                                Waiting&) {
  const uint64_t after = TRY(after_param(parameters));
  Page page(after);
  const auto name = TRY(wire::param<std::optional<std::string>>(parameters, "session"));
  std::vector<luo::Session*> sessions;
  parts_.core.sessions().for_each([&](luo::Session& session) {
    if (parts_.core.sessions().sees(caller, session) && (!name || session.name == *name))
      sessions.push_back(&session);
  });
  if (name && sessions.empty()) return fail(ENOENT, "no session '{}'", *name);
  // Each is looked at: some system calls, as many as the file makes necessary.
  const uint64_t ends = parts_.now() + kPartNs;
  for (const abi::FileSlot* slot :
       parts_.core.files().ordered_after(sessions, after, kMostEntries + 1)) {
    if (page.full() || (!page.empty() && parts_.now() >= ends)) {
      page.end();
      break;
    }
    const luo::Session* session = parts_.core.sessions().at(slot->session);
    const auto facts = parts_.core.context().classify(BorrowedFd(static_cast<int>(slot->fd)));
    const auto survival =
        facts ? parts_.core.files().handler_of(*slot)->survival(*facts) : abi::SurvivalClass::kNone;
    page.add(slot->order, Json{{"session", session->name},
                               {"session_id", wire::hex_text(session->slot->header.id)},
                               {"token", wire::hex_text(slot->token)},
                               {"order", slot->order},
                               {"kind", slot->compatible},
                               {"detail", facts ? facts->detail : facts.error().message},
                               {"survival", name_of(survival)},
                               {"size", slot->size},
                               {"retrieved", (slot->flags & abi::kFileRetrieved) != 0},
                               {"failed", slot->failed}});
  }
  Json next = page.next();
  return std::optional(Json{{"files", page.take()}, {"next", next}});
}

Result<std::optional<Json>> Methods::list_services(const luo::Caller& caller,
                                                   const Json& parameters, Waiting&) {
  const uint64_t after = TRY(after_param(parameters));
  Page page(after);
  std::vector<abi::ServiceSlot*> services;
  parts_.core.services().for_each([&](abi::ServiceSlot& one) { services.push_back(&one); });
  std::sort(services.begin(), services.end(),
            [](const auto* a, const auto* b) { return a->header.id < b->header.id; });
  for (const abi::ServiceSlot* service : services) {
    if (!caller.owns(service->uid) || !page.wants(service->header.id)) continue;
    const uint64_t address = parts_.core.services().address_of(*service);
    uint64_t sessions = 0;
    uint64_t files = 0;
    parts_.core.sessions().for_each([&](luo::Session& session) {
      if (session.slot->service != address) return;
      ++sessions;
      files += session.files.size();
    });
    const ServiceSpec spec = supervisor_.spec_of(*service);
    const abi::UpdateSlot* update = parts_.core.updates().active(*service);
    const uint64_t up = service->current.pid != 0 ? parts_.now() - service->current.start_ns : 0;
    const auto exit = machine::ChildExit::from_packed(0, service->exit_status);
    page.add(service->header.id,
             Json{{"id", wire::hex_text(service->header.id)},
                  {"name", service->name},
                  {"uid", service->uid},
                  {"gid", service->gid},
                  {"state", name_of(static_cast<abi::ServiceState>(service->state))},
                  {"ready", (service->flags & abi::kServiceReady) != 0},
                  {"notify", spec.notify},
                  {"restart", spec.restart},
                  {"generation", service->generation},
                  {"pid", service->current.pid},
                  {"uptime_us", up / 1000},
                  {"updates", service->updates},
                  {"rollbacks", service->rollbacks},
                  {"restarts", service->restarts},
                  {"last_exit", service->exit_status != 0 ? Json(exit.text()) : Json()},
                  {"update", update != nullptr ? Json(wire::hex_text(update->header.id)) : Json()},
                  {"sessions", sessions},
                  {"files", files},
                  {"listen", spec.listen},
                  {"argv", spec.argv},
                  {"can_rollback", service->previous_spec != 0}});
  }
  Json next = page.next();
  return std::optional(Json{{"services", page.take()}, {"next", next}});
}

Result<std::optional<Json>> Methods::list_regions(const luo::Caller&, const Json&, Waiting&) {
  Json list = Json::array();
  const kho::ReserveMem reserved = TRY(kho::ReserveMem::open(parts_.arena));
  for (const kho::ReserveMem::Region& region : reserved.list()) {
    list.push_back(Json{{"name", region.name},
                        {"start", wire::hex_text(region.start.value)},
                        {"size", region.size}});
  }
  return std::optional(Json{{"regions", std::move(list)}});
}

Result<std::optional<Json>> Methods::log(const luo::Caller& caller, const Json& parameters,
                                         Waiting&) {
  const auto name = TRY(wire::param<std::optional<std::string>>(parameters, "service"));
  const bool previous = TRY(wire::param<bool>(parameters, "previous"));
  const auto lines = TRY(wire::param<uint64_t>(parameters, "lines"));
  const auto after = TRY(wire::param<std::optional<uint64_t>>(parameters, "after"));
  if (name) {
    const abi::ServiceSlot* service = TRY(service_named(caller, *name));
    const auto read = TRY(supervisor_.logs().read(service->name, service->uid, lines,
                                                  after ? static_cast<int64_t>(*after) : -1));
    return std::optional(Json{{"text", read.text}, {"position", read.position}});
  }
  if (caller.uid != 0 && caller.uid != geteuid()) {
    return fail(EPERM, "outlived's log is for root and its own user");
  }
  const std::string all = parts_.read_log(previous);
  std::string_view text = all;
  if (after) {
    // Positions count bytes ever written; the recorder keeps the last ones.
    const uint64_t written = parts_.log_written();
    const uint64_t fresh = written > *after ? written - *after : 0;
    text.remove_prefix(text.size() - std::min<uint64_t>(fresh, text.size()));
  } else {
    size_t start = text.size();
    for (uint64_t seen = 0; start > 0; --start) {
      if (text[start - 1] == '\n' && start != text.size() && ++seen == lines) break;
    }
    text.remove_prefix(start);
  }
  constexpr size_t kMost = 96 << 10;
  if (text.size() > kMost) text.remove_prefix(text.size() - kMost);
  return std::optional(
      Json{{"text", std::string(text)}, {"position", previous ? 0 : parts_.log_written()}});
}

}  // namespace outlive::daemon
