#include "compat/faults.h"

#include <gtest/gtest.h>

namespace outlive::compat {
namespace {

TEST(Faults, AreRead) {
  const Faults faults = parse_faults("preserve:3=ENOMEM,freeze:1=EBUSY,incoming=corrupt").take();
  EXPECT_EQ(faults.points, "luo.preserve:3=ENOMEM,luo.freeze:1=EBUSY");
  EXPECT_TRUE(faults.corrupt);
  EXPECT_FALSE(faults.absent);
  EXPECT_TRUE(parse_faults("device=absent").take().absent);
  EXPECT_EQ(parse_faults("none").take().points, "");
}

TEST(Faults, WhatCantBeReadIsNamed) {
  for (const char* bad : {"preserve", "preserve:x=ENOMEM", "preserve:1=NOTHING", "device=gone",
                          "preserve:1=kill", "retrieve:1=ENOMEM", "luo.commit:1=EIO", ","}) {
    const Result<Faults> faults = parse_faults(bad);
    ASSERT_FALSE(faults) << bad;
    EXPECT_EQ(faults.error().code, EINVAL) << bad;
  }
}

}  // namespace
}  // namespace outlive::compat
