#include "daemon/suspect_call.h"

#include <gtest/gtest.h>

namespace outlive::daemon {
namespace {

constexpr BorrowedFd kSocket{7};
constexpr std::string_view kCall = "{}";

class SuspectCallTest : public testing::Test {
 protected:
  void worker_dies(abi::DeathKind kind) {
    machine::store_word(control_.block().last_death, static_cast<uint64_t>(kind));
  }
  machine::Control control_ = machine::Control::create().take();
};

TEST_F(SuspectCallTest, OneThatKillsTwoWorkersIsRefusedOnce) {
  for (int deaths = 0; deaths < 2; ++deaths) {
    SuspectCall suspect(control_);
    ASSERT_FALSE(suspect.refuses(kSocket, kCall)) << deaths;
    suspect.begin(kSocket, kCall);
    worker_dies(abi::DeathKind::kOwn);
  }
  SuspectCall suspect(control_);
  EXPECT_FALSE(suspect.refuses(kSocket, "another"));
  EXPECT_TRUE(suspect.refuses(kSocket, kCall));
  EXPECT_FALSE(suspect.refuses(kSocket, kCall)) << "who sends it again wants it tried again";
}

// The same words, again and again, and each time carried out by the next worker.
TEST_F(SuspectCallTest, OneThatIsCarriedOutIsNoSuspect) {
  for (int rounds = 0; rounds < 10; ++rounds) {
    {
      SuspectCall suspect(control_);
      ASSERT_FALSE(suspect.refuses(kSocket, kCall)) << rounds;
      suspect.begin(kSocket, kCall);
      worker_dies(abi::DeathKind::kOutside);
    }
    SuspectCall next(control_);
    ASSERT_FALSE(next.refuses(kSocket, kCall)) << rounds;
    next.begin(kSocket, kCall);
    next.end();
    next.begin(kSocket, kCall);  // and once more, killed
    worker_dies(abi::DeathKind::kOutside);
  }
}

// Workers that die behind the reply, at the same words of one client after another.
TEST_F(SuspectCallTest, OneThatIsConsumedIsNoSuspect) {
  for (int rounds = 0; rounds < 10; ++rounds) {
    SuspectCall suspect(control_);
    ASSERT_FALSE(suspect.refuses(kSocket, kCall)) << rounds;
    suspect.begin(kSocket, kCall);
    suspect.consumed(BorrowedFd(kSocket.get() + 1));  // the answer to somebody who waited
    ASSERT_NE(control_.block().call_in_work, 0U);
    suspect.consumed(kSocket);
    worker_dies(abi::DeathKind::kOwn);
  }
}

}  // namespace
}  // namespace outlive::daemon
