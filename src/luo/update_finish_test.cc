// A finish that breaks an invariant: the service stays in `updated`, takes no further update, and
// says why; the next worker looks again.
#include "luo/finish_check.h"
#include "luo/update_host_test.h"

namespace outlive::luo {
namespace {

using abi::UpdateStep;

Status check(UpdateWorld& w) {
  return check_finished(w.core->context(), w.core->sessions(), w.core->files().flbs(),
                        w.service_address);
}

// As far as the finish, which finds something.
void walk_to_failure(UpdateWorld& w) {
  w.walk_to(UpdateStep::kCommit);
  kho::FailNth fail("luo.finish", 0, EUCLEAN);
  ASSERT_TRUE(w.core->adopt_all(w.service()));
  w.updates().sessions_changed(w.service());
}

void expect_failed(UpdateWorld& w) {
  EXPECT_EQ(w.state(), State::kUpdated);
  EXPECT_EQ(w.step(), UpdateStep::kCommit);
  EXPECT_EQ(w.update().result, EUCLEAN);
  EXPECT_TRUE(w.updates().any_finish_failed());
  EXPECT_EQ(w.updates().finish_failure(w.service()), "injected");
  EXPECT_EQ(w.updates().next_deadline(), 0u) << "nobody is waited for";
  const auto next = w.updates().begin(w.service(), {.spec = "next"});
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, EUCLEAN);
  EXPECT_NE(next.error().message.find("injected"), std::string::npos);
  EXPECT_EQ(w.updates().can_begin_host().error().code, EUCLEAN);
}

TEST(UpdateFinish, OneThatFailsStaysInUpdatedAndTakesNoFurtherUpdate) {
  UpdateWorld w;
  walk_to_failure(w);
  expect_failed(w);
  EXPECT_EQ(std::ranges::count(w.fake.journal, "over EUCLEAN"), 1) << "who waits is told";
  EXPECT_EQ(std::ranges::count(w.fake.journal, "retire pid 100"), 0) << "it goes no further";
  EXPECT_EQ(w.core->sessions().direction(w.session()), Direction::kOutgoing) << "it serves";
  // What happens to the service meanwhile changes nothing.
  w.updates().sessions_changed(w.service());
  w.updates().given_up(w.service(), "it ended for good");
  EXPECT_EQ(w.updates()
                .ready(w.service(), UpdateWorld::kNew, 2, abi::Step::kFinish, w.update().header.id)
                .error()
                .code,
            EUCLEAN);
  expect_failed(w);
}

TEST(UpdateFinish, TheNextWorkerLooksAgain) {
  UpdateWorld w;
  walk_to_failure(w);
  {
    kho::FailNth fail("luo.finish", 0, EUCLEAN);
    w.worker_dies();
  }
  expect_failed(w);
  w.worker_dies();
  EXPECT_EQ(w.state(), State::kNormal);
  EXPECT_FALSE(w.updates().any_finish_failed());
  EXPECT_EQ(w.update().result, 0);
  EXPECT_STREQ(w.update().reason, "");
  w.dies(100);
  EXPECT_TRUE(w.updates().begin(w.service(), {.spec = "next", .request_id = {6, 6}}));
}

TEST(UpdateFinish, TheEndOfTheServiceEndsIt) {
  UpdateWorld w;
  walk_to_failure(w);
  w.core->remove_service(w.service());
  EXPECT_FALSE(w.updates().any_finish_failed());
  kho::expect_consistent(*w.arena);
}

TEST(UpdateFinish, TheCheckFindsWhatDoesntFit) {
  UpdateWorld w;
  EXPECT_TRUE(check(w));
  abi::FileSlot& file = *w.session().files.find(1);
  w.session().files.remove(file);
  EXPECT_NE(check(w).error().message.find("3 files are recorded, 2 are known"), std::string::npos);
  w.session().files.add(file);
  ASSERT_NE(file.flb, 0u);
  const uint64_t flb = file.flb;
  w.alter([&](Change& change) { change.set(file.flb, 0); });
  EXPECT_NE(check(w).error().message.find("files hold it"), std::string::npos);
  w.alter([&](Change& change) { change.set(file.flb, flb); });
  const uint64_t session = file.session;
  w.alter([&](Change& change) { change.set(file.session, uint64_t{4096}); });
  EXPECT_NE(check(w).error().message.find("is of no session"), std::string::npos);
  w.alter([&](Change& change) { change.set(file.session, session); });
  EXPECT_TRUE(check(w));
  w.alter([&](Change& change) { change.set(w.service().outgoing_from, uint64_t{2}); });
  EXPECT_NE(check(w).error().message.find("still incoming"), std::string::npos);
}

}  // namespace
}  // namespace outlive::luo
