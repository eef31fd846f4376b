// Every way in which an update can be cancelled: before commit, everything is rolled back.
#include "luo/update.h"
#include "luo/update_host_test.h"

namespace outlive::luo {
namespace {

using abi::Step;
using abi::UpdateStep;

int code_of(const Status& status) {
  return status ? 0 : status.error().code;
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

}  // namespace
}  // namespace outlive::luo
