// The steps of an update in order, and every way in which one can be cancelled.
#include "luo/update.h"

#include "luo/update_host_test.h"

namespace outlive::luo {
namespace {

using abi::Step;
using abi::UpdateStep;

int code_of(const Status& status) {
  return status ? 0 : status.error().code;
}

// Lines that say that the old one and its files are as before: nothing of the update is left.
void expect_rolled_back(UpdateWorld& w, int code) {
  EXPECT_EQ(w.state(), State::kNormal);
  EXPECT_EQ(w.step(), UpdateStep::kCancelled);
  EXPECT_EQ(w.update().result, code);
  EXPECT_EQ(w.update().spec, 0u);
  EXPECT_EQ(w.service().generation, 1u);
  EXPECT_EQ(w.service().rollbacks, 1u);
  EXPECT_EQ(w.service().updates, 0u);
  EXPECT_EQ(w.service().active_update, 0u);
  EXPECT_EQ(w.updates().active(w.service()), nullptr);
  EXPECT_EQ(w.core->sessions().direction(w.session()), Direction::kOutgoing);
  EXPECT_EQ(w.session().files.size(), 3u);
  EXPECT_EQ(w.updates().access(w.service(), 1), Updates::Access::kCurrent);
  EXPECT_EQ(w.updates().access(w.service(), 2), Updates::Access::kStale);
  EXPECT_EQ(w.updates().next_deadline(), 0u);
  EXPECT_EQ(w.arena->pages_of(abi::kOwnerService), 1u) << "the successor's spec is given back";
  // Every fd that is open is named, every one that is named is open.
  std::set<int> named;
  for (const BorrowedFd fd : w.core->named_fds()) named.insert(fd.get());
  for (const auto& [fd, kind] : w.fds.open) EXPECT_TRUE(named.contains(fd)) << fd;
  for (const int fd : named) EXPECT_TRUE(w.fds.open.contains(fd)) << fd;
  kho::expect_consistent(*w.arena);
}

TEST(Update, HappyPathInOrder) {
  UpdateWorld w;
  w.begin();
  EXPECT_EQ(w.fake.take(), (Journal{"start"}));
  EXPECT_EQ(w.step(), UpdateStep::kStart);
  EXPECT_EQ(w.state(), State::kNormal);
  EXPECT_EQ(w.updates().waiting_for(w.update()), "the successor");
  EXPECT_EQ(w.updates().access(w.service(), 2), Updates::Access::kNotOffered);
  w.clock.now += 1000;
  w.successor_ready();
  EXPECT_EQ(w.fake.take(), (Journal{"prepare to 1"}));
  EXPECT_EQ(w.fake.last_deadline, w.clock.now + w.updates().times.prepare);
  EXPECT_EQ(w.state(), State::kPrepared);
  EXPECT_EQ(w.updates().waiting_for(w.update()), "the old one");
  w.clock.now += 1000;
  w.old_answers(Step::kPrepare);
  EXPECT_EQ(w.fake.take(), (Journal{"freeze to 1"}));
  EXPECT_EQ(w.state(), State::kFrozen);
  EXPECT_FALSE(w.updates().frozen_for(w.service(), UpdateWorld::kOld)) << "it hasn't answered yet";
  EXPECT_TRUE(w.script.take().empty());
  w.clock.now += 1000;
  w.old_answers(Step::kFreeze);
  EXPECT_EQ(w.script.take(),
            (Journal{"memfd.freeze 10", "pipe.freeze 11", "socket.freeze 12", "pool.freeze 700"}));
  EXPECT_EQ(w.fake.take(), (Journal{"adopt to 2"}));
  EXPECT_EQ(w.state(), State::kFrozen);
  EXPECT_TRUE(w.updates().frozen_for(w.service(), UpdateWorld::kOld));
  EXPECT_EQ(w.updates().access(w.service(), 2), Updates::Access::kOffered);
  EXPECT_EQ(w.core->sessions().direction(w.session()), Direction::kOutgoing);
  w.clock.now += 1000;
  w.successor_answers(Step::kAdopt);
  EXPECT_EQ(w.fake.take(), (Journal{"committed to 2"}));
  EXPECT_EQ(w.state(), State::kUpdated);
  EXPECT_EQ(w.step(), UpdateStep::kCommit);
  EXPECT_EQ(w.service().generation, 2u);
  EXPECT_EQ(w.service().updates, 1u);
  EXPECT_EQ(w.service().current.pid, 200);
  EXPECT_EQ(w.update().old.pid, 100);
  EXPECT_EQ(w.update().blackout_ns, 2000u);
  EXPECT_EQ(w.core->services().read_blob(w.service().spec, w.service().spec_size), "spec of v2");
  EXPECT_EQ(w.core->services().read_blob(w.service().previous_spec, w.service().previous_spec_size),
            "spec of v1");
  EXPECT_EQ(w.core->sessions().direction(w.session()), Direction::kIncoming);
  EXPECT_EQ(w.updates().access(w.service(), 1), Updates::Access::kStale);
  EXPECT_EQ(w.updates().access(w.service(), 2), Updates::Access::kCurrent);
  EXPECT_EQ(code_of(w.answer(UpdateWorld::kNew, 2, Step::kFinish)), EBUSY) << "incoming sessions";
  ASSERT_TRUE(w.core->adopt_all(w.service()));
  EXPECT_EQ(w.core->sessions().direction(w.session()), Direction::kOutgoing);
  w.successor_answers(Step::kFinish);
  EXPECT_EQ(w.fake.take(), (Journal{"over 0", "retire to 1", "retire pid 100"}));
  EXPECT_EQ(w.state(), State::kNormal);
  EXPECT_EQ(w.step(), UpdateStep::kRetire);
  EXPECT_EQ(w.updates().begin(w.service(), {}).error().code, EBUSY);
  EXPECT_TRUE(w.dies(100));
  EXPECT_EQ(w.fake.take(), (Journal{"idle"}));
  EXPECT_EQ(w.step(), UpdateStep::kDone);
  EXPECT_EQ(w.service().active_update, 0u);
  EXPECT_EQ(w.update().old.pid, 0);
  EXPECT_EQ(w.updates().next_deadline(), 0u);
  using enum UpdateStep;
  EXPECT_EQ(w.fake.steps, (std::vector<UpdateStep>{kStart, kStart, kPrepare, kFreeze, kOffer,
                                                   kCommit, kFinish, kRetire}));
}

TEST(Update, TimelineShowsEveryStepAndTheBlackout) {
  UpdateWorld w;
  w.walk_to(UpdateStep::kRetire);
  w.clock.now += 500;
  w.dies(100);
  ASSERT_TRUE(w.reattach());
  std::string all;
  for (const Timeline::Entry& entry : w.updates().timeline(w.update()).entries()) {
    all += entry.who + "." + entry.what + " ";
    EXPECT_NE(entry.end_ns, 0u) << entry.who << " " << entry.what << " never ends";
  }
  EXPECT_EQ(all,
            "successor.start old.prepare old.freeze handlers.freeze successor.adopt "
            "outlived.blackout successor.finish old.retire ");
}

TEST(Update, BackToBackAndTheThirdOnes) {
  UpdateWorld w;
  for (int round = 0; round < 3; ++round) {
    const uint64_t generation = w.service().generation;
    const int64_t old_pid = w.service().current.pid;
    w.begin();
    w.launched();
    const uint64_t next = generation + 1;
    ASSERT_TRUE(w.answer(UpdateWorld::kNew, next, Step::kStart));
    ASSERT_TRUE(w.answer(UpdateWorld::kOld, generation, Step::kPrepare));
    ASSERT_TRUE(w.answer(UpdateWorld::kOld, generation, Step::kFreeze));
    ASSERT_TRUE(w.answer(UpdateWorld::kNew, next, Step::kAdopt));
    EXPECT_EQ(w.core->sessions().direction(w.session()), Direction::kIncoming);
    ASSERT_TRUE(w.core->adopt_all(w.service()));
    w.updates().sessions_changed(w.service());
    EXPECT_TRUE(w.dies(old_pid));
    EXPECT_EQ(w.service().active_update, 0u);
    w.fake.state.connections[UpdateWorld::kOld] = w.fake.state.connections[UpdateWorld::kNew];
    w.fake.state.connections.erase(UpdateWorld::kNew);
  }
  EXPECT_EQ(w.service().generation, 4u);
  EXPECT_EQ(w.service().updates, 3u);
  EXPECT_EQ(w.fds.open.size(), 5u) << "three files, the binary that runs and the one before";
  EXPECT_EQ(w.arena->pages_of(abi::kOwnerService), 2u);
}

TEST(Update, NotifyServicesHaveNoParticipants) {
  UpdateWorld w(false);
  // Its listeners are in outlived's own session, which nobody has to adopt.
  w.alter([&](Change& change) { change.set(w.session().slot->flags, abi::kSessionInternal); });
  w.begin();
  w.launched();
  EXPECT_EQ(w.step(), UpdateStep::kStart);
  ASSERT_TRUE(w.answer(0, 2, Step::kStart)) << "READY=1";
  EXPECT_EQ(w.step(), UpdateStep::kRetire) << "prepare, freeze, offer and commit wait for nobody";
  EXPECT_EQ(w.fake.take(), (Journal{"start", "over 0", "retire pid 100"}));
  EXPECT_EQ(w.service().generation, 2u);
  EXPECT_TRUE(w.dies(100));
  EXPECT_EQ(w.step(), UpdateStep::kDone);
}

TEST(Update, PlanRefuses) {
  UpdateWorld w;
  w.alter([&](Change& change) {
    change.set(w.service().state, static_cast<uint64_t>(abi::ServiceState::kBackoff));
  });
  EXPECT_EQ(w.updates().begin(w.service(), {}).error().code, EINVAL);
  EXPECT_TRUE(w.fake.take().empty());
  EXPECT_EQ(w.core->records().count(abi::PoolKind::kUpdate), 0u);
}

TEST(Update, NthFailureOfBeginLeavesNothing) {
  for (const char* point : {"luo.slot", "kho.alloc", "kho.preserve"}) {
    for (int n = 0;; ++n) {
      UpdateWorld w;
      Result<abi::UpdateSlot*> made = fail(EIO, "");
      int hits = 0;
      {
        kho::FailNth fail(point, n, ENOMEM);
        made = w.updates().begin(w.service(), {.spec = "x"});
        hits = fail.hits();
      }
      if (hits <= n) break;
      if (made) {
        EXPECT_EQ((*made)->timeline, 0u) << "only the timeline may be missing";
        continue;
      }
      EXPECT_EQ(made.error().code, ENOMEM);
      EXPECT_EQ(w.service().active_update, 0u);
      EXPECT_EQ(w.arena->pages_of(abi::kOwnerService), 1u);
      EXPECT_EQ(w.arena->pages_of(abi::kOwnerTimeline), 0u);
      EXPECT_TRUE(w.updates().begin(w.service(), {.spec = "x"}));
    }
  }
}

TEST(Update, StartFails) {
  UpdateWorld w;
  w.fake.start_error = ENOENT;
  w.begin();
  EXPECT_EQ(w.fake.take(),
            (Journal{"start", "drop generation 2", "cancel to 1", "over ENOENT", "idle"}));
  expect_rolled_back(w, ENOENT);
  EXPECT_NE(std::string(w.update().reason).find("no such file"), std::string::npos);
}

TEST(Update, LaunchFailsLater) {
  UpdateWorld w;
  w.begin();
  const int64_t binary = w.fds.make(FileKind::kRegular).get();
  const int64_t notify = w.fds.make(FileKind::kUnixDatagram).get();
  w.updates().successor_started(w.update(), {0, -1, 0, 9, notify, binary});
  w.updates().start_failed(w.update(), fail(EACCES, "exec"));
  expect_rolled_back(w, EACCES);
}

struct Where {
  UpdateStep step;
  bool handlers_frozen;
};
class BeforeCommit : public testing::TestWithParam<Where> {
 protected:
  // What must be heard, and in this order, once the successor is gone.
  void expect_cancel_after_death(UpdateWorld& w, int code) {
    EXPECT_EQ(w.updates().access(w.service(), 2), Updates::Access::kStale)
        << "it gets nothing more";
    for (const std::string& line : w.fake.journal) {
      EXPECT_EQ(line.find("cancel"), line.npos) << "the old one serves only when it is gone";
    }
    EXPECT_TRUE(w.script.journal.empty()) << "and handlers unfreeze only then";
    EXPECT_EQ(w.fake.take(), (Journal{"kill 200"}));
    EXPECT_EQ(w.service().active_update, w.update_address);
    EXPECT_TRUE(w.dies(200));
    EXPECT_EQ(w.fake.take(), (Journal{"drop generation 2", "cancel to 1",
                                      fmt::format("over {}", errno_name(code)), "idle"}));
    EXPECT_EQ(w.script.take(), GetParam().handlers_frozen
                                   ? (Journal{"pool.cancel 700", "socket.unfreeze 12",
                                              "pipe.unfreeze 11", "memfd.unfreeze 10"})
                                   : Journal{});
    expect_rolled_back(w, code);
  }
  void reach(UpdateWorld& w) {
    w.walk_to(GetParam().step);
    w.fake.take();
    w.script.take();
  }
};

TEST_P(BeforeCommit, SuccessorVetoes) {
  UpdateWorld w;
  reach(w);
  ASSERT_TRUE(w.updates().veto(w.service(), UpdateWorld::kNew, 2, Step::kAdopt,
                               w.update().header.id, "checksum differs"));
  expect_cancel_after_death(w, ECANCELED);
  EXPECT_NE(std::string(w.update().reason).find("checksum differs"), std::string::npos);
}

TEST_P(BeforeCommit, SuccessorDies) {
  UpdateWorld w;
  reach(w);
  EXPECT_TRUE(w.dies(200));
  EXPECT_EQ(w.fake.take(), (Journal{"drop generation 2", "cancel to 1", "over ECHILD", "idle"}));
  expect_rolled_back(w, ECHILD);
}

TEST_P(BeforeCommit, DeadlinePasses) {
  UpdateWorld w;
  reach(w);
  const uint64_t deadline = w.updates().next_deadline();
  ASSERT_NE(deadline, 0u);
  w.updates().tick(deadline - 1);
  EXPECT_TRUE(w.fake.journal.empty());
  w.clock.now = deadline;
  w.updates().tick(deadline);
  w.updates().tick(deadline + 1);
  expect_cancel_after_death(w, ETIMEDOUT);
}

TEST_P(BeforeCommit, OperatorCancels) {
  UpdateWorld w;
  reach(w);
  ASSERT_TRUE(w.updates().cancel(w.update(), ECANCELED, "by hand"));
  ASSERT_TRUE(w.updates().cancel(w.update(), EIO, "once more: the first reason stays"));
  expect_cancel_after_death(w, ECANCELED);
  EXPECT_EQ(std::string(w.update().reason), "by hand");
  EXPECT_EQ(code_of(w.updates().cancel(w.update(), EIO, "")), EINVAL);
}

TEST_P(BeforeCommit, OldOneDies) {
  UpdateWorld w;
  reach(w);
  if (GetParam().step == UpdateStep::kOffer) {
    EXPECT_TRUE(w.dies(100)) << "what it left is whole: the update goes forward";
    EXPECT_TRUE(w.fake.take().empty());
    w.successor_answers(Step::kAdopt);
    EXPECT_EQ(w.service().generation, 2u);
    ASSERT_TRUE(w.core->adopt_all(w.service()));
    w.updates().sessions_changed(w.service());
    EXPECT_EQ(w.step(), UpdateStep::kDone) << "there is nobody to retire";
    return;
  }
  EXPECT_FALSE(w.dies(100)) << "its restart policy applies";
  expect_cancel_after_death(w, ECHILD);
}

TEST_P(BeforeCommit, WorkerDiesAndItBeginsAnewUpToItsAttempts) {
  UpdateWorld w;
  reach(w);
  for (uint64_t attempt = 1; attempt < w.updates().times.attempts; ++attempt) {
    const int64_t pid = w.update().successor.pid;
    w.worker_dies();
    EXPECT_EQ(w.update().attempts, attempt);
    EXPECT_EQ(w.fake.take(), (Journal{"worker dies", fmt::format("kill {}", pid)}));
    EXPECT_TRUE(w.dies(pid));
    EXPECT_EQ(w.fake.take(), (Journal{"drop generation 2", "cancel to 1", "start"}));
    EXPECT_EQ(w.update().attempts, attempt + 1);
    EXPECT_EQ(w.step(), UpdateStep::kStart);
    EXPECT_EQ(w.state(), State::kNormal);
    EXPECT_EQ(w.service().rollbacks, 0u);
    w.successor_ready();
    w.fake.take();
  }
  const int64_t pid = w.update().successor.pid;
  w.worker_dies();
  w.fake.take();
  EXPECT_TRUE(w.dies(pid));
  EXPECT_EQ(w.fake.take(), (Journal{"drop generation 2", "cancel to 1", "over EAGAIN", "idle"}));
  expect_rolled_back(w, EAGAIN);
}

TEST_P(BeforeCommit, WorkerDiesAndTheNextTrySucceeds) {
  UpdateWorld w;
  reach(w);
  w.worker_dies();
  EXPECT_TRUE(w.dies(200));
  w.successor_ready();
  w.old_answers(Step::kPrepare);
  w.old_answers(Step::kFreeze);
  w.successor_answers(Step::kAdopt);
  EXPECT_EQ(w.service().generation, 2u);
  EXPECT_EQ(w.service().current.pid, 201);
}

TEST_P(BeforeCommit, WorkerAndSuccessorDieTogether) {
  UpdateWorld w;
  reach(w);
  w.fake.state.alive.erase(200);
  w.worker_dies();
  EXPECT_EQ(w.fake.take(), (Journal{"worker dies", "drop generation 2", "cancel to 1", "start"}));
  EXPECT_EQ(w.update().attempts, 2u);
}

INSTANTIATE_TEST_SUITE_P(Update, BeforeCommit,
                         testing::Values(Where{UpdateStep::kStart, false},
                                         Where{UpdateStep::kPrepare, false},
                                         Where{UpdateStep::kFreeze, false},
                                         Where{UpdateStep::kOffer, true}),
                         [](const auto& one) { return std::string(name_of(one.param.step)); });

TEST(Update, OldOneVetoes) {
  for (const UpdateStep at : {UpdateStep::kPrepare, UpdateStep::kFreeze}) {
    UpdateWorld w;
    w.walk_to(at);
    ASSERT_TRUE(w.updates().veto(w.service(), UpdateWorld::kOld, 1, Step::kPrepare, 0, "busy"));
    EXPECT_TRUE(w.dies(200));
    expect_rolled_back(w, ECANCELED);
  }
}

TEST(Update, VetoesOfNobody) {
  UpdateWorld w;
  const auto veto = [&](uint64_t connection, uint64_t generation, uint64_t id) {
    return code_of(w.updates().veto(w.service(), connection, generation, Step::kAdopt, id, "x"));
  };
  EXPECT_EQ(veto(UpdateWorld::kOld, 1, 0), EINVAL) << "no update";
  w.walk_to(UpdateStep::kStart);
  EXPECT_EQ(veto(UpdateWorld::kOld, 1, 0), EINVAL) << "nobody asked the old one";
  EXPECT_EQ(veto(UpdateWorld::kNew, 2, 4711), EINVAL) << "another update's";
  EXPECT_EQ(veto(UpdateWorld::kNew, 2, 0), 0);
  EXPECT_EQ(veto(UpdateWorld::kNew, 2, 0), EINVAL) << "it is being cancelled";
}

TEST(Update, AnswersThatAreLateOrEarly) {
  UpdateWorld w;
  EXPECT_EQ(code_of(w.updates().ready(w.service(), 1, 1, Step::kPrepare, 0)), EINVAL);
  w.begin();
  w.launched();
  EXPECT_EQ(code_of(w.answer(UpdateWorld::kOld, 1, Step::kStart)), EINVAL) << "not the successor";
  EXPECT_EQ(code_of(w.answer(UpdateWorld::kOld, 1, Step::kPrepare)), EINVAL) << "not asked yet";
  EXPECT_EQ(code_of(w.updates().ready(w.service(), 2, 2, Step::kStart, 4711)), EINVAL);
  ASSERT_TRUE(w.answer(UpdateWorld::kNew, 2, Step::kStart));
  EXPECT_EQ(code_of(w.answer(UpdateWorld::kNew, 2, Step::kStart)), EINVAL) << "twice";
  EXPECT_EQ(code_of(w.answer(UpdateWorld::kOld, 1, Step::kFreeze)), EINVAL) << "early";
  EXPECT_EQ(code_of(w.answer(77, 1, Step::kPrepare)), EINVAL) << "a stranger";
  w.old_answers(Step::kPrepare);
  EXPECT_EQ(code_of(w.answer(UpdateWorld::kOld, 1, Step::kPrepare)), EINVAL) << "late";
  EXPECT_EQ(w.step(), UpdateStep::kFreeze);
}

TEST(Update, TwoParticipantsAreBothWaitedFor) {
  UpdateWorld w;
  w.fake.state.connections[7] = {w.service_address, 1, 0};
  w.walk_to(UpdateStep::kPrepare);
  w.old_answers(Step::kPrepare);
  EXPECT_EQ(w.step(), UpdateStep::kPrepare);
  ASSERT_TRUE(w.answer(7, 1, Step::kPrepare));
  w.old_answers(Step::kFreeze);
  EXPECT_TRUE(w.updates().frozen_for(w.service(), UpdateWorld::kOld));
  EXPECT_FALSE(w.updates().frozen_for(w.service(), 7)) << "what came since may be preserved";
  ASSERT_TRUE(w.answer(7, 1, Step::kFreeze));
  EXPECT_EQ(w.step(), UpdateStep::kOffer);
}

TEST(Update, AParticipantHangsUpWhileItIsAsked) {
  UpdateWorld w;
  w.walk_to(UpdateStep::kFreeze);
  w.updates().connection_closed(4711);
  EXPECT_EQ(w.fake.state.killed.size(), 0u);
  w.updates().connection_closed(UpdateWorld::kOld);
  EXPECT_TRUE(w.dies(200));
  expect_rolled_back(w, ECONNRESET);
}

TEST(Update, HandlerFreezeFailureUnfreezesJustThoseFrozen) {
  UpdateWorld w;
  w.walk_to(UpdateStep::kFreeze);
  w.script.failing["socket.freeze"] = EBUSY;
  w.fake.take();
  w.old_answers(Step::kFreeze);
  EXPECT_EQ(w.script.take(), (Journal{"memfd.freeze 10", "pipe.freeze 11", "socket.freeze 12",
                                      "pipe.unfreeze 11", "memfd.unfreeze 10"}));
  EXPECT_EQ(w.fake.take(), (Journal{"kill 200"}));
  EXPECT_TRUE(w.dies(200));
  EXPECT_TRUE(w.script.take().empty()) << "not once more";
  expect_rolled_back(w, EBUSY);
}

TEST(Update, SuccessorThatCantReadTheStateIsRefused) {
  UpdateWorld w;
  w.begin();
  w.launched();
  w.fake.state.connections[UpdateWorld::kNew].versions = UpdateWorld::version(9, 4);
  EXPECT_EQ(code_of(w.answer(UpdateWorld::kNew, 2, Step::kStart)), EPROTO);
  EXPECT_TRUE(w.dies(200));
  expect_rolled_back(w, EPROTO);
  EXPECT_NE(std::string(w.update().reason).find("version 3"), std::string::npos);
  EXPECT_NE(std::string(w.update().reason).find("reads 4"), std::string::npos);
}

// ---- after commit: only forward
// ---------------------------------------------------------------------

TEST(Update, AfterCommitNothingRollsBack) {
  UpdateWorld w;
  w.walk_to(UpdateStep::kCommit);
  w.fake.take();
  EXPECT_EQ(code_of(w.updates().veto(w.service(), UpdateWorld::kNew, 2, Step::kAdopt, 0, "x")),
            EINVAL);
  EXPECT_EQ(code_of(w.updates().cancel(w.update(), EIO, "x")), EINVAL);
  w.clock.now = w.updates().next_deadline();
  w.updates().tick(w.clock.now);
  EXPECT_EQ(w.updates().next_deadline(), 0u) << "it is reported, and that is all";
  EXPECT_TRUE(w.fake.take().empty());
  EXPECT_EQ(w.state(), State::kUpdated);
}

TEST(Update, SuccessorDiesAfterCommitAndIsRestartedLikeAnyService) {
  UpdateWorld w;
  w.walk_to(UpdateStep::kCommit);
  EXPECT_FALSE(w.dies(200));
  w.alter([&](Change& change) {
    w.core->services().generation_passed(change, w.service());
    change.set(w.service().current.pid, int64_t{300});
  });
  EXPECT_EQ(w.core->sessions().direction(w.session()), Direction::kIncoming)
      << "the next try is offered it again";
  ASSERT_TRUE(w.core->adopt_all(w.service()));
  w.updates().sessions_changed(w.service());
  EXPECT_EQ(w.step(), UpdateStep::kRetire);
  EXPECT_TRUE(w.dies(100));
  EXPECT_EQ(w.step(), UpdateStep::kDone);
  EXPECT_EQ(w.service().current.pid, 300);
}

TEST(Update, OldOneLeavesBeforeItIsAsked) {
  UpdateWorld w;
  w.walk_to(UpdateStep::kCommit);
  EXPECT_TRUE(w.dies(100));
  EXPECT_EQ(w.step(), UpdateStep::kCommit);
  ASSERT_TRUE(w.core->adopt_all(w.service()));
  w.updates().sessions_changed(w.service());
  EXPECT_EQ(w.step(), UpdateStep::kDone);
}

TEST(Update, OldOneThatStaysIsKilledAfterItsGraceTime) {
  UpdateWorld w;
  w.walk_to(UpdateStep::kRetire);
  w.fake.take();
  w.clock.now = w.updates().next_deadline();
  w.updates().tick(w.clock.now);
  w.updates().tick(w.clock.now + 1);
  EXPECT_EQ(w.fake.take(), (Journal{"kill 100"})) << "once";
  EXPECT_TRUE(w.dies(100));
  EXPECT_EQ(w.step(), UpdateStep::kDone);
}

TEST(Update, WorkerDiesAfterCommitAndItIsCarriedOn) {
  UpdateWorld w;
  w.walk_to(UpdateStep::kCommit);
  w.fake.take();
  w.worker_dies();
  EXPECT_EQ(w.fake.take(), (Journal{"worker dies", "committed to 2"}));
  EXPECT_EQ(w.state(), State::kUpdated);
  EXPECT_EQ(w.update().attempts, 1u);
  EXPECT_EQ(w.core->sessions().direction(w.session()), Direction::kIncoming);
  ASSERT_TRUE(w.core->adopt_all(w.service()));
  w.updates().sessions_changed(w.service());
  w.fake.take();
  w.worker_dies();
  EXPECT_EQ(w.fake.take(), (Journal{"worker dies", "retire to 1", "retire pid 100"}));
  w.fake.state.alive.erase(100);
  w.worker_dies();
  EXPECT_EQ(w.fake.take(), (Journal{"worker dies", "idle"})) << "it left while nobody looked";
  EXPECT_EQ(w.step(), UpdateStep::kDone);
}

// ---- records
// ------------------------------------------------------------------------------------------

TEST(Update, SixtyFourAreKept) {
  UpdateWorld w;
  w.fake.start_error = ENOENT;
  std::vector<uint64_t> ids;
  for (int i = 0; i < 70; ++i) {
    w.begin();
    ids.push_back(w.update().header.id);
  }
  EXPECT_EQ(w.core->records().count(abi::PoolKind::kUpdate), 64u);
  EXPECT_EQ(w.arena->pages_of(abi::kOwnerTimeline), 64u);
  EXPECT_EQ(w.updates().find(ids[5]), nullptr) << "the oldest ones went";
  EXPECT_NE(w.updates().find(ids[6]), nullptr);
  EXPECT_NE(w.updates().find_request({5, 70}), nullptr);
  EXPECT_EQ(w.updates().find_request({5, 71}), nullptr);
  EXPECT_EQ(w.service().rollbacks, 70u);
}

TEST(Update, HostileRecordsAreRefused) {
  const std::vector<std::function<void(abi::UpdateSlot&)>> damages = {
      [](auto& slot) { slot.service = 4096; },
      [](auto& slot) { slot.step = 10; },
      [](auto& slot) { slot.state = 5; },
      [](auto& slot) { slot.timeline = 4096; },
      [](auto& slot) { slot.timeline = slot.spec; },
      [](auto& slot) { slot.spec = 4096; },
      [](auto& slot) { memset(slot.reason, 'x', sizeof slot.reason); },
  };
  for (size_t i = 0; i < damages.size(); ++i) {
    UpdateWorld w;
    w.walk_to(UpdateStep::kStart);
    damages[i](w.update());
    EXPECT_EQ(code_of(w.reattach()), EUCLEAN) << i;
  }
  UpdateWorld w;
  w.service().active_update = 4096;
  EXPECT_EQ(code_of(w.reattach()), EUCLEAN);
}

}  // namespace
}  // namespace outlive::luo
