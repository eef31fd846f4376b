#include "updates.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <cerrno>
#include <cstdio>

#include "commands.h"

namespace kv {
namespace {

using outlive::Error;
using outlive::Memory;
using outlive::Status;
using outlive::Token;

constexpr char kSession[] = "kv";
constexpr Token kListener = 1;
constexpr Token kMemory = 2;
constexpr Token kRepairedMemory = 3;
constexpr Token kFirstConnection = 0x100;
constexpr uint64_t kFirstSize = uint64_t{16} << 20;
constexpr uint64_t kRoom = uint64_t{4} << 20;  // for what is written while an update goes on

bool complain(const char* what, const Status& status) {
  if (!status) fprintf(stderr, "kv: %s: %s\n", what, status.error().text().c_str());
  return static_cast<bool>(status);
}

uint64_t random_seed() {
  uint64_t seed = 0;
  (void)!getrandom(&seed, sizeof seed, 0);
  return seed;
}

std::vector<Token> tokens_of(const std::vector<uint32_t>& slots) {
  std::vector<Token> tokens;
  tokens.reserve(slots.size());
  for (const uint32_t slot : slots) tokens.push_back(kFirstConnection + slot);
  return tokens;
}

uint32_t slot_of(Token token) {
  return static_cast<uint32_t>(token - kFirstConnection);
}

}  // namespace

// ---- start --------------------------------------------------------------------------------------

bool Updates::start() {
  if (options_.standalone) return complain("start", start_standalone());
  auto client = outlive::Client::connect();
  if (!client) return complain("outlived", client.error());
  client_ = std::move(*client);
  const auto role = client_->participate(*this);
  if (!role) return complain("participate", role.error());
  Status started;
  switch (*role) {
    case outlive::Role::kSuccessor:
      started = start_successor();
      break;
    case outlive::Role::kRestarted:
      started = start_restarted();
      break;
    default:  // fresh; or started by hand: sessions work then, updates don't
      started = start_fresh();
  }
  if (!complain("start", started) || !server_->watch(client_->fd())) return false;
  if (options_.broken == Broken::kNeverReady) return true;
  return complain("ready", client_->ready());
}

Status Updates::start_standalone() {
  outlive_memory* memory = nullptr;
  const int fd = memfd_create("kv", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  const int made = outlive_memory_from_fd(fd, "kv", kFirstSize, options_.memory_limit, 1, &memory);
  if (made < 0) return Error::last(made);
  memory_ = Memory(memory);
  if (const Status stored = make_store(memory_); !stored) return stored;
  return listen();
}

Status Updates::start_fresh() {
  auto session = client_->create_session(kSession);
  if (!session) return session.error();
  session_ = std::move(*session);
  memory_token_ = kMemory;
  auto memory = Memory::create(session_, kMemory, "kv", kFirstSize, options_.memory_limit);
  if (!memory) return memory.error();
  memory_ = std::move(*memory);
  if (const Status stored = make_store(memory_); !stored) return stored;
  if (const Status listening = listen(); !listening) return listening;
  return session_.preserve(kListener, server_->listener());
}

Status Updates::make_store(const Memory& memory) {
  *store_ = Store(Heap(memory.handle()));
  if (!store_->create(random_seed(), 0)) return Error(ENOMEM, outlive_error());
  store_->set_root();
  return {};
}

Status Updates::listen() {
  if (!server_->listen(options_.address, options_.port)) return Error(errno, "no listener");
  serve();
  write_port_file();
  announce();
  return {};
}

// The slow part, while the old one serves.
Status Updates::start_successor() {
  auto preview = outlive::Preview::open(*client_, kSession);
  if (!preview) return preview.error();
  preview_ = std::move(*preview);
  return take_previewed();
}

// adopt() and committed() have run: session, memory and listener are ours.
Status Updates::start_restarted() {
  if (const Status dropped = drop_what_is_stale(); !dropped) return dropped;
  if (!memory_.consistent()) {
    if (const Status repaired = repair(); !repaired) return repaired;
  }
  store_->forget_connections();
  if (listener_lost_) {
    if (const Status listening = listen_anew(); !listening) return listening;
  }
  serve();
  write_port_file();
  announce();
  return {};
}

// No socket crosses a kexec. Whoever could make them again, with their connections, would do it
// here.
Status Updates::listen_anew() {
  if (!server_->listen(options_.address, options_.port)) return Error(errno, "no listener");
  return session_.preserve(kListener, server_->listener());
}

// The connections of the one before, what it left of a repair, and the record of a lost listener.
Status Updates::drop_what_is_stale() {
  const auto tokens = session_.tokens();
  if (!tokens) return tokens.error();
  if (const Status adopted = client_->adopt_all(); !adopted) return adopted;
  std::vector<Token> stale;
  for (const Token token : *tokens) {
    const bool kept = token == memory_token_ || (token == kListener && !listener_lost_);
    if (!kept) stale.push_back(token);
  }
  fprintf(stderr, "kv: restarted: %zu files of the one before dropped, memory %s\n", stale.size(),
          memory_.consistent() ? "consistent" : "inside a change: repairing it");
  return stale.empty() ? Status() : session_.unpreserve(stale);
}

// Whoever wrote it was killed inside a change: what the table reaches is whole, but its count and
// the allocator's lists may not be. So all that is reached goes into a fresh memory.
Status Updates::repair() {
  const Token token = memory_token_ == kMemory ? kRepairedMemory : kMemory;
  auto fresh = Memory::create(session_, token, "kv", kFirstSize, options_.memory_limit);
  if (!fresh) return fresh.error();
  const State& old = store_->state();
  Store copy{Heap(fresh->handle())};
  if (!copy.create(random_seed(), old.copy + 1) ||
      !copy.table().copy_from(store_->heap(), old.table)) {
    (void)session_.unpreserve(token);
    return Error(EUCLEAN, "the memory can't be repaired; it is left as it is");
  }
  copy.state().generation = old.generation;
  copy.set_root();  // from here on the next one would take this one
  *store_ = copy;
  memory_ = std::move(*fresh);
  return session_.unpreserve(std::exchange(memory_token_, token));
}

void Updates::serve() {
  ++store_->state().generation;
  server_->start();
  serving_ = true;
}

// Whole or not at all, for those who wait for it. A successor has the same port, and no time.
void Updates::write_port_file() {
  const std::string draft = options_.port_file + ".new";
  FILE* file = options_.port_file.empty() ? nullptr : fopen(draft.c_str(), "we");
  if (file == nullptr) return;
  fprintf(file, "%u\n", unsigned{server_->port()});
  fclose(file);
  rename(draft.c_str(), options_.port_file.c_str());
}

void Updates::announce() {
  printf("kv v%d serves on %s:%u\n", KV_VERSION, options_.address.c_str(), server_->port());
  fflush(stdout);
}

// ---- the old one --------------------------------------------------------------------------------

// A veto, when the status is an error: the update is cancelled with its text.
int Updates::answer(const Status& status) {
  if (status) return 0;
  complain("veto", status);
  return client_->set_reason(status.error().text(), status.code());
}

Status Updates::preserve_new_connections() {
  const std::vector<uint32_t> slots = server_->not_preserved();
  if (slots.empty()) return {};
  const std::vector<Token> tokens = tokens_of(slots);
  std::vector<int> fds;
  fds.reserve(slots.size());
  for (const uint32_t slot : slots) fds.push_back(server_->connection(slot));
  size_t done = 0;
  const int result =
      outlive_preserve_many(session_.handle(), tokens.data(), fds.data(), fds.size(), &done);
  if (result >= 0) done = slots.size();
  for (size_t i = 0; i < done; ++i) store_->slot(slots[i]).preserved = 1;
  return result < 0 ? Status(Error::last(result)) : Status();
}

int Updates::prepare(const Event&) {
  return answer(preserve_new_connections());
}

int Updates::freeze(const Event&) {
  const Status preserved = preserve_new_connections();
  if (!preserved) return answer(preserved);
  store_->state().frozen_outputs = server_->outputs_waiting();
  serving_ = false;  // from here on no socket and no byte of memory is touched
  return 0;
}

void Updates::cancel(const Event& event) {
  fprintf(stderr, "kv: update cancelled: %s\n", event.reason);
  serving_ = true;
}

void Updates::retire(const Event&) {
  serving_ = false;
  retired_ = true;
}

// ---- the new one --------------------------------------------------------------------------------

int Updates::preview(const Event&) {
  const Status refreshed = preview_.refresh();
  return answer(refreshed ? take_previewed() : refreshed);
}

// Inside the blackout for a successor: claim, look, be quick, change nothing.
int Updates::adopt(const Event& event) {
  const Status claimed = event.update == 0 ? retrieve_after_crash() : claim();
  if (!claimed) return answer(claimed);
  if (break_in_adopt(options_.broken, store_->heap())) {
    return answer(Error(EPERM, "this version was told to say no (--break=veto)"));
  }
  return 0;
}

Status Updates::claim() {
  auto session = preview_.retrieve();
  if (!session) return session.error();
  session_ = std::move(*session);
  if (const Status taken = take_previewed(); !taken) return taken;
  if (const Status chosen = choose_memory(); !chosen) return chosen;
  if (!server_->take_connections()) return Error(EUCLEAN, "slots and connections differ");
  return {};
}

// What has changed since the last look: at first everything, in adopt mostly nothing. The old one
// may be writing: memory is mapped, and not read.
Status Updates::take_previewed() {
  for (const Token token : preview_.gone()) {
    if (token == kListener) return Error(ENOENT, "the listener is gone");
    if (token >= kFirstConnection) server_->drop_preview(slot_of(token));
    candidates_.erase(token);
  }
  for (auto& [token, fd] : preview_.added()) {
    if (token >= kFirstConnection) {
      if (!server_->preview_connection(slot_of(token), std::move(fd))) return Error(errno, "epoll");
    } else if (token == kListener) {
      if (!server_->take_listener(std::move(fd))) return Error(errno, "epoll");
    } else {
      auto memory = Memory::preview(*client_, std::move(fd));
      if (!memory) return memory.error();
      candidates_[token] = std::move(*memory);
    }
  }
  return {};
}

// The connections of the one before may have lost half a request: only listener and memory count.
Status Updates::retrieve_after_crash() {
  auto session = client_->retrieve_session(kSession);
  if (!session) return session.error();
  session_ = std::move(*session);
  for (const Token token : {kMemory, kRepairedMemory}) {
    if (auto memory = Memory::open(session_, token)) candidates_[token] = std::move(*memory);
  }
  if (const Status chosen = choose_memory(); !chosen) return chosen;
  auto listener = session_.retrieve(kListener);
  // Left behind by a kexec (EIO), or the one before was killed before it had preserved it (ENOENT).
  const int why = listener ? 0 : listener.error().code();
  listener_lost_ = why == EIO || why == ENOENT;
  if (listener_lost_) return {};
  if (!listener) return listener.error();
  return server_->take_listener(std::move(*listener)) ? Status() : Status(Error(errno, "epoll"));
}

// After a crash in a repair there are two. The one with more copies counts - if it was finished.
Status Updates::choose_memory() {
  Status found = Error(ENOENT, "no memory in the session");
  for (auto& [token, memory] : candidates_) {
    Store store{Heap(memory.handle())};
    const char* wrong = store.open();
    if (wrong != nullptr) {
      if (!memory_) found = Error(EUCLEAN, wrong);
      continue;
    }
    if (memory_ && store.state().copy < store_->state().copy) continue;
    *store_ = store;
    memory_ = std::move(memory);
    memory_token_ = token;
    found = {};
  }
  candidates_.clear();
  return found;
}

void Updates::committed(const Event& event) {
  complain("memory", memory_.writable());
  store_->refresh();
  if (event.update == 0) return;  // start_restarted() goes on
  adopt_after_turn_ = true;
  serve();
}

// ---- between turns ------------------------------------------------------------------------------

void Updates::after_turn(bool event) {
  if (!client_) return;
  if (adopt_after_turn_) {  // the first requests have been answered: now the update may end
    adopt_after_turn_ = false;
    complain("adopt", client_->adopt_all());
    announce();
  }
  unpreserve_closed();
  if (!event) return;
  const auto handled = client_->dispatch();
  if (handled) return;
  complain("outlived is gone, serving on without it", handled.error());
  session_ = {};
  client_.reset();
}

// One request for all that closed in this turn: their peers see the end only now.
void Updates::unpreserve_closed() {
  if (server_->closing().empty()) return;
  const std::vector<Token> tokens = tokens_of(server_->closing());
  const Status status = session_.unpreserve(tokens);
  if (status.code() == -EBUSY || status.code() == -EAGAIN) return;  // next turn: an update is on
  if (!complain("unpreserve", status)) {
    for (const Token token : tokens) (void)session_.unpreserve(token);
  }
  server_->released();
}

bool Updates::wait() {
  pollfd waiting{client_->fd(), POLLIN, 0};
  if (poll(&waiting, 1, -1) < 0) return errno == EINTR;
  const auto handled = client_->dispatch();
  return handled ? true : complain("outlived is gone", handled.error());
}

}  // namespace kv
