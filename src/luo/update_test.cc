// The steps of an update in order, and what follows the commit.
#include "luo/update.h"

#include "luo/update_host_test.h"

namespace outlive::luo {
namespace {

using abi::Step;
using abi::UpdateStep;

int code_of(const Status& status) {
  return status ? 0 : status.error().code;
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
  using enum UpdateStep;
  EXPECT_EQ(w.fake.steps,
            (std::vector<UpdateStep>{kStart, kStart, kPrepare, kFreeze, kOffer, kCommit}));
}

TEST(Update, HappyPathAfterCommit) {
  UpdateWorld w;
  w.walk_to(UpdateStep::kCommit);
  w.fake.take();
  w.fake.steps.clear();
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
  EXPECT_EQ(w.fake.steps, (std::vector<UpdateStep>{UpdateStep::kFinish, UpdateStep::kRetire}));
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

// ---- after commit: only forward ----

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

TEST(Update, CommittedAndThenDownForGoodIsOver) {
  UpdateWorld w;
  w.walk_to(UpdateStep::kOffer);
  w.updates().given_up(w.service(), "before commit it is a cancel's business");
  EXPECT_EQ(w.step(), UpdateStep::kOffer);
  w.successor_answers(Step::kAdopt);
  w.fake.take();
  EXPECT_FALSE(w.dies(200));
  w.alter([&](Change& change) { w.core->services().generation_passed(change, w.service()); });
  w.updates().given_up(w.service(), "it ended ten times");
  EXPECT_EQ(w.fake.take(), (Journal{"retire to 1", "retire pid 100"}));
  EXPECT_EQ(w.step(), UpdateStep::kRetire);
  EXPECT_STREQ(w.update().reason, "it ended ten times");
  ASSERT_TRUE(w.reattach());
  w.updates().resume();
  w.fake.take();
  EXPECT_TRUE(w.dies(100));
  EXPECT_EQ(w.fake.take(), (Journal{"idle"}));
  EXPECT_EQ(w.updates().active(w.service()), nullptr) << "the next one may begin";
  EXPECT_EQ(w.core->sessions().direction(w.session()), Direction::kIncoming)
      << "and finds what there is";
  EXPECT_EQ(w.service().updates, 1u);
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

// ---- records ----

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
