#include "machine/kernel/kexec_mark.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "abi/kexec_mark.h"

namespace outlive::machine {
namespace {

const KexecMark kMark{1795692605, "/run/outlive"};
const std::string kText = "outlive.kexec=1795692605:/run/outlive";

TEST(KexecMark, IsWrittenAndRead) {
  EXPECT_EQ(kMark.text(), kText);
  EXPECT_EQ(kMark.time_text(), "2026-11-26 11:30:05 UTC");
  for (const std::string folder : {"/run/outlive", "/a b/\"c\"/%/\xc3\xa4:-_.", "relative"}) {
    const std::string line = with_mark("quiet", {7, folder});
    EXPECT_EQ(std::ranges::count(line, ' '), 1) << line;
    EXPECT_EQ(line.find('"'), std::string::npos) << line;
    const auto read = mark_in(line);
    ASSERT_TRUE(read) << line;
    EXPECT_EQ(read->seconds, 7);
    EXPECT_EQ(read->runtime_dir, folder);
  }
}

TEST(KexecMark, TakesThePlaceOfEachOther) {
  EXPECT_EQ(with_mark("", kMark), kText);
  EXPECT_EQ(with_mark("kho=on quiet", kMark), "kho=on quiet " + kText);
  EXPECT_EQ(with_mark("outlive.kexec=1:/x kho=on outlive.kexec=2:/y", kMark), "kho=on " + kText);
  EXPECT_EQ(with_mark(with_mark("kho=on", kMark), kMark), "kho=on " + kText);
}

TEST(KexecMark, IsNotInitsAndNoPartOfAnything) {
  EXPECT_EQ(with_mark("quiet -- outlive.kexec=1:/x", kMark),
            "quiet " + kText + " -- outlive.kexec=1:/x");
  EXPECT_EQ(mark_in("quiet -- " + kText), std::nullopt);
  const std::string quoted = "x=\"a outlive.kexec=1:/x b\"";
  EXPECT_EQ(with_mark(quoted, kMark), quoted + " " + kText);
  EXPECT_EQ(mark_in(quoted), std::nullopt);
  EXPECT_EQ(mark_in("my-" + kText), std::nullopt);
}

TEST(KexecMark, TheLastOneCounts) {
  const auto mark = mark_in("outlive.kexec=1:/x kho=on " + kText + "\n");
  ASSERT_TRUE(mark);
  EXPECT_EQ(mark->seconds, kMark.seconds);
  EXPECT_EQ(mark->runtime_dir, kMark.runtime_dir);
}

TEST(KexecMark, Wrong) {
  for (const char* value : {"", ":", "1", "1:", ":/x", "-1:/x", "1x:/x", "99999999999999999999:/x",
                            "1:/x%", "1:/x%4", "1:/x%4x", "1:/x%-1", "x:/x"}) {
    EXPECT_EQ(mark_in(std::string("outlive.kexec=") + value), std::nullopt) << value;
  }
}

TEST(KexecMark, MeansABootThatBeginsSoon) {
  EXPECT_TRUE(may_be_of(kMark, kMark.seconds));
  EXPECT_TRUE(may_be_of(kMark, kMark.seconds + abi::kMarkSeconds));
  EXPECT_FALSE(may_be_of(kMark, kMark.seconds + abi::kMarkSeconds + 1));
  EXPECT_TRUE(may_be_of(kMark, kMark.seconds - 1)) << "the machine's clock is in whole seconds";
  EXPECT_TRUE(may_be_of(kMark, 0)) << "the machine has no clock";
  EXPECT_TRUE(may_be_of(kMark, -5)) << "and it wasn't set yet";
}

TEST(KexecMark, IsStaleBeforeThatIsOver) {
  static_assert(abi::kMarkPreserveSeconds < abi::kMarkSeconds);
  EXPECT_FALSE(is_stale(kMark, kMark.seconds + abi::kMarkPreserveSeconds));
  EXPECT_TRUE(is_stale(kMark, kMark.seconds + abi::kMarkPreserveSeconds + 1));
}

}  // namespace
}  // namespace outlive::machine
