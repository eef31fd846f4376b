// The barrier of all services (host_update.cc): nobody is frozen before all are prepared, nothing
// is given up before all are frozen, one that can't cancels all.
#include "luo/update_host_test.h"

namespace outlive::luo {
namespace {

using abi::Step;
using abi::UpdateStep;

// Services "a", "b", "c" with connections 1, 2, 3 and pids 101, 102, 103; a session of two files
// each; and a client of none, connection 9, with session "plain".
struct HostWorld : LuoWorld {
  static constexpr uint64_t kServices = 3;

  explicit HostWorld(uint64_t bytes = 2 << 20) : LuoWorld(bytes) {
    host = &fake;
    fake.where = [this](const void* slot) { return arena->address_of(slot).value; };
    EXPECT_TRUE(reattach());
    for (uint64_t i = 0; i < kServices; ++i) {
      const std::string name(1, static_cast<char>('a' + i));
      abi::ServiceSlot& made = LuoWorld::service(name.c_str());
      addresses[i] = core->services().address_of(made);
      const auto pid = static_cast<int64_t>(101 + i);
      const int64_t binary = fds.make(FileKind::kRegular).get();
      alter([&](Change& change) {
        change.set(made.current.pid, pid);
        change.set(made.current.binary_fd, binary);
      });
      fake.state.alive.insert(pid);
      fake.state.connections[i + 1] = {addresses[i], 1, 0};
      Session& session =
          LuoWorld::session(name.c_str(), {.service = addresses[i], .generation = 1});
      EXPECT_TRUE(preserve(
          session, {{1, fds.make(FileKind::kMemfd)}, {2, fds.make(FileKind::kTcpConnection)}}));
    }
    Session& plain = LuoWorld::session("plain");
    EXPECT_TRUE(preserve(plain, 1, fds.make(FileKind::kPipe)));
    script.take();
  }
  ~HostWorld() { set_fault_hook({}); }

  abi::ServiceSlot& service(uint64_t i) { return *core->services().at(addresses[i]); }
  abi::UpdateSlot& update(uint64_t i) { return *core->updates().at(slots[i]); }
  Session& session(const char* name) { return *core->sessions().find({}, name); }
  Updates& updates() { return core->updates(); }
  UpdateStep step(uint64_t i) { return static_cast<UpdateStep>(update(i).step); }
  Direction direction(const char* name) { return core->sessions().direction(session(name)); }

  void begin(bool outlived = false, Scope scope = Scope::kHost) {
    const auto made =
        updates().begin_host({.request_id = {7, 7}, .scope = scope, .outlived = outlived});
    ASSERT_TRUE(made) << made.error().text();
    ASSERT_EQ(made->size(), kServices);
    for (uint64_t i = 0; i < kServices; ++i) slots[i] = arena->address_of((*made)[i]).value;
  }
  Status answer(uint64_t i, Step step) {
    return updates().ready(service(i), i + 1, 1, step, update(i).header.id);
  }
  void all_answer(Step step) {
    for (uint64_t i = 0; i < kServices; ++i) ASSERT_TRUE(answer(i, step)) << i;
  }
  void dies(uint64_t i, int64_t pid) {
    fake.state.alive.erase(pid);
    updates().process_ended(service(i), pid, "was killed");
  }
  // As before: everyone serves, nothing has changed.
  void expect_cancelled(int code) {
    for (uint64_t i = 0; i < kServices; ++i) {
      EXPECT_EQ(step(i), UpdateStep::kCancelled) << i;
      EXPECT_EQ(update(i).result, code) << i;
      EXPECT_EQ(service(i).generation, 1u) << i;
      EXPECT_EQ(service(i).active_update, 0u) << i;
      EXPECT_EQ(updates().state(service(i)), State::kNormal) << i;
    }
    for (const char* name : {"a", "b", "c", "plain"}) {
      EXPECT_EQ(direction(name), Direction::kOutgoing) << name;
    }
    EXPECT_EQ(core->state(), State::kNormal);
    EXPECT_EQ(core->records().root().live_update_number, 0u);
    EXPECT_EQ(updates().next_deadline(), 0u);
    kho::expect_consistent(*arena);
  }
  uint64_t heard(const std::string& line) {
    return static_cast<uint64_t>(std::ranges::count(fake.journal, line));
  }

  FakeHost fake;
  uint64_t addresses[kServices] = {};
  uint64_t slots[kServices] = {};
};

TEST(HostUpdate, AllInOneBarrier) {
  HostWorld w;
  w.begin();
  EXPECT_EQ(w.core->state(), State::kPrepared);
  EXPECT_EQ(w.fake.take(), (Journal{"prepare to 1", "prepare to 2", "prepare to 3"}));
  ASSERT_TRUE(w.answer(1, Step::kPrepare));
  ASSERT_TRUE(w.answer(0, Step::kPrepare));
  EXPECT_TRUE(w.fake.take().empty()) << "nobody is frozen before all are prepared";
  ASSERT_TRUE(w.answer(2, Step::kPrepare));
  EXPECT_EQ(w.core->state(), State::kFrozen);
  EXPECT_EQ(w.fake.take(), (Journal{"freeze to 1", "freeze to 2", "freeze to 3"}));
  ASSERT_TRUE(w.answer(2, Step::kFreeze));
  ASSERT_TRUE(w.answer(0, Step::kFreeze));
  EXPECT_TRUE(w.script.journal.empty()) << "no handler freezes before all have answered";
  EXPECT_EQ(w.direction("a"), Direction::kOutgoing);
  ASSERT_TRUE(w.answer(1, Step::kFreeze));
  EXPECT_EQ(w.core->state(), State::kUpdated);
  EXPECT_EQ(w.core->records().root().live_update_number, 1u);
  for (const char* name : {"a", "b", "c", "plain"}) {
    EXPECT_EQ(w.direction(name), Direction::kIncoming) << name;
  }
  EXPECT_EQ(w.fake.take(), (Journal{"retire to 1", "retire pid 101", "retire to 2",
                                    "retire pid 102", "retire to 3", "retire pid 103"}));
  EXPECT_EQ(w.updates().access(w.service(0), 1), Updates::Access::kStale);
  EXPECT_EQ(w.updates().access(w.service(0), 2), Updates::Access::kCurrent);
  EXPECT_EQ(w.core->sessions().retrieve({}, "plain").take(), &w.session("plain"));
  for (uint64_t i = 0; i < HostWorld::kServices; ++i) w.dies(i, static_cast<int64_t>(101 + i));
  EXPECT_EQ(w.fake.take(), (Journal{"start a anew", "start b anew", "start c anew"}));
  for (uint64_t i = 0; i < HostWorld::kServices; ++i) {
    EXPECT_EQ(w.core->state(), State::kUpdated) << "until the last one has finished";
    w.alter([&](Change& change) { change.set(w.service(i).current.pid, int64_t{201}); });
    ASSERT_TRUE(w.core->adopt_all(w.service(i)));
    w.updates().sessions_changed(w.service(i));
    EXPECT_EQ(w.step(i), UpdateStep::kDone);
  }
  EXPECT_EQ(w.core->state(), State::kNormal);
  for (uint64_t i = 0; i < HostWorld::kServices; ++i) {
    EXPECT_EQ(w.service(i).generation, 2u);
    EXPECT_EQ(w.service(i).active_update, 0u);
  }
  kho::expect_consistent(*w.arena);
}

TEST(HostUpdate, NobodyIsStartedAnewBeforeOutlivedIsReplaced) {
  HostWorld w;
  w.begin(true);
  EXPECT_EQ(w.updates().outlived_in_host(), Updates::Outlived::kToBeReplaced);
  w.all_answer(Step::kPrepare);
  EXPECT_FALSE(w.updates().awaiting_request()) << "not before commit";
  w.all_answer(Step::kFreeze);
  EXPECT_EQ(w.updates().outlived_in_host(), Updates::Outlived::kAwaited);
  EXPECT_EQ(w.updates().awaiting_request(), (std::array<uint64_t, 2>{7, 7}));
  w.dies(0, 101);
  w.dies(1, 102);
  EXPECT_EQ(w.heard("start a anew") + w.heard("start b anew"), 0u);
  EXPECT_TRUE(w.updates().awaits_outlived(w.service(0)));
  EXPECT_EQ(w.updates().waiting_for(w.update(0)), "outlived (its own replacement)");
  // The next outlived.
  ASSERT_TRUE(w.reattach());
  EXPECT_EQ(w.core->state(), State::kUpdated);
  w.fake.take();
  w.updates().resume();
  EXPECT_EQ(w.heard("start a anew") + w.heard("start b anew"), 0u);
  EXPECT_EQ(w.heard("retire pid 103"), 1u) << "told again, by who is there now";
  w.updates().outlived_replaced("");
  EXPECT_EQ(w.heard("start a anew"), 1u);
  EXPECT_EQ(w.heard("start b anew"), 1u);
  EXPECT_EQ(w.heard("start c anew"), 0u) << "its old one has not left";
  EXPECT_EQ(w.updates().outlived_in_host(), Updates::Outlived::kStays);
  w.dies(2, 103);
  EXPECT_EQ(w.heard("start c anew"), 1u);
  w.updates().outlived_replaced("");
  EXPECT_EQ(w.heard("start a anew"), 1u) << "once";
}

TEST(HostUpdate, WhyOutlivedWasNotReplacedIsTold) {
  HostWorld w;
  w.begin(true);
  w.all_answer(Step::kPrepare);
  w.all_answer(Step::kFreeze);
  for (uint64_t i = 0; i < HostWorld::kServices; ++i) w.dies(i, static_cast<int64_t>(101 + i));
  w.updates().outlived_replaced("it was late");
  EXPECT_STREQ(w.update(0).reason, "outlived was not replaced: it was late");
  EXPECT_EQ(w.heard("start a anew") + w.heard("start b anew") + w.heard("start c anew"), 3u);
  for (uint64_t i = 0; i < HostWorld::kServices; ++i) {
    w.alter([&](Change& change) { change.set(w.service(i).current.pid, int64_t{201}); });
    ASSERT_TRUE(w.core->adopt_all(w.service(i)));
    w.updates().sessions_changed(w.service(i));
    EXPECT_EQ(w.step(i), UpdateStep::kDone);
  }
  EXPECT_EQ(w.core->state(), State::kNormal);
}

TEST(HostUpdate, ACancelKeepsOutlived) {
  HostWorld w;
  w.begin(true);
  w.all_answer(Step::kPrepare);
  w.dies(2, 103);
  w.expect_cancelled(ECHILD);
  EXPECT_EQ(w.updates().outlived_in_host(), Updates::Outlived::kStays);
}

// Of the kernel: frozen, and there it stays. It can be given up, and everyone serves.
TEST(HostUpdate, OfTheKernelStaysFrozen) {
  HostWorld w;
  w.begin(false, Scope::kKernel);
  w.all_answer(Step::kPrepare);
  w.all_answer(Step::kFreeze);
  for (uint64_t i = 0; i < HostWorld::kServices; ++i) EXPECT_EQ(w.step(i), UpdateStep::kOffer);
  EXPECT_EQ(w.updates().all_of_request({7, 7}).size(), HostWorld::kServices);
  EXPECT_EQ(w.core->state(), State::kFrozen);
  EXPECT_EQ(w.core->records().root().live_update_number, 0u);
  ASSERT_TRUE(w.updates().cancel(w.update(0), ECANCELED, "reboot(2) came back"));
  w.expect_cancelled(ECANCELED);
}

// What the next kernel's outlived does with the records: they are committed, and nobody of the life
// before is asked or awaited.
TEST(HostUpdate, OfTheKernelIsCommittedByTheNextOne) {
  HostWorld w;
  w.begin(false, Scope::kKernel);
  w.all_answer(Step::kPrepare);
  w.all_answer(Step::kFreeze);
  w.fake.take();
  w.fake.state.alive.clear();
  ASSERT_TRUE(w.reattach());
  w.updates().kexec_arrived();
  EXPECT_TRUE(w.fake.take().empty());
  EXPECT_EQ(w.core->records().root().live_update_number, 1u);
  for (const char* name : {"a", "b", "c", "plain"}) {
    EXPECT_EQ(w.direction(name), Direction::kIncoming) << name;
  }
  ASSERT_TRUE(w.reattach());
  w.updates().resume();
  EXPECT_EQ(w.fake.take(), (Journal{"start a anew", "start b anew", "start c anew"}));
  kho::expect_consistent(*w.arena);
}

TEST(HostUpdate, OfTheKernelWithoutServices) {
  LuoWorld w;
  EXPECT_TRUE(
      w.core->updates().begin_host({.request_id = {7, 7}, .scope = Scope::kKernel})->empty());
  EXPECT_EQ(w.core->updates().begin_host({.request_id = {7, 7}}).error().code, EINVAL);
}

TEST(HostUpdate, OneVetoInPrepareCancelsAll) {
  HostWorld w;
  w.begin();
  ASSERT_TRUE(w.answer(0, Step::kPrepare));
  w.fake.take();
  ASSERT_TRUE(w.updates().veto(w.service(1), 2, 1, Step::kPrepare, w.update(1).header.id, "no"));
  w.expect_cancelled(ECANCELED);
  EXPECT_NE(std::string(w.update(0).reason).find("service 'b'"), std::string::npos);
  EXPECT_EQ(w.heard("freeze to 1"), 0u);
  EXPECT_TRUE(w.updates().cancelled_for_all(w.service(2), w.update(2).header.id))
      << "its answer may be on its way";
  EXPECT_FALSE(w.updates().cancelled_for_all(w.service(2), w.update(1).header.id));
  std::vector<std::string> cancels;
  for (const std::string& line : w.fake.journal) {
    if (line.starts_with("cancel to")) cancels.push_back(line);
  }
  EXPECT_EQ(cancels, (Journal{"cancel to 3", "cancel to 2", "cancel to 1"})) << "in reverse";
}

TEST(HostUpdate, OneDeathInFreezeCancelsAll) {
  HostWorld w;
  w.begin();
  w.all_answer(Step::kPrepare);
  ASSERT_TRUE(w.answer(0, Step::kFreeze));
  w.dies(2, 103);
  w.expect_cancelled(ECHILD);
}

TEST(HostUpdate, ADeadlineCancelsAll) {
  HostWorld w;
  w.begin();
  w.all_answer(Step::kPrepare);
  ASSERT_TRUE(w.answer(0, Step::kFreeze));
  w.clock.now += w.updates().times.freeze;
  w.updates().tick(w.clock.now);
  w.expect_cancelled(ETIMEDOUT);
}

TEST(HostUpdate, AHandlerThatWontFreezeUnfreezesAllInReverse) {
  HostWorld w;
  w.begin();
  w.all_answer(Step::kPrepare);
  const int64_t last = w.session("c").files.find(1)->fd;
  w.script.take();
  w.script.failing[fmt::format("memfd.freeze {}", last)] = EBUSY;
  w.all_answer(Step::kFreeze);
  w.expect_cancelled(EBUSY);
  uint64_t frozen = 0;
  uint64_t unfrozen = 0;
  for (const std::string& line : w.script.journal) {
    frozen += line.find(".freeze") != line.npos && !line.starts_with("pool");
    unfrozen += line.find(".unfreeze") != line.npos;
  }
  EXPECT_EQ(frozen, unfrozen + 1) << "all but the one that would not";
}

TEST(HostUpdate, ADeathOfTheWorkerBeforeCommitCancelsAll) {
  for (const Step to : {Step::kPrepare, Step::kFreeze}) {
    HostWorld w;
    w.begin();
    if (to == Step::kFreeze) w.all_answer(Step::kPrepare);
    ASSERT_TRUE(w.answer(0, to));
    w.fake.take();
    ASSERT_TRUE(w.reattach());
    w.updates().resume();
    w.expect_cancelled(EAGAIN);
    for (const char* line : {"cancel to 1", "cancel to 2", "cancel to 3"}) {
      EXPECT_EQ(w.heard(line), 1u) << line;
    }
  }
}

TEST(HostUpdate, ADeathOfTheWorkerAfterCommitGoesOn) {
  HostWorld w;
  w.begin();
  w.all_answer(Step::kPrepare);
  w.all_answer(Step::kFreeze);
  w.dies(0, 101);
  w.alter([&](Change& change) { change.set(w.service(0).current.pid, int64_t{201}); });
  w.fake.state.alive.erase(102);  // its end is told to nobody
  w.fake.take();
  ASSERT_TRUE(w.reattach());
  EXPECT_EQ(w.core->state(), State::kUpdated);
  w.updates().resume();
  EXPECT_EQ(w.heard("start b anew"), 1u);
  EXPECT_EQ(w.heard("retire pid 103"), 1u);
  EXPECT_EQ(w.heard("start a anew"), 0u) << "it was";
}

TEST(HostUpdate, AnOldOneThatDoesntLeaveIsKilled) {
  HostWorld w;
  w.begin();
  w.all_answer(Step::kPrepare);
  w.all_answer(Step::kFreeze);
  w.clock.now += w.updates().times.retire;
  w.updates().tick(w.clock.now);
  EXPECT_TRUE(w.fake.state.killed.contains(101));
}

TEST(HostUpdate, IsRefusedWhileOneIsUpdated) {
  HostWorld w;
  ASSERT_TRUE(w.updates().begin(w.service(1), {.spec = "next"}));
  EXPECT_EQ(w.updates().begin_host({.request_id = {7, 7}}).error().code, EBUSY);
  EXPECT_EQ(w.service(0).active_update, 0u);
}

// More than one change has room for: the services, and what a client of none may have.
TEST(HostUpdate, ManyServicesAndSessionsAreOneCommitAllTheSame) {
  constexpr uint64_t kMore = 300;
  constexpr uint64_t kPlain = 1500;
  HostWorld w(16 << 20);
  w.limits.services = w.limits.sessions = 10000;
  ASSERT_TRUE(w.reattach());
  for (uint64_t i = 0; i < kMore; ++i) w.LuoWorld::service(fmt::format("more{}", i).c_str());
  for (uint64_t i = 0; i < kPlain; ++i) w.LuoWorld::session(fmt::format("plain{}", i).c_str());
  const auto made = w.updates().begin_host({.request_id = {7, 7}});
  ASSERT_TRUE(made) << made.error().text();
  ASSERT_EQ(made->size(), HostWorld::kServices + kMore);
  for (uint64_t i = 0; i < HostWorld::kServices; ++i)
    w.slots[i] = w.arena->address_of((*made)[i]).value;
  w.all_answer(Step::kPrepare);
  ASSERT_TRUE(w.answer(0, Step::kFreeze));
  ASSERT_TRUE(w.answer(1, Step::kFreeze));
  // The worker dies when some of it has been carried on.
  CrashAt crash(*w.arena, 9000);
  ASSERT_TRUE(w.answer(2, Step::kFreeze));
  ASSERT_TRUE(crash.image().valid()) << "it takes more stores than that";
  w.core.reset();
  w.arena.reset();
  crash.image().put(w.file);
  kho::set_store_hook({});
  ASSERT_TRUE(w.reattach());
  EXPECT_EQ(w.core->records().root().live_update_number, 1u);
  w.core->sessions().for_each([&](Session& session) {
    EXPECT_EQ(w.core->sessions().direction(session), Direction::kIncoming) << session.name;
  });
  w.core->services().for_each([&](abi::ServiceSlot& service) {
    EXPECT_EQ(service.generation, 2u) << service.name;
    EXPECT_EQ(service.updates, 1u) << service.name;
    EXPECT_EQ(service.current.pid, 0) << service.name;
  });
  kho::expect_consistent(*w.arena);
}

TEST(HostUpdate, TooManyServicesAreRefusedBeforeAnybodyIsAsked) {
  HostWorld w(16 << 20);
  w.limits.services = 10000;
  ASSERT_TRUE(w.reattach());
  for (int i = 0; i < 600; ++i) w.LuoWorld::service(fmt::format("more{}", i).c_str());
  w.fake.take();
  const auto made = w.updates().begin_host({.request_id = {7, 7}});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, E2BIG);
  EXPECT_NE(made.error().message.find("603 services run: 512"), std::string::npos);
  EXPECT_EQ(w.updates().can_begin_host().error().code, E2BIG);
  EXPECT_TRUE(w.fake.take().empty());
  EXPECT_EQ(w.service(0).active_update, 0u);
}

// Every store of the commit: all sessions are outgoing, or all are incoming.
TEST(HostUpdate, CommitIsOneStore) {
  for (int n = 0;; ++n) {
    HostWorld w;
    w.begin();
    w.all_answer(Step::kPrepare);
    ASSERT_TRUE(w.answer(0, Step::kFreeze));
    ASSERT_TRUE(w.answer(1, Step::kFreeze));
    const auto open = w.fds.open;
    CrashAt crash(*w.arena, n);
    ASSERT_TRUE(w.answer(2, Step::kFreeze));
    if (!crash.image().valid()) {
      EXPECT_GT(n, 10);
      break;
    }
    w.core.reset();
    w.arena.reset();
    crash.image().put(w.file);
    kho::set_store_hook({});
    w.fds.open = open;  // as at that store, or a little before
    ASSERT_TRUE(w.reattach());
    const bool incoming = w.direction("a") == Direction::kIncoming;
    for (const char* name : {"b", "c", "plain"}) {
      EXPECT_EQ(w.direction(name) == Direction::kIncoming, incoming) << name << " at store " << n;
    }
    EXPECT_EQ(w.core->records().root().live_update_number, incoming ? 1u : 0u) << "at store " << n;
    for (uint64_t i = 0; i < HostWorld::kServices; ++i) {
      EXPECT_EQ(w.step(i) == UpdateStep::kCommit, incoming) << i << " at store " << n;
      EXPECT_EQ(w.service(i).generation, incoming ? 2u : 1u) << i << " at store " << n;
    }
    w.updates().resume();
    if (!incoming) w.expect_cancelled(EAGAIN);
  }
}

}  // namespace
}  // namespace outlive::luo
