#include "machine/kernel/open_sessions.h"

#include <gtest/gtest.h>

namespace outlive::machine {
namespace {

TEST(OpenSessions, AreKnownByTheNameOfTheirFile) {
  EXPECT_EQ(session_of_link("anon_inode:[luo_session] outlived"), "outlived");
  EXPECT_EQ(session_of_link("anon_inode:[luo_session] with a space"), "with a space");
  for (const char* other : {"anon_inode:[eventfd]", "/tmp/anon_inode:[luo_session] no",
                            "/memfd:[luo_session] no (deleted)", "pipe:[1]", ""}) {
    EXPECT_EQ(session_of_link(other), "") << other;
  }
  EXPECT_TRUE(open_sessions().empty());
}

}  // namespace
}  // namespace outlive::machine
