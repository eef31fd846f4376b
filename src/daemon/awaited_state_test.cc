#include "daemon/awaited_state.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "abi/kexec_mark.h"
#include "base/sys.h"

namespace outlive::daemon {
namespace {

constexpr int64_t kLoaded = 1795692605;

class Awaited : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/outlive-awaited-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    ::unlink((folder_ + "/kexec-mark").c_str());
    ::rmdir(folder_.c_str());
  }
  AwaitedState look(const BootFacts& boot, const std::string& runtime_dir = "/run/outlive") {
    return AwaitedState::look(boot, runtime_dir, folder_);
  }

  std::string folder_;
  const BootFacts boot_{"kho=on outlive.kexec=1795692605:/run/outlive", "boot-1", kLoaded + 9,
                        false};
};

TEST_F(Awaited, WhereTheCommandLineSaysSo) {
  EXPECT_TRUE(look(boot_).is_due());
  EXPECT_EQ(look(boot_).text(),
            "the kernel was loaded by `outlive kexec` at 2026-11-26 11:30:05 UTC, for what this "
            "outlived kept");
  BootFacts other = boot_;
  other.cmdline = "kho=on";
  EXPECT_FALSE(look(other).is_due()) << "no mark";
  other = boot_;
  other.began_s = kLoaded + abi::kMarkSeconds + 1;
  EXPECT_FALSE(look(other).is_due()) << "a mark of long ago";
  other = boot_;
  other.in_container = true;
  EXPECT_FALSE(look(other).is_due()) << "the host's mark";
  EXPECT_FALSE(look(boot_, "/run/other").is_due()) << "another outlived's";
}

TEST_F(Awaited, UntilThisBootIsOverIt) {
  const AwaitedState state = look(boot_);
  state.note_open();
  EXPECT_TRUE(look(boot_).is_due()) << "it was refused, and nobody has said how to go on";
  state.note_over();
  EXPECT_FALSE(look(boot_).is_due());
  for (const AwaitedState& later : {state, look(boot_)}) {
    later.note_open();
    EXPECT_FALSE(look(boot_).is_due());
  }
}

TEST_F(Awaited, OnNoOtherBootWithTheSameCommandLine) {
  BootFacts next = boot_;
  next.id = "boot-2";
  look(boot_).note_open();
  EXPECT_FALSE(look(next).is_due());
  look(boot_).note_over();
  EXPECT_FALSE(look(next).is_due());
  next.cmdline = "kho=on outlive.kexec=1795692606:/run/outlive";
  EXPECT_TRUE(look(next).is_due()) << "another kexec";
}

TEST_F(Awaited, AFileThatSaysNothingIsNone) {
  for (const char* text : {"", "x", "outlive.kexec=1:/run/outlive\nboot-1\nover\n"}) {
    ASSERT_TRUE(sys::write_file(folder_ + "/kexec-mark", text));
    EXPECT_TRUE(look(boot_).is_due()) << text;
  }
}

TEST_F(Awaited, CameWithoutAnybodyTelling) {
  AwaitedState state = look(boot_);
  state.came();
  EXPECT_FALSE(state.is_due());
  state.note_over();
  EXPECT_FALSE(look(boot_).is_due());
}

TEST(BootFacts, OfThisMachine) {
  const BootFacts boot = boot_facts();
  EXPECT_FALSE(boot.cmdline.empty());
  EXPECT_EQ(boot.id.size(), 36u) << boot.id;
  EXPECT_LE(boot.began_s, ::time(nullptr));
}

}  // namespace
}  // namespace outlive::daemon
