// Random steps against the reference model (model_test.h), with failures injected and with a death
// of the worker before every store, and after the last one (deaths_test.h).
//
// Each step is done in the model first (a copy) and then for real. Whoever attaches after a death
// in the step finds the model from before or the one from after, nothing else, and after a death
// that showed "after" only that. Then the step goes on as if nothing had happened; some steps are
// cut instead: the run goes on from one of their deaths.
//
// OUTLIVE_SEED and OUTLIVE_STEPS override; a failure prints the seed and the last steps.
#include <iostream>
#include <random>

#include "luo/model_bench_test.h"

namespace outlive::luo {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kDefaultSteps = 10'000;  // each costs several times as much
#else
constexpr uint64_t kDefaultSteps = 100'000;
#endif
constexpr unsigned kFavourable = 24;  // of 100 events of an update, above: what brings it forward
constexpr unsigned kTicks = 8;        // of 100 events of an update: time passes, for all updates

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text != nullptr ? strtoull(text, nullptr, 0) : otherwise;
}

class ModelRun : public ModelBench {
 public:
  using ModelBench::ModelBench;

  // False when something is wrong: the steps so far are printed.
  bool step() {
    const unsigned kind = pick(100);
    if (kind < 14) return create();
    if (kind < 42) return preserve();
    if (kind < 52) return unpreserve();
    if (kind < 58) return retrieve();
    if (kind < 63) return finish();
    if (kind < 67) return end();
    if (kind < 69) return let_go();
    if (kind < 70) return claim();
    if (kind < 71) return time_passes();
    if (kind < 74) return adopt();
    if (kind < 82) return subtree();
    if (kind < 84) return crash_of_service();
    if (kind < 86) return reattach();
    return update();
  }

 private:
  // ---- sessions ----

  static bool left(const Session& session) {
    return session.slot->generation == abi::kIncomingGeneration;
  }
  Session* real_session(const Model::Session& one) {
    Session* found = nullptr;
    w_.core->sessions().for_each([&](Session& session) {
      const bool same = session.uid == one.uid && session.name == one.name &&
                        view_.number_of(session.slot->service) == one.service &&
                        session.slot->orphaned_ns == one.unheld_ns &&
                        (one.service == 0 ? left(session) == one.left
                                          : session.slot->generation == one.generation);
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
            .service = view_.services.at(service),
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
      w_.also(change);
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
               [&] { return code(w_.core->finish_files(*real_session(one), w_.also)); });
  }

  bool end() {
    const auto it = any_session();
    if (it == model_.sessions.end()) return true;
    Model after = model_;
    after.end(it->first);
    const Model::Session one = it->second;
    return run(fmt::format("end {}", one.name), 0, after, [&, finish = pick(2) == 0] {
      return code(w_.core->end_session(*real_session(one), finish, w_.also));
    });
  }

  // ---- leases ----

  // The last one who held it is gone, and it waits for the next.
  bool let_go() {
    const auto it = any_session();
    if (it == model_.sessions.end() || it->second.unheld_ns != 0) return true;
    w_.clock.now += 1;  // two of one name and one time could not be told apart
    Model after = model_;
    after.unheld(it->first, w_.clock.steady_ns());
    const Model::Session one = it->second;
    return run(fmt::format("let go of {}", one.name), 0, after, [&] {
      Session& session = *real_session(one);
      w_.alter([&](Change& change) {
        w_.core->leases().unheld(change, session);
        w_.also(change);
      });
      w_.core->leases().start(session);
      return 0;
    });
  }
  bool claim() {
    const auto it = any_session();
    if (it == model_.sessions.end() || it->second.unheld_ns == 0) return true;
    const Model::Session one = it->second;
    for (const auto& [id, other] : model_.sessions) {  // two of one name could not be told apart
      if (other.name == one.name && other.service == 0 && other.left && other.unheld_ns == 0) {
        return true;
      }
    }
    Model after = model_;
    after.sessions.at(it->first).unheld_ns = 0;
    ++claims;
    return run(fmt::format("claim {}", one.name), 0, after, [&] {
      Session& session = *real_session(one);
      w_.alter([&](Change& change) {
        w_.core->leases().claimed(change, session);
        w_.also(change);
      });
      return 0;
    });
  }
  bool updating(int service) {
    if (service == 0) return false;
    const abi::UpdateSlot* update = w_.core->updates().active(real_service(service));
    return update != nullptr && update->step < static_cast<uint64_t>(abi::UpdateStep::kCommit);
  }
  // Leases end, one at a time: each is a change of its own. Not those of a service in an update.
  bool time_passes() {
    w_.clock.now += Model::kLease / 2 - 1;
    for (;; w_.clock.now += Leases::kBusyPause) {
      std::vector<uint64_t> due = model_.due(w_.clock.steady_ns(), attached_ns_);
      std::erase_if(due, [&](uint64_t id) { return updating(model_.sessions.at(id).service); });
      std::vector<Session*> real = w_.core->leases().due();
      if (real.size() != due.size()) {
        return broken(fmt::format("{} leases are over, {} should be", real.size(), due.size()));
      }
      if (due.empty()) return true;
      const Model::Session one = model_.sessions.at(due.front());
      for (Session* session : real) w_.core->leases().start(*session);  // asked again
      Model after = model_;
      after.end(due.front());
      ++lease_ends;
      const bool fine = run(fmt::format("the lease of {} ends", one.name), 0, after, [&] {
        w_.core->give_up(*real_session(one), w_.also);
        return 0;
      });
      if (!fine || !settle()) return false;
    }
  }

  bool adopt() {
    const auto it = any_session();
    const int service = 1 + static_cast<int>(pick(kServices));
    Model after = model_;
    if (it == model_.sessions.end() || pick(2) == 0) {
      const int expected = after.adopt_all(service);
      const bool fine = run(fmt::format("adopt all of {}", service), expected, after, [&] {
        return code(w_.core->adopt_all(real_service(service), w_.also));
      });
      if (!fine) return false;
    } else {
      const Model::Session one = it->second;
      const int expected = after.adopt(it->first);
      const bool fine = run(fmt::format("adopt {}", one.name), expected, after, [&] {
        Session& session = *real_session(one);
        return code(one.service == 0 ? w_.core->adopt_plain(session, w_.also)
                                     : w_.core->adopt(session, real_service(one.service), w_.also));
      });
      if (!fine) return false;
    }
    const Model before = model_;
    dying(false, [&] {
      for (int number = 1; number <= kServices; ++number) {
        w_.core->updates().sessions_changed(real_service(number));
      }
    });
    return follow() && agree(before) && settle();
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

  // ---- services and updates ----

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
      w_.also(change);
      change.commit();
      return 0;
    });
    if (!fine) return false;
    restart(number, generation);
    return true;
  }
  void restart(int number, uint64_t old_generation) {
    const uint64_t address = view_.services.at(number);
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
    return run_update(fmt::format("{} ({})", what, dice), work);
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
};

TEST(Model, RandomStepsFailuresAndDeaths) {
  const uint64_t seed = from_environment("OUTLIVE_SEED", std::random_device{}());
  const uint64_t steps = from_environment("OUTLIVE_STEPS", kDefaultSteps);
  std::cout << fmt::format("OUTLIVE_SEED={}\n", seed) << std::flush;
  ModelRun run(seed);
  for (uint64_t i = 0; i < steps; ++i) {
    const bool fine = run.step();
    ASSERT_TRUE(fine && !testing::Test::HasFailure())
        << "OUTLIVE_SEED=" << seed << " step " << i << ":\n"
        << run.history();
  }
  const Deaths& deaths = run.deaths();
  std::cout << fmt::format(
      "{} steps, {} stores with a death before each: {} deaths ({} before, {} after, {} where "
      "nothing visible changes), {} of the next worker; {} steps cut, {} failures, {} commits, {} "
      "cancels, {} claims, {} ends of leases\n",
      steps, deaths.stores(), deaths.deaths(), run.befores, run.afters,
      deaths.deaths() - run.befores - run.afters, deaths.again(), run.cuts, run.injected,
      run.commits, run.cancels, run.claims, run.lease_ends);
  if (steps < 10'000) return;
  EXPECT_GT(deaths.stores(), steps * 5);
  EXPECT_GT(deaths.deaths(), deaths.stores());
  EXPECT_GT(deaths.again(), steps / 10);
  EXPECT_GT(deaths.compared(), steps / 20);
  EXPECT_GT(run.befores, steps);
  EXPECT_GT(run.afters, steps);
  EXPECT_GT(run.cuts, steps / 40);
  EXPECT_GT(run.injected, steps / 100);
  EXPECT_GT(run.commits, steps / 200);
  EXPECT_GT(run.cancels, steps / 200);
  EXPECT_GT(run.claims, steps / 2000);
  EXPECT_GT(run.lease_ends, steps / 1000);
}

}  // namespace
}  // namespace outlive::luo
