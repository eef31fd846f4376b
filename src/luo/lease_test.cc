#include "luo/lease.h"

#include "luo/update_host_test.h"

namespace outlive::luo {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kHour = 3600 * kSecond;

struct LeaseWorld : LuoWorld {
  LeaseWorld() { lease_ns = kHour; }
  void let_go(Session& session) {
    alter([&](Change& change) { core->leases().unheld(change, session); });
    core->leases().start(session);
  }
  size_t due() { return core->leases().due().size(); }
  Session& only() { return *core->sessions().find({}, "s"); }
};

TEST(Lease, EndsWhenNobodyClaims) {
  LeaseWorld w;
  Session& s = w.session("s");
  ASSERT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kMemfd)));
  EXPECT_EQ(w.core->leases().ends_ns(s), 0u) << "somebody holds it";
  EXPECT_EQ(w.core->leases().next_in_ns(), UINT64_MAX);
  w.let_go(s);
  EXPECT_EQ(w.core->leases().ends_ns(s), w.clock.steady_ns() + kHour);
  EXPECT_EQ(w.core->leases().next_in_ns(), kHour);
  w.clock.now += kHour - 1;
  EXPECT_EQ(w.due(), 0u);
  EXPECT_EQ(w.core->leases().next_in_ns(), 1u);
  w.clock.now += 1;
  const std::vector<Session*> due = w.core->leases().due();
  ASSERT_EQ(due.size(), 1u);
  w.core->give_up(*due[0]);
  EXPECT_EQ(w.core->sessions().size(), 0u);
  EXPECT_TRUE(w.fds.open.empty());
}

TEST(Lease, ClaimedInTimeAndLetGoAgainItStartsAnew) {
  LeaseWorld w;
  Session& s = w.session("s");
  w.let_go(s);
  w.clock.now += kHour / 2;
  w.alter([&](Change& change) { w.core->leases().claimed(change, s); });
  EXPECT_EQ(w.core->leases().ends_ns(s), 0u);
  w.clock.now += kHour;
  EXPECT_EQ(w.due(), 0u);
  w.let_go(s);
  w.clock.now += kHour - 1;
  EXPECT_EQ(w.due(), 0u);
  w.clock.now += 1;
  EXPECT_EQ(w.due(), 1u);
}

TEST(Lease, OfZeroNeverEnds) {
  LeaseWorld w;
  w.lease_ns = 0;
  Session& s = w.session("s");
  w.let_go(s);
  EXPECT_EQ(w.core->leases().ends_ns(s), 0u);
  w.clock.now += 1000 * kHour;
  EXPECT_EQ(w.due(), 0u);
}

TEST(Lease, GoesOnOverADeathOfTheWorker) {
  LeaseWorld w;
  w.let_go(w.session("s"));
  w.clock.now += kHour / 2;
  ASSERT_TRUE(w.reattach());
  w.clock.now += kHour / 2 - 1;
  EXPECT_EQ(w.due(), 0u);
  w.clock.now += 1;
  EXPECT_EQ(w.due(), 1u);
}

TEST(Lease, HasAGraceAfterADeathOfTheWorker) {
  LeaseWorld w;
  w.let_go(w.session("s"));
  w.clock.now += 2 * kHour;  // nobody could claim: there was no worker
  ASSERT_TRUE(w.reattach());
  EXPECT_EQ(w.due(), 0u);
  EXPECT_EQ(w.core->leases().next_in_ns(), Leases::kGrace);
  w.lease_ns = kSecond;  // no more than all of it
  ASSERT_TRUE(w.reattach());
  EXPECT_EQ(w.core->leases().next_in_ns(), kSecond);
}

TEST(Lease, AClockThatJumpedEndsNoneEarly) {
  LeaseWorld w;
  w.let_go(w.session("s"));
  w.clock.now = 5;  // set back while outlived was replaced: the record is of the future
  w.alter([&](Change& change) {
    change.set(w.only().slot->orphaned_ns, w.clock.steady_ns() + 100 * kHour);
  });
  ASSERT_TRUE(w.reattach());
  EXPECT_EQ(w.core->leases().next_in_ns(), kHour);
  w.clock.now = 100 * kHour;
  w.alter([&](Change& change) { change.set(w.only().slot->orphaned_ns, uint64_t{1}); });
  ASSERT_TRUE(w.reattach());  // set forward: everybody has a minute
  EXPECT_EQ(w.core->leases().next_in_ns(), Leases::kGrace);
}

TEST(Lease, WaitsForAnUpdateOfItsService) {
  UpdateWorld w;
  w.lease_ns = kHour;
  w.alter([&](Change& change) { w.core->leases().unheld(change, w.session()); });
  w.core->leases().start(w.session());
  EXPECT_EQ(w.core->sessions().direction(w.session()), Direction::kOutgoing)
      << "of one that serves";
  w.clock.now += kHour;
  w.walk_to(abi::UpdateStep::kOffer);
  EXPECT_TRUE(w.core->leases().due().empty());
  EXPECT_EQ(w.core->leases().next_in_ns(), Leases::kBusyPause);
  w.successor_answers(abi::Step::kAdopt);
  w.clock.now += Leases::kBusyPause;
  const std::vector<Session*> due = w.core->leases().due();
  ASSERT_EQ(due.size(), 1u);
  w.core->give_up(*due[0]);
  EXPECT_EQ(w.step(), abi::UpdateStep::kRetire) << "nothing is left that could be finished";
}

TEST(Lease, ANewSessionInTheSlotIsNotEnded) {
  LeaseWorld w;
  Session& s = w.session("s");
  const uint64_t address = s.address;
  w.let_go(s);
  ASSERT_TRUE(w.core->end_session(s, false));
  Session& next = w.session("t");
  ASSERT_EQ(next.address, address) << "the slot is used again";
  w.clock.now += kHour;
  EXPECT_EQ(w.due(), 0u);
}

}  // namespace
}  // namespace outlive::luo
