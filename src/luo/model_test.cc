// Random steps against the reference model (model_test.h), with failures injected and with deaths
// of the worker before a random store.
//
// Each step is done in the model first (a copy) and then for real. A step that is to be cut takes
// an image of the arena, the fd table and the other processes before its k-th store, is finished,
// and then the image is put back and attached: the model is then the one from before or the one
// from after, and nothing else.
//
// OUTLIVE_SEED and OUTLIVE_STEPS override; a failure prints the seed and the last steps.
#include "luo/model_test.h"

#include <deque>
#include <random>

#include "luo/update_host_test.h"

namespace outlive::luo {
namespace {

constexpr uint64_t kDefaultSteps = 100'000;
constexpr int kServices = 2;
constexpr uint64_t kUid = 0;
constexpr unsigned kFavourable = 24;  // of 100 events of an update, above: what brings it forward
constexpr unsigned kTicks = 8;        // of 100 events of an update: time passes, for all updates

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text != nullptr ? strtoull(text, nullptr, 0) : otherwise;
}

class ModelRun {
 public:
  explicit ModelRun(uint64_t seed) : random_(seed) {
    w_.host = &host_;
    host_.where = [this](const void* slot) { return w_.arena->address_of(slot).value; };
    w_.limits.sessions = Model::kMaxSessions;
    w_.limits.files = Model::kMaxFiles;
    w_.limits.subtrees = Model::kMaxSubtrees;
    EXPECT_TRUE(w_.reattach());
    for (int number = 1; number <= kServices; ++number) {
      abi::ServiceSlot& slot = w_.service(fmt::format("service{}", number).c_str());
      service_address_[number] = host_.address_of(slot);
      const int64_t pid = next_pid_++;
      w_.alter([&](Change& change) { change.set(slot.current.pid, pid); });
      host_.state.alive.insert(pid);
      model_.services[number] = {};
      connect(number, 1);
    }
  }
  ~ModelRun() {
    kho::set_store_hook({});
    set_fault_hook({});
  }

  // False when something is wrong: the steps so far are printed.
  bool step() {
    const unsigned kind = pick(100);
    if (kind < 14) return create();
    if (kind < 42) return preserve();
    if (kind < 52) return unpreserve();
    if (kind < 58) return retrieve();
    if (kind < 63) return finish();
    if (kind < 69) return end();
    if (kind < 73) return adopt();
    if (kind < 82) return subtree();
    if (kind < 84) return crash_of_service();
    if (kind < 86) return reattach();
    return update();
  }
  std::string history() const {
    std::string all;
    for (const std::string& line : history_) all += line + "\n";
    return all;
  }
  uint64_t crashes = 0, befores = 0, injected = 0, commits = 0, cancels = 0;

 private:
  using Done = std::function<int()>;  // for real: 0 or an errno

  unsigned pick(unsigned below) { return static_cast<unsigned>(random_() % below); }
  void note(std::string line) {
    history_.push_back(std::move(line));
    if (history_.size() > 30) history_.pop_front();
  }
  bool broken(std::string_view what) {
    note(fmt::format("BROKEN: {}", what));
    return false;
  }
  static int code(const Status& status) { return status ? 0 : status.error().code; }

  // ---- what is real
  // -----------------------------------------------------------------------------------

  int number_of(uint64_t service) const {
    for (const auto& [number, address] : service_address_) {
      if (address == service) return number;
    }
    return service == 0 ? 0 : -1;
  }
  std::string real() {
    std::multiset<std::string> lines;
    w_.core->sessions().for_each([&](Session& session) {
      Model::Session one{
          session.uid, session.name, number_of(session.slot->service), session.slot->generation, {},
          {}};
      for (const abi::FileSlot* slot : session.files.ordered()) {
        one.files[slot->token] = {static_cast<int>(slot->fd), 0, false};
        one.order.push_back(slot->token);
      }
      lines.insert(
          Model::line(one, w_.core->sessions().direction(session) == Direction::kIncoming));
    });
    w_.core->services().for_each([&](abi::ServiceSlot& slot) {
      lines.insert(
          Model::line(number_of(host_.address_of(slot)),
                      {slot.generation, slot.outgoing_from, slot.updates, slot.rollbacks}));
    });
    w_.core->subtrees().for_each([&](const abi::ClientSubtreeSlot& slot) {
      lines.insert(Model::line(slot.uid, slot.name, w_.subtree(slot.name, {.uid = slot.uid})));
    });
    std::string all =
        fmt::format("global state {}\n", w_.core->records().count(abi::PoolKind::kFlb));
    for (const std::string& line : lines) all += line;
    return all;
  }
  // Every fd that a record names is open, and the other way round.
  bool check_fds() {
    std::set<int> named;
    for (const BorrowedFd fd : w_.core->named_fds()) named.insert(fd.get());
    for (const int fd : named) {
      if (!w_.fds.open.contains(fd)) return broken(fmt::format("fd {} is named, not open", fd));
    }
    for (const auto& [fd, kind] : w_.fds.open) {
      if (!named.contains(fd)) return broken(fmt::format("fd {} is open, not named", fd));
    }
    return true;
  }
  bool check_pages() {
    uint64_t lost = 0;
    uint64_t counted = 0;
    w_.arena->for_each_live([&](kho::Phys head, unsigned, uint16_t owner, uint32_t) {
      lost += owner == abi::kOwnerRecords && !w_.core->records().reaches(head);
      counted += owner == abi::kOwnerService || owner == abi::kOwnerTimeline ||
                 owner == abi::kOwnerClients;
    });
    uint64_t reached = w_.core->subtrees().size();
    w_.core->services().for_each(
        [&](abi::ServiceSlot& slot) { reached += (slot.spec != 0) + (slot.previous_spec != 0); });
    w_.core->records().for_each<abi::UpdateSlot>(
        [&](abi::UpdateSlot& slot) { reached += (slot.spec != 0) + (slot.timeline != 0); });
    if (lost != 0 || counted != reached) {
      return broken(
          fmt::format("{} record pages lost, {} folios for {} names", lost, counted, reached));
    }
    return true;
  }
  void close_orphans() {
    std::set<int> named;
    for (const BorrowedFd fd : w_.core->named_fds()) named.insert(fd.get());
    std::erase_if(w_.fds.open, [&](const auto& one) { return !named.contains(one.first); });
  }

  // ---- doing one step
  // ---------------------------------------------------------------------------------

  struct Saved {
    FileImage image;
    FdTable fds;
    HostState host;
  };

  // `expected`: what the model answers; `after`: the model if so. With `fresh` fds that are the
  // client's still, closed when the step did not take them.
  bool run(std::string what, int expected, Model after, const Done& work,
           const std::vector<int>& fresh = {}) {
    const bool cut = pick(3) == 0;
    const bool faulty = !cut && pick(3) == 0;
    Saved saved;
    int stores = 0;
    int hits = 0;
    if (cut) {
      const int at = static_cast<int>(pick(pick(2) == 0 ? 12 : 45));
      what += fmt::format(", cut at store {}", at);
      kho::set_store_hook([&, at] {
        if (stores++ == at) saved = {FileImage::take(w_.arena->view()), w_.fds, host_.state};
      });
    }
    if (faulty) {
      static constexpr const char* kPoints[] = {"luo.slot", "luo.preserve", "kho.alloc",
                                                "kho.preserve", "luo.freeze"};
      const std::string point = kPoints[pick(5)];
      const int at = static_cast<int>(pick(3));
      what += fmt::format(", {} fails at {}", point, at);
      set_fault_hook([&hits, point, at](const char* name) {
        return point == name && hits++ == at ? ENOMEM : 0;
      });
    }
    const int got = work();
    kho::set_store_hook({});
    set_fault_hook({});
    note(fmt::format("{} = {}", what, got == 0 ? "0" : errno_name(got)));
    if (got != 0) {
      for (const int fd : fresh) w_.fds.open.erase(fd);
    }
    const Model before = model_;
    if (faulty && got == ENOMEM && expected != ENOMEM) {
      ++injected;
      if (real() != before.text()) return broken("a failed step left something");
      return check_fds();
    }
    if (got != expected) return broken(fmt::format("expected {}", errno_name(expected)));
    if (got == 0) model_ = std::move(after);
    if (real() != model_.text()) return broken("differs:\n" + real() + "--\n" + model_.text());
    if (saved.image.valid()) return put_back(saved, before);
    return check_fds();
  }

  // The worker died where the image was taken.
  bool put_back(const Saved& saved, const Model& before) {
    ++crashes;
    w_.core.reset();
    w_.arena.reset();
    saved.image.put(w_.file);
    w_.fds = saved.fds;
    host_.state = saved.host;
    if (const Status next = w_.reattach(); !next) return broken(next.error().text());
    const std::string found = real();
    if (found == before.text()) {
      ++befores;
      model_ = before;
    } else if (found != model_.text()) {
      return broken("after the death neither before nor after:\n" + found + "--\n" + before.text() +
                    "--\n" + model_.text());
    }
    close_orphans();
    if (!check_fds() || !check_pages()) return false;
    if (crashes % 16 == 0) {
      kho::expect_consistent(*w_.arena);
      expect_free_slots_zero(*w_.arena, w_.core->records());
    }
    w_.core->updates().resume();
    return settle();
  }

  bool reattach() {
    note("worker dies between two steps");
    if (const Status next = w_.reattach(); !next) return broken(next.error().text());
    if (real() != model_.text()) return broken("an attach changed something");
    w_.core->updates().resume();
    return settle();
  }

  // ---- sessions
  // ---------------------------------------------------------------------------------------

  Session* real_session(const Model::Session& one) {
    Session* found = nullptr;
    w_.core->sessions().for_each([&](Session& session) {
      const bool same = session.uid == one.uid && session.name == one.name &&
                        session.slot->generation == one.generation &&
                        number_of(session.slot->service) == one.service;
      if (same) found = &session;
    });
    return found;
  }
  std::map<uint64_t, Model::Session>::iterator any_session() {
    auto it = model_.sessions.begin();
    if (it != model_.sessions.end())
      std::advance(it, pick(static_cast<unsigned>(model_.sessions.size())));
    return it;
  }
  Caller caller_of(int service) {
    if (service == 0) return {.uid = kUid};
    return {.uid = kUid,
            .service = service_address_.at(service),
            .generation = model_.services.at(service).generation};
  }

  bool create() {
    const std::string name = fmt::format("s{}", pick(8));
    const int service = static_cast<int>(pick(kServices + 1));
    Model after = model_;
    const int expected = after.create(next_id_++, kUid, name, service);
    return run(fmt::format("create {} of {}", name, service), expected, after, [&] {
      Change change(w_.core->records());
      auto made = w_.core->sessions().create(change, caller_of(service), name, 0);
      if (!made) return made.error().code;
      change.commit();
      w_.core->sessions().index(**made);
      return 0;
    });
  }

  bool preserve() {
    const auto it = any_session();
    if (it == model_.sessions.end()) return true;
    std::vector<Model::Wanted> wanted;
    std::vector<NewFile> files;
    std::vector<int> fresh;
    const unsigned count = 1 + (pick(4) == 0 ? pick(4) : 0);
    for (unsigned i = 0; i < count; ++i) {
      static constexpr FileKind kKinds[] = {FileKind::kMemfd, FileKind::kPipe,
                                            FileKind::kTcpConnection, FileKind::kRegular};
      const FileKind kind = kKinds[pick(20) == 0 ? 3 : pick(3)];
      const uint64_t inode = 1 + pick(40);
      const BorrowedFd fd = pick(30) == 0 ? BorrowedFd(9'999'999) : w_.fds.make(kind, inode);
      const bool open = fd.get() != 9'999'999;
      if (open) fresh.push_back(fd.get());
      const uint64_t token = pick(30);
      wanted.push_back({token, fd.get(), open, kind != FileKind::kRegular,
                        kind == FileKind::kMemfd ? inode : 0,
                        kind == FileKind::kMemfd || kind == FileKind::kPipe});
      files.push_back({token, fd});
    }
    Model after = model_;
    const int expected = after.preserve(it->first, wanted);
    const Model::Session one = it->second;
    return run(
        fmt::format("preserve {} in {}", count, one.name), expected, after,
        [&] { return code(w_.preserve(*real_session(one), files)); }, fresh);
  }

  bool unpreserve() {
    const auto it = any_session();
    if (it == model_.sessions.end() || it->second.files.empty()) return true;
    const uint64_t token = it->second.order[pick(static_cast<unsigned>(it->second.order.size()))];
    Model after = model_;
    after.remove(it->first, token);
    const Model::Session one = it->second;
    return run(fmt::format("unpreserve {} in {}", token, one.name), 0, after, [&] {
      w_.remove(*real_session(one), {token});
      return 0;
    });
  }

  bool retrieve() {
    const auto it = any_session();
    if (it == model_.sessions.end()) return true;
    const uint64_t token = pick(30);
    const Model::Session one = it->second;
    const int expected = one.files.contains(token) ? 0 : ENOENT;
    return run(fmt::format("retrieve {} of {}", token, one.name), expected, model_, [&] {
      const auto fd = w_.retrieve(*real_session(one), token);
      if (!fd) return fd.error().code;
      return fd->get() == one.files.at(token).fd ? 0 : EXFULL;
    });
  }

  bool finish() {
    const auto it = any_session();
    if (it == model_.sessions.end()) return true;
    Model after = model_;
    after.finish(it->first);
    const Model::Session one = it->second;
    return run(fmt::format("finish {}", one.name), 0, after,
               [&] { return code(w_.core->finish_files(*real_session(one))); });
  }

  bool end() {
    const auto it = any_session();
    if (it == model_.sessions.end()) return true;
    Model after = model_;
    after.end(it->first);
    const Model::Session one = it->second;
    return run(fmt::format("end {}", one.name), 0, after, [&, finish = pick(2) == 0] {
      return code(w_.core->end_session(*real_session(one), finish));
    });
  }

  bool adopt() {
    const auto it = any_session();
    const int service = 1 + static_cast<int>(pick(kServices));
    Model after = model_;
    if (it == model_.sessions.end() || pick(2) == 0 || it->second.service == 0) {
      const int expected = after.adopt_all(service);
      const bool fine = run(fmt::format("adopt all of {}", service), expected, after,
                            [&] { return code(w_.core->adopt_all(real_service(service))); });
      if (!fine) return false;
    } else {
      const Model::Session one = it->second;
      const int expected = after.adopt(it->first);
      const bool fine = run(fmt::format("adopt {}", one.name), expected, after, [&] {
        return code(w_.core->adopt(*real_session(one), real_service(one.service)));
      });
      if (!fine) return false;
    }
    for (int number = 1; number <= kServices; ++number) {
      w_.core->updates().sessions_changed(real_service(number));
    }
    return settle();
  }

  bool subtree() {
    const std::string name = fmt::format("n{}", pick(8));
    Model after = model_;
    if (pick(3) == 0) {
      const int expected = after.remove_subtree(kUid, name);
      return run("remove subtree " + name, expected, after,
                 [&] { return code(w_.remove_subtree(name, {.uid = kUid})); });
    }
    const std::string text(pick(4) == 0 ? 5000 : pick(40), static_cast<char>('a' + pick(26)));
    const int expected = after.add_subtree(kUid, name, text);
    return run("add subtree " + name, expected, after,
               [&] { return code(w_.add_subtree(name, text, {.uid = kUid})); });
  }

  // ---- services and updates
  // -----------------------------------------------------------------------------

  abi::ServiceSlot& real_service(int number) {
    return *w_.core->services().at(service_address_.at(number));
  }
  void connect(int number, uint64_t generation) {
    host_.state.connections[next_connection_++] = {service_address_.at(number), generation, 0};
  }

  // The process that serves dies with no update running: what it had is incoming for the next one.
  bool crash_of_service() {
    const int number = 1 + static_cast<int>(pick(kServices));
    if (w_.core->updates().active(real_service(number)) != nullptr) return true;
    Model after = model_;
    after.generation_passed(number);
    const uint64_t generation = model_.services.at(number).generation;
    const int64_t pid = next_pid_++;
    const bool fine = run(fmt::format("service {} crashes", number), 0, after, [&] {
      abi::ServiceSlot& service = real_service(number);
      Change change(w_.core->records());
      w_.core->services().generation_passed(change, service);
      change.set(service.current.pid, pid);
      change.commit();
      return 0;
    });
    if (!fine) return false;
    restart(number, generation);
    return true;
  }
  void restart(int number, uint64_t old_generation) {
    const uint64_t address = service_address_.at(number);
    std::erase_if(host_.state.connections, [&](const auto& one) {
      return one.second.service == address && one.second.generation <= old_generation;
    });
    const abi::ServiceSlot& service = real_service(number);
    host_.state.alive.insert(service.current.pid);
    if (host_.participants(service, service.generation).empty()) {
      connect(number, service.generation);
    }
  }

  // Events of an update: it begins, somebody answers, vetoes, dies, or time passes. Many of them
  // are for one update in a row, so that it gets somewhere between the worker's deaths.
  bool update() {
    const int number = 1 + static_cast<int>(pick(kServices));
    const bool burst = pick(4) == 0;
    for (unsigned left = burst ? 8 : 1; left > 0; --left) {
      if (!update_event(number, burst ? kFavourable + pick(100 - kFavourable) : pick(100))) {
        return false;
      }
    }
    return true;
  }
  bool update_event(int number, unsigned dice) {
    abi::UpdateSlot* slot = w_.core->updates().active(real_service(number));
    const bool begin = slot == nullptr;
    const std::string what = begin ? fmt::format("service {}: update", number)
                                   : fmt::format("service {} at {}: event", number,
                                                 name_of(static_cast<abi::UpdateStep>(slot->step)));
    const auto work = [this, number, begin, dice] {
      return begin ? begin_update(number) : event(number, dice);
    };
    return run_update(fmt::format("{} ({})", what, dice), dice >= kTicks, work);
  }
  int begin_update(int number) {
    host_.start_error = pick(10) == 0 ? ENOENT : 0;
    const auto made = w_.core->updates().begin(real_service(number), {.spec = "next"});
    return made ? 0 : made.error().code;
  }
  int event(int number, unsigned dice) {
    abi::ServiceSlot& service = real_service(number);
    Updates& updates = w_.core->updates();
    abi::UpdateSlot& slot = *updates.active(service);
    const auto at = static_cast<abi::UpdateStep>(slot.step);
    const int64_t successor = slot.successor.pid;
    if (dice < kTicks) return updates.tick(w_.clock.now += 400'000'000'000), 0;
    if (dice < 14 && successor != 0 && at < abi::UpdateStep::kCommit) {
      return dies(service, successor), 0;
    }
    if (dice < 18) return code(updates.cancel(slot, ECANCELED, "by hand")), 0;
    if (at == abi::UpdateStep::kStart && successor == 0) {
      const int64_t pid = next_pid_++;
      host_.state.alive.insert(pid);
      host_.state.launching.clear();
      updates.successor_started(slot, {pid, -1, 0, 1, -1, w_.fds.make(FileKind::kOther).get()});
      connect(number, slot.from_generation + 1);
      return 0;
    }
    if (at == abi::UpdateStep::kRetire) return dies(service, slot.old.pid), 0;
    if (at >= abi::UpdateStep::kCommit) return 0;
    using enum abi::Step;  // by UpdateStep: plan, start, prepare, freeze, offer
    static constexpr abi::Step kAnswers[] = {kStart, kStart, kPrepare, kFreeze, kAdopt};
    const bool of_new = at == abi::UpdateStep::kStart || at == abi::UpdateStep::kOffer;
    const uint64_t generation = service.generation + (of_new ? 1 : 0);
    const auto who = host_.participants(service, generation);
    if (who.empty()) return 0;
    const abi::Step step = kAnswers[static_cast<size_t>(at)];
    const uint64_t id = slot.header.id;
    if (dice < kFavourable) {
      return code(updates.veto(service, who[0].connection, generation, step, id, "no")), 0;
    }
    return code(updates.ready(service, who[0].connection, generation, step, id)), 0;
  }
  void dies(abi::ServiceSlot& service, int64_t pid) {
    host_.state.alive.erase(pid);
    host_.state.killed.erase(pid);
    w_.core->updates().process_ended(service, pid, "was killed");
  }

  // Events may commit or cancel, or neither: the counters say which, and the rest must follow.
  bool run_update(const std::string& what, bool one_update, const Done& work) {
    const Model before = model_;
    Saved saved;
    int stores = 0;
    if (one_update && pick(6) == 0) {
      const int at = static_cast<int>(pick(60));
      kho::set_store_hook([&, at] {
        if (stores++ == at) saved = {FileImage::take(w_.arena->view()), w_.fds, host_.state};
      });
    }
    const bool faulty = !store_hook() && pick(6) == 0;
    if (faulty) {
      const int at = static_cast<int>(pick(3));
      int* hits = &update_hits_;
      update_hits_ = 0;
      set_fault_hook([hits, at](const char* name) {
        const std::string_view point = name;
        return (point == "luo.freeze" || point == "luo.slot" || point == "kho.alloc") &&
                       (*hits)++ == at
                   ? ENOMEM
                   : 0;
      });
    }
    const int got = work();
    kho::set_store_hook({});
    set_fault_hook({});
    note(fmt::format("{} = {}", what, got == 0 ? "0" : errno_name(got)));
    if (!follow()) return false;
    if (saved.image.valid()) return put_back(saved, before);
    return settle();
  }
  static bool store_hook() { return kho::store_hook_armed; }

  // Takes into the model what an update's event has decided.
  bool follow() {
    for (int number = 1; number <= kServices; ++number) take_over(number);
    if (real() != model_.text()) return broken("differs:\n" + real() + "--\n" + model_.text());
    return true;
  }
  void take_over(int number) {
    const abi::ServiceSlot& slot = real_service(number);
    Model::Service& one = model_.services.at(number);
    if (slot.updates == one.updates + 1) {
      ++one.updates;
      model_.generation_passed(number);
      ++commits;
    }
    if (slot.rollbacks == one.rollbacks + 1) {
      ++one.rollbacks;
      ++cancels;
    }
  }

  // The world catches up: whoever was killed is gone, cancelled and committed updates go on.
  bool settle() {
    while (!host_.state.killed.empty()) {
      const int64_t pid = *host_.state.killed.begin();
      for (int each = 1; each <= kServices; ++each) dies(real_service(each), pid);
    }
    if (!follow()) return false;
    for (int number = 1; number <= kServices; ++number) {
      abi::ServiceSlot& service = real_service(number);
      const bool idle = w_.core->updates().active(service) == nullptr;
      if (idle && !host_.alive(service.current)) host_.state.alive.insert(service.current.pid);
      if (idle && host_.participants(service, service.generation).empty()) {
        connect(number, service.generation);
      }
    }
    return check_fds();
  }

  std::mt19937_64 random_;
  LuoWorld w_{2 << 20};
  FakeHost host_;
  Model model_;
  std::deque<std::string> history_;
  std::map<int, uint64_t> service_address_;
  uint64_t next_id_ = 1;
  uint64_t next_connection_ = 1;
  int64_t next_pid_ = 1000;
  int update_hits_ = 0;
};

TEST(Model, RandomStepsFailuresAndDeaths) {
  const uint64_t seed = from_environment("OUTLIVE_SEED", std::random_device{}());
  const uint64_t steps = from_environment("OUTLIVE_STEPS", kDefaultSteps);
  std::printf("OUTLIVE_SEED=%llu\n", static_cast<unsigned long long>(seed));
  ModelRun run(seed);
  for (uint64_t i = 0; i < steps; ++i) {
    const bool fine = run.step();
    ASSERT_TRUE(fine && !testing::Test::HasFailure())
        << "OUTLIVE_SEED=" << seed << " step " << i << ":\n"
        << run.history();
  }
  std::printf(
      "%llu deaths (%llu before), %llu failures, %llu commits, %llu cancels\n",
      static_cast<unsigned long long>(run.crashes), static_cast<unsigned long long>(run.befores),
      static_cast<unsigned long long>(run.injected), static_cast<unsigned long long>(run.commits),
      static_cast<unsigned long long>(run.cancels));
  if (steps < 10'000) return;
  EXPECT_GT(run.crashes, steps / 100);
  EXPECT_GT(run.befores, 0u);
  EXPECT_GT(run.injected, steps / 1000);
  EXPECT_GT(run.commits, steps / 1000);
  EXPECT_GT(run.cancels, steps / 1000);
}

}  // namespace
}  // namespace outlive::luo
