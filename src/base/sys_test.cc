// Writing files: whole or not at all, and never in the place of what is no file. Who is there at
// the other end.
#include "base/sys.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>

namespace outlive {
namespace {

class WriteFile : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(folder_), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const char* name) const { return std::string(folder_) + "/" + name; }

 private:
  char folder_[32] = "/tmp/outlive-sys-XXXXXX";
};

TEST_F(WriteFile, ReplacesAFileAsAWhole) {
  ASSERT_TRUE(sys::write_file(path("a"), "one"));
  const UniqueFd old = *sys::open(path("a"), O_RDONLY);
  ASSERT_TRUE(sys::write_file(path("a"), "two"));
  EXPECT_EQ(*sys::read_file(path("a")), "two");
  char text[4] = {};
  EXPECT_EQ(::read(old.get(), text, 3), 3);
  EXPECT_STREQ(text, "one");
}

// As root `--html /dev/full` took the device away from everybody.
TEST_F(WriteFile, WritesIntoWhatIsNoFile) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  const UniqueFd reader = *sys::open(path("pipe"), O_RDONLY | O_NONBLOCK);
  ASSERT_TRUE(sys::write_file(path("pipe"), "text"));
  EXPECT_EQ(std::filesystem::status(path("pipe")).type(), std::filesystem::file_type::fifo);
  char text[8] = {};
  EXPECT_EQ(::read(reader.get(), text, sizeof text), 4);
  EXPECT_STREQ(text, "text");

  ASSERT_TRUE(sys::write_file(path("target"), "old"));
  std::filesystem::create_symlink(path("target"), path("link"));
  ASSERT_TRUE(sys::write_file(path("link"), "new"));
  EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
  EXPECT_EQ(*sys::read_file(path("target")), "new");
}

TEST_F(WriteFile, LeavesNoHalfWhenThereIsNoRoom) {
  ASSERT_TRUE(sys::write_file(path("a"), "old"));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit little{4, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &little), 0);
  const Status done = sys::write_file(path("a"), "more than that");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, EFBIG);
  EXPECT_EQ(*sys::read_file(path("a")), "old");
  EXPECT_FALSE(std::filesystem::exists(path("a.new")));
}

// Of a connection whose process was told to go, and was waited for.
TEST(Peer, IsGoneWhenItsProcessIs) {
  const sys::UnixAddress address =
      sys::unix_address(std::string("@peer-") + std::to_string(::getpid())).take();
  const UniqueFd listener = sys::socket(AF_UNIX, SOCK_SEQPACKET).take();
  ASSERT_EQ(
      ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address.address), address.length),
      0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    const UniqueFd own = sys::socket(AF_UNIX, SOCK_SEQPACKET).take();
    static_cast<void>(
        sys::connect(own, reinterpret_cast<const sockaddr*>(&address.address), address.length));
    ::pause();
    ::_exit(0);
  }
  const UniqueFd accepted = sys::accept(listener, 0).take();
  EXPECT_FALSE(sys::is_peer_gone(accepted));
  ::kill(pid, SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  constexpr int kPeerPidfd = 77;
  int number = -1;
  socklen_t length = sizeof number;
  const bool known = ::getsockopt(accepted.get(), SOL_SOCKET, kPeerPidfd, &number, &length) == 0;
  const UniqueFd pidfd(number);
  EXPECT_EQ(sys::is_peer_gone(accepted), known) << "ended";
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
  EXPECT_EQ(sys::is_peer_gone(accepted), known) << "waited for";
}

}  // namespace
}  // namespace outlive
