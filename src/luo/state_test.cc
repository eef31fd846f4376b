#include "luo/state.h"

#include <gtest/gtest.h>

#include <map>

namespace outlive::luo {
namespace {

TEST(State, EveryPairOfStateAndEventIsAsDesigned) {
  const std::map<std::pair<State, Event>, State> allowed = {
      {{State::kUndefined, Event::kStartEmpty}, State::kNormal},
      {{State::kUndefined, Event::kStartIncoming}, State::kUpdated},
      {{State::kNormal, Event::kPrepare}, State::kPrepared},
      {{State::kPrepared, Event::kFreeze}, State::kFrozen},
      {{State::kFrozen, Event::kCommit}, State::kUpdated},
      {{State::kUpdated, Event::kFinish}, State::kNormal},
      {{State::kPrepared, Event::kCancel}, State::kNormal},
      {{State::kFrozen, Event::kCancel}, State::kNormal},
  };
  for (const State state : kStates) {
    for (const Event event : kEvents) {
      const auto expected = allowed.find({state, event});
      const Result<State> got = next(state, event);
      State changed = state;
      const Status moved = transition(changed, event, "test");
      if (expected == allowed.end()) {
        ASSERT_FALSE(got) << name_of(state) << " " << name_of(event);
        EXPECT_EQ(got.error().code, EINVAL);
        EXPECT_FALSE(moved);
        EXPECT_EQ(changed, state);
      } else {
        ASSERT_TRUE(got) << name_of(state) << " " << name_of(event);
        EXPECT_EQ(*got, expected->second);
        EXPECT_TRUE(moved);
        EXPECT_EQ(changed, expected->second);
      }
    }
  }
}

TEST(State, NamesAreTheDesignsAndPredicatesFollow) {
  EXPECT_STREQ(name_of(State::kUndefined), "undefined");
  EXPECT_STREQ(name_of(State::kNormal), "normal");
  EXPECT_STREQ(name_of(State::kPrepared), "prepared");
  EXPECT_STREQ(name_of(State::kFrozen), "frozen");
  EXPECT_STREQ(name_of(State::kUpdated), "updated");
  for (const State state : kStates) {
    EXPECT_EQ(is_normal(state), state == State::kNormal);
    EXPECT_EQ(in_progress(state), state != State::kNormal && state != State::kUndefined);
  }
}

}  // namespace
}  // namespace outlive::luo
