#include "machine/process/takeover.h"

#include <gtest/gtest.h>

#include "base/sys.h"
#include "machine/process/rehearsal.h"

namespace outlive::machine {
namespace {

using State = abi::TakeoverState;

class TakeoverTest : public testing::Test {
 protected:
  Result<uint64_t> ask(uint64_t id) {
    Takeover::Request request;
    request.id[0] = request.id[1] = id;
    request.binary = sys::open("/dev/null", O_RDONLY).take();
    request.image = sys::open("/dev/null", O_RDONLY).take();
    return takeover_.ask(std::move(request), 1000);
  }

  Control control_ = Control::create().take();
  Takeover takeover_{control_};
};

TEST_F(TakeoverTest, OneAtATime) {
  EXPECT_EQ(ask(7).take(), 1u);
  const uint64_t seven[2] = {7, 7};
  EXPECT_TRUE(takeover_.is_current(seven));
  EXPECT_FALSE(takeover_.outcome_of(seven));
  const auto second = ask(8);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, EBUSY);
}

TEST_F(TakeoverTest, TheSameRequestFindsItsOutcome) {
  ASSERT_TRUE(ask(7));
  takeover_.give_reason("the first reason");
  takeover_.give_reason("a later one");
  takeover_.settle(abi::TakeoverResult::kRefused, ENOEXEC, 5000);
  takeover_.settle(abi::TakeoverResult::kUpdated, 0, 6000);  // repeated: the first one counts
  EXPECT_TRUE(takeover_.move(State::kAsked, State::kIdle));
  ASSERT_TRUE(ask(8));
  const uint64_t seven[2] = {7, 7};
  const auto outcome = takeover_.outcome_of(seven);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->result, static_cast<uint64_t>(abi::TakeoverResult::kRefused));
  EXPECT_EQ(outcome->error, static_cast<uint64_t>(ENOEXEC));
  EXPECT_EQ(outcome->total_ns, 4000u);
  EXPECT_EQ(Takeover::text_of(outcome->reason), "the first reason");
}

TEST_F(TakeoverTest, EachStepIsWrittenDownOnce) {
  using Times = abi::TakeoverTimes;
  EXPECT_EQ(takeover_.times_of(0), nullptr);
  takeover_.note(&Times::rehearsed_ns, 1);  // of nobody
  const uint64_t first = ask(7).take();
  const Times& times = *takeover_.times_of(first);
  EXPECT_EQ(times.asked_ns, 1000u);
  EXPECT_NE(times.started_ns, 0u);
  takeover_.note(&Times::rehearsed_ns, 2000);
  takeover_.note(&Times::rehearsed_ns, 3000);
  EXPECT_EQ(times.rehearsed_ns, 2000u);
  takeover_.note_serving(4000);
  EXPECT_EQ(times.serving_ns, 0u) << "nobody had stopped";
  takeover_.note(&Times::stopped_ns, 3000);
  takeover_.note_serving(4000);
  EXPECT_EQ(times.serving_ns, 4000u);
  takeover_.settle(abi::TakeoverResult::kRolledBack, 0, 5000);
  EXPECT_EQ(times.ended_ns, 5000u);
  EXPECT_TRUE(takeover_.move(State::kAsked, State::kIdle));
  const uint64_t second = ask(8).take();
  EXPECT_EQ(times.rehearsed_ns, 2000u);
  EXPECT_EQ(takeover_.times_of(second)->rehearsed_ns, 0u);
  takeover_.note_of(first, &Times::back_ns, 6000);
  EXPECT_EQ(times.back_ns, 6000u);
  // As many as are remembered later its place is another one's.
  uint64_t last = second;
  while (last < first + abi::kTakeoverOutcomes) {
    takeover_.settle(abi::TakeoverResult::kUpdated, 0, 7000);
    ASSERT_TRUE(takeover_.move(State::kAsked, State::kIdle));
    last = ask(9).take();
  }
  EXPECT_EQ(takeover_.times_of(first), nullptr);
  takeover_.note_of(first, &Times::back_serving_ns, 8000);
  EXPECT_EQ(takeover_.times_of(last)->back_serving_ns, 0u);
  EXPECT_EQ(takeover_.times_of(last)->rehearsed_ns, 0u);
}

TEST_F(TakeoverTest, OfOneIdTheLastOutcomeCounts) {
  ASSERT_TRUE(ask(7));
  takeover_.settle(abi::TakeoverResult::kRehearsed, 0, 5000);
  ASSERT_TRUE(takeover_.move(State::kAsked, State::kIdle));
  EXPECT_FALSE(takeover_.last_outcome()) << "a rehearsal alone is no update";
  takeover_.close_leftovers(1, true);
  EXPECT_TRUE(takeover_.last_binary()) << "kept for the request that follows";
  ASSERT_TRUE(ask(7));
  takeover_.settle(abi::TakeoverResult::kRolledBack, 0, 6000);
  ASSERT_TRUE(takeover_.move(State::kAsked, State::kIdle));
  const uint64_t seven[2] = {7, 7};
  EXPECT_EQ(takeover_.outcome_of(seven)->result,
            static_cast<uint64_t>(abi::TakeoverResult::kRolledBack));
  EXPECT_EQ(takeover_.outcomes_of(seven), 2u);
  const uint64_t eight[2] = {8, 8};
  EXPECT_EQ(takeover_.outcomes_of(eight), 0u);
  takeover_.close_leftovers(2);
  EXPECT_EQ(takeover_.last_binary().error().code, ENOENT);
}

TEST_F(TakeoverTest, OnlyOneOfCommitAndRevertWins) {
  ASSERT_TRUE(ask(7));
  ASSERT_TRUE(takeover_.move(State::kAsked, State::kExecd));
  store_word(takeover_.block().spare_ready, takeover_.number());
  EXPECT_TRUE(takeover_.commit());
  EXPECT_FALSE(takeover_.move(State::kExecd, State::kReverted));
  ASSERT_TRUE(takeover_.move(State::kCommitted, State::kExecd));
  EXPECT_TRUE(takeover_.move(State::kExecd, State::kReverted));
  EXPECT_FALSE(takeover_.commit());
}

TEST_F(TakeoverTest, AWorkerThatIsTooLateGoesOn) {
  ASSERT_TRUE(ask(7));
  ASSERT_TRUE(takeover_.move(State::kAsked, State::kStopping));
  EXPECT_TRUE(takeover_.wants_stop());
  ASSERT_TRUE(takeover_.move(State::kStopping, State::kIdle));  // the keeper gave up
  EXPECT_FALSE(takeover_.stopped(2000));
}

TEST_F(TakeoverTest, LeftoversAreClosedOnce) {
  ASSERT_TRUE(ask(7));
  const BorrowedFd binary(static_cast<int>(takeover_.block().binary_fd));
  takeover_.close_leftovers(1);
  EXPECT_TRUE(sys::get_fd_flags(binary)) << "in use";
  ASSERT_TRUE(takeover_.move(State::kAsked, State::kIdle));
  takeover_.close_leftovers(2);
  EXPECT_FALSE(sys::get_fd_flags(binary));
  EXPECT_EQ(takeover_.block().binary_fd, -1);
}

TEST(ControlTest, InheritsItsOwnKindOnly) {
  const UniqueFd empty = sys::memfd_create("empty", 0).take();
  EXPECT_EQ(Control::inherit(empty).error().code, EPROTO);
  const UniqueFd zeros = sys::memfd_create("zeros", 0).take();
  ASSERT_TRUE(sys::ftruncate(zeros, sizeof(abi::ControlBlock)));
  // It takes what it is given: a copy for it.
  const int copy = sys::dup_cloexec(zeros).take().release();
  EXPECT_EQ(Control::inherit(BorrowedFd(copy)).error().code, EPROTO);
  const UniqueFd null = sys::open("/dev/null", O_RDWR).take();
  EXPECT_EQ(Control::inherit(null).error().code, EPROTO);
}

std::string line(const std::string& rest) {
  return fmt::format("{} NONCE {}\n", abi::kRehearsalCompatible, rest);
}

TEST(RehearsalTest, OnlyTheWholeAnswerCounts) {
  const std::string ok = fmt::format("ok 1.2 control={} takeover={} records=outlive-records-v1",
                                     abi::kControlCompatible, abi::kTakeoverCompatible);
  const RehearsalAnswer good = Rehearsal::judge(line(ok) + "warm", "NONCE");
  EXPECT_TRUE(good.ok);
  EXPECT_EQ(good.version, "1.2");
  EXPECT_EQ(good.warm, "warm");
  std::string half = line(ok);
  half.pop_back();
  for (const std::string& bad :
       {std::string(), half, std::string("ok\n"), std::string(3000, 'x')}) {
    const RehearsalAnswer answer = Rehearsal::judge(bad, "NONCE");
    EXPECT_FALSE(answer.ok) << bad;
    EXPECT_EQ(answer.reason, "") << bad;
  }
  EXPECT_FALSE(Rehearsal::judge(line(ok), "OTHER").ok);
}

TEST(RehearsalTest, RefusalsTellWhy) {
  EXPECT_EQ(Rehearsal::judge(line("refused no handler 'x'"), "NONCE").reason, "no handler 'x'");
  const RehearsalAnswer other =
      Rehearsal::judge(line("ok 1.2 control=outlive-control-v9 takeover=t records=r"), "NONCE");
  EXPECT_FALSE(other.ok);
  EXPECT_NE(other.reason.find("outlive-control-v9"), std::string::npos);
}

}  // namespace
}  // namespace outlive::machine
