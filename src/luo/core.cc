#include "luo/core.h"

#include <string.h>

#include <algorithm>

#include "base/log.h"
#include "luo/format.h"

namespace outlive::luo {

namespace {
// Of a change's room, what files may take; the rest is for the reply, holders and global state.
constexpr size_t kFilesAChange = 800;
}  // namespace

Core::Core(kho::Arena& arena, Context context, UpdateHost& host)
    : context_(std::move(context)),
      fdt_(arena),
      sessions_(context_),
      flbs_(context_),
      files_(context_, sessions_, flbs_),
      services_(context_),
      updates_(context_, sessions_, files_, services_, host),
      subtrees_(context_),
      leases_(context_, sessions_, updates_),
      arena_quota_(context_, sessions_, files_, subtrees_, services_) {
  context_.arena_quota = &arena_quota_;
}

Result<std::unique_ptr<Core>> Core::create(kho::Arena& arena, Context context, UpdateHost& host) {
  std::unique_ptr<Core> core(new Core(arena, std::move(context), host));
  core->records_ = TRY(Records::create(arena, core->fdt_));
  core->context_.records = core->records_.get();
  TRY(transition(core->state_, Event::kStartEmpty, "host"));
  return core;
}

Result<std::unique_ptr<Core>> Core::attach(kho::Arena& arena, Context context, UpdateHost& host,
                                           Report* report) {
  std::unique_ptr<Core> core(new Core(arena, std::move(context), host));
  core->records_ =
      TRY(Records::attach(arena, core->fdt_, report != nullptr ? &report->records : nullptr));
  core->context_.records = core->records_.get();
  uint64_t swept = 0;
  TRY(core->load(report != nullptr ? &report->swept : &swept));
  // From here on it follows from the updates: `updated` as long as one of the host is not finished.
  State found = State::kUndefined;
  const bool inherits = core->updates_.host_state() == State::kUpdated;
  TRY(transition(found, inherits ? Event::kStartIncoming : Event::kStartEmpty, "host"));
  core->state_ = State::kNormal;
  return core;
}

Status Core::load(uint64_t* swept) {
  const uint64_t free_before = records_->arena().free_pages();
  TRY(services_.load());
  TRY(sessions_.load());
  TRY(flbs_.load());
  TRY(files_.load());
  TRY(subtrees_.load());
  TRY(updates_.load());
  *swept = records_->arena().free_pages() - free_before;
  drop_kernel_format(context_);
  finish_ending();
  return {};
}

void Core::finish_ending() {
  std::vector<Session*> ending;
  sessions_.for_each([&](Session& session) {
    if (session.slot->flags & abi::kSessionEnding) ending.push_back(&session);
  });
  records_->for_each<abi::ConnectionSlot>([&](abi::ConnectionSlot& slot) {
    // Whoever holds one that ends here must not come to hold the next one in its slot.
    Session* session = slot.session != 0 ? sessions_.at(slot.session) : nullptr;
    if (session == nullptr || (session->slot->flags & abi::kSessionEnding) == 0) return;
    sessions_.hold(*session, {records_->address_of(&slot), slot.generation});
  });
  for (Session* session : ending) {
    const Status ended = end_session(*session, false);
    if (!ended) log_warning("session '{}': {}", session->name, ended.error().message);
  }
}

Status Core::end_session(Session& session, bool finish, const Also& also) {
  if (finish) TRY(files_.can_finish(session));
  bool first = true;
  for (;;) {
    std::vector<abi::FileSlot*> files = session.files.ordered();
    const bool last = files.size() <= kFilesAChange;
    if (!last) files.erase(files.begin(), files.end() - kFilesAChange);
    Change change(*records_);
    if (first && also) also(change);
    if (first && !last) change.set(session.slot->flags, session.slot->flags | abi::kSessionEnding);
    first = false;
    Files::Removing removing = files_.remove(change, session, std::move(files), finish);
    if (last) {
      for (const Holder& holder : session.holders) {
        auto* connection = records_->find<abi::ConnectionSlot>(holder.connection);
        if (connection != nullptr) change.set(connection->session, 0);
      }
      change.remove(*session.slot);
      sessions_.forget(session);
    }
    change.commit();
    removing.committed();
    if (last) return {};
  }
}

Status Core::finish_files(Session& session, const Also& also) {
  TRY(files_.can_finish(session));
  bool first = true;
  while (first || session.files.size() != 0) {
    std::vector<abi::FileSlot*> files = session.files.ordered();
    if (files.size() > kFilesAChange) files.erase(files.begin(), files.end() - kFilesAChange);
    Change change(*records_);
    if (first && also) also(change);
    first = false;
    Files::Removing removing = files_.remove(change, session, std::move(files), true);
    change.commit();
    removing.committed();
  }
  return {};
}

Status Core::adopt(Session& session, const abi::ServiceSlot& service, const Also& also) {
  return adopt_as(session, service.generation, also);
}

Status Core::adopt_plain(Session& session, const Also& also) {
  return adopt_as(session, 0, also);
}

Status Core::adopt_as(Session& session, uint64_t generation, const Also& also) {
  bool taken = false;
  sessions_.for_each([&](Session& other) {
    taken =
        taken || (&other != &session && other.uid == session.uid && other.name == session.name &&
                  sessions_.direction(other) == Direction::kOutgoing);
  });
  if (taken) return fail(EEXIST, "session '{}': an outgoing one has this name", session.name);
  Change change(*records_);
  if (also) also(change);
  change.set(session.slot->generation, generation);
  change.commit();
  return {};
}

Status Core::adopt_all(abi::ServiceSlot& service, const Also& also) {
  const uint64_t address = services_.address_of(service);
  std::vector<std::string> outgoing;
  std::vector<std::string> incoming;
  sessions_.for_each([&](Session& session) {
    if (session.slot->service != address) return;
    const bool in = sessions_.direction(session) == Direction::kIncoming;
    (in ? incoming : outgoing).push_back(session.name);
  });
  for (const std::string& name : incoming) {
    if (std::find(outgoing.begin(), outgoing.end(), name) != outgoing.end()) {
      return fail(EEXIST, "session '{}': an outgoing one has this name", name);
    }
  }
  Change change(*records_);
  if (also) also(change);
  services_.adopt_all(change, service);
  change.commit();
  return {};
}

void Core::give_up(Session& session, const Also& also) {
  auto* service = services_.at(session.slot->service);
  log_notice(
      "lease end: session '{}' of uid {}{}{}{}: nobody claimed it for {} s, {} files are given up",
      session.name, session.uid, service != nullptr ? ", service '" : "",
      service != nullptr ? service->name : "", service != nullptr ? "'" : "",
      leases_.unheld_for_ns(session) / 1'000'000'000, session.files.size());
  const Status ended = end_session(session, false, also);
  if (!ended) log_warning("session: {}", ended.error().message);
  if (service != nullptr) updates_.sessions_changed(*service);
}

// As many changes as it takes: a client decides how many connections it has.
void Core::forget_service_connections(uint64_t service) {
  std::vector<abi::ConnectionSlot*> speaking;
  records_->for_each<abi::ConnectionSlot>([&](abi::ConnectionSlot& slot) {
    if (slot.service == service) speaking.push_back(&slot);
  });
  while (!speaking.empty()) {
    Change change(*records_);
    for (; !speaking.empty() && change.room() > 0; speaking.pop_back()) {
      change.set(speaking.back()->service, 0);
    }
    change.commit();
  }
}

void Core::remove_service(abi::ServiceSlot& service, const Also& also) {
  updates_.service_removed(service);
  const uint64_t address = services_.address_of(service);
  std::vector<Session*> sessions;
  sessions_.for_each([&](Session& session) {
    if (session.slot->service == address) sessions.push_back(&session);
  });
  for (Session* session : sessions) {
    const Status ended = end_session(*session, false);
    if (!ended) log_warning("session '{}': {}", session->name, ended.error().message);
  }
  forget_service_connections(address);
  std::vector<uint64_t> blobs = {service.spec, service.previous_spec};
  std::vector<uint64_t> pages;
  Change change(*records_);
  if (also) also(change);
  records_->for_each<abi::UpdateSlot>([&](abi::UpdateSlot& update) {
    if (update.service != address) return;
    blobs.push_back(update.spec);
    pages.push_back(update.timeline);
    change.remove(update);
  });
  const int64_t fds[] = {service.previous_binary_fd, service.current.binary_fd,
                         service.current.notify_fd};
  change.remove(service);
  change.commit();
  for (const uint64_t blob : blobs) services_.free_blob(blob);
  for (const uint64_t page : pages) {
    if (page != 0) records_->arena().restore_free(kho::Phys{page});
  }
  for (const int64_t fd : fds) {
    if (fd >= 0) context_.release(BorrowedFd(static_cast<int>(fd)));
  }
}

std::vector<BorrowedFd> Core::named_fds() {
  std::vector<BorrowedFd> named;
  const auto add = [&](int64_t number) {
    if (number >= 0 && number <= INT32_MAX) named.emplace_back(static_cast<int>(number));
  };
  records_->for_each<abi::FileSlot>([&](abi::FileSlot& slot) { add(slot.fd); });
  records_->for_each<abi::ConnectionSlot>([&](abi::ConnectionSlot& slot) {
    add(slot.fd);
    add(slot.reply_fd);
  });
  records_->for_each<abi::ServiceSlot>([&](abi::ServiceSlot& slot) {
    add(slot.current.binary_fd);
    add(slot.current.notify_fd);
    add(slot.previous_binary_fd);
  });
  records_->for_each<abi::UpdateSlot>([&](abi::UpdateSlot& slot) {
    add(slot.successor.binary_fd);
    add(slot.successor.notify_fd);
    add(slot.old.binary_fd);
    add(slot.old.notify_fd);
  });
  return named;
}

}  // namespace outlive::luo
