#include "compat/handles.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "base/sys.h"

namespace outlive::compat {
namespace {

size_t closed_now(Handles& handles, uint64_t* last = nullptr) {
  const std::vector<uint64_t> closed = handles.take_closed();
  if (last != nullptr && !closed.empty()) *last = closed.back();
  return closed.size();
}

TEST(Handles, HangUpWithTheLastCopyOnly) {
  Handles handles = Handles::create().take();
  Handles::Handle one = handles.make().take();
  Handles::Handle two = handles.make().take();
  EXPECT_NE(one.cookie, two.cookie);
  UniqueFd copy = sys::dup_cloexec(one.fd).take();
  one.fd.reset();
  EXPECT_EQ(closed_now(handles), 0u);
  copy.reset();
  uint64_t last = 0;
  EXPECT_EQ(closed_now(handles, &last), 1u);
  EXPECT_EQ(last, one.cookie);
  EXPECT_EQ(closed_now(handles), 0u) << "told once";
}

TEST(Handles, ACopyInAnotherProcessCounts) {
  Handles handles = Handles::create().take();
  Handles::Handle one = handles.make().take();
  const sys::Pipe gate = sys::pipe().take();
  const pid_t child = fork();
  if (child == 0) {
    char byte;
    static_cast<void>(::read(gate.read.get(), &byte, 1));
    _exit(0);
  }
  one.fd.reset();
  EXPECT_EQ(closed_now(handles), 0u);
  ASSERT_TRUE(sys::write_all(gate.write, "x"));
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_EQ(closed_now(handles), 1u);
}

TEST(Handles, ManyAtOnce) {
  Handles handles = Handles::create().take();
  std::array<UniqueFd, 300> fds;
  for (UniqueFd& fd : fds) fd = std::move(handles.make().take().fd);
  for (UniqueFd& fd : fds) fd.reset();
  EXPECT_EQ(closed_now(handles), 300u);
}

TEST(Handles, KnownByTheirCookie) {
  Handles handles = Handles::create().take();
  const Handles::Handle one = handles.make().take();
  const UniqueFd copy = sys::dup_cloexec(one.fd).take();
  EXPECT_EQ(cookie_of(copy), one.cookie);
  EXPECT_EQ(cookie_of(sys::pipe().take().read), 0u);
  EXPECT_EQ(cookie_of(sys::socket(AF_INET, SOCK_STREAM).take()), 0u);
}

TEST(Handles, ReadIsTheEndAndNeverWaits) {
  Handles handles = Handles::create().take();
  const Handles::Handle one = handles.make().take();
  std::byte byte;
  EXPECT_EQ(sys::read(one.fd, std::span(&byte, 1)).take(), 0u);
}

}  // namespace
}  // namespace outlive::compat
