// Both sides of the mailbox in one process, and real children that look up.
#include "machine/process/opener.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>

#include "machine/process/launcher.h"
#include "machine/process/reaper.h"
#include "machine/process/test_machine.h"

namespace outlive::machine {
namespace {

constexpr uint64_t kLong = 60'000'000'000;
constexpr uid_t kNobody = 65534;

class OpenerTest : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kError);
    control_.block().keeper_pid = ::getpid();
    control_.block().soft_nofile = 512;
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::signal(SIGPIPE, SIG_IGN);
    char name[] = "/tmp/outlive-opener-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    ASSERT_EQ(::chmod(name, 0755), 0);
    make("program", 0755);
  }
  void TearDown() override {
    kill_unnamed(control_, {});
    EXPECT_TRUE(eventually([this] {
      turn();
      return control_.children().empty();
    }));
    const auto first = static_cast<unsigned>(control_.block().window_first);
    EXPECT_TRUE(sys::close_range(first, first + LaunchWindow::kCount - 1, 0));
    std::filesystem::remove_all(folder_);
  }

  void make(const std::string& name, mode_t mode) {
    const std::string path = folder_ + "/" + name;
    ASSERT_TRUE(sys::write_file(path, "#!/bin/sh\n", mode));
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
  }
  Opener::Request request(const std::string& path) {
    return {::geteuid(), ::getegid(), path, folder_};
  }
  // Of worker and keeper; the exits, too, unless a test wants the opener not to hear of them.
  void turn() {
    opener_.tick(now_ns_);
    queue_.pump();
    launcher_.turn();
    queue_.pump();
    reaper_.turn(0);
    while (const auto exit = control_.peek_exit()) {
      opener_.child_exited(exit->pid);
      control_.pop_exit();
    }
  }
  Result<UniqueFd> open(Opener::Request wanted) {
    std::optional<Result<UniqueFd>> result;
    opener_.open(std::move(wanted), [&](Result<UniqueFd> got) { result = std::move(got); });
    EXPECT_TRUE(eventually([&] {
      turn();
      return result.has_value();
    }));
    return result ? std::move(*result) : fail(EIO, "no answer");
  }
  static int error_of(const Result<UniqueFd>& result) { return result ? 0 : result.error().code; }
  std::string name_of(BorrowedFd fd) {
    const Result<std::string> name = sys::readlink(fmt::format("/proc/self/fd/{}", fd.get()));
    return name ? *name : "";
  }

  uint64_t now_ns_ = 1;
  std::string folder_;
  Control control_ = Control::create().take();
  Launcher launcher_{control_, LaunchWindow::reserve(control_).take()};
  LaunchQueue queue_{control_};
  Reaper reaper_{control_};
  Closer closer_{control_};
  Opener opener_{control_, queue_, closer_, kLong};
};

TEST_F(OpenerTest, OpensByPathFromAFolderAndAsACommand) {
  for (const std::string& path : std::vector<std::string>{folder_ + "/program", "./program"}) {
    const Result<UniqueFd> file = open(request(path));
    ASSERT_TRUE(file) << file.error().text();
    EXPECT_EQ(name_of(*file), folder_ + "/program");
    EXPECT_EQ(::fcntl(file->get(), F_GETFL) & O_PATH, O_PATH);
    EXPECT_EQ(::fcntl(file->get(), F_GETFD), 0);
  }
  Opener::Request command = request("program");
  command.search = "/nowhere:" + folder_;
  const Result<UniqueFd> file = open(std::move(command));
  ASSERT_TRUE(file) << file.error().text();
  EXPECT_EQ(name_of(*file), folder_ + "/program");
  EXPECT_EQ(error_of(open(request("no-such-command"))), ENOENT);
  EXPECT_EQ(opener_.fds().size(), 0u);
}

TEST_F(OpenerTest, ErrorsAreThoseOfTheLookUp) {
  EXPECT_EQ(error_of(open(request(folder_ + "/missing"))), ENOENT);
  EXPECT_EQ(error_of(open(request(folder_ + "/program/below"))), ENOTDIR);
  Opener::Request lost = request("./program");
  lost.cwd = folder_ + "/missing";
  EXPECT_EQ(error_of(open(std::move(lost))), ENOENT);
}

TEST_F(OpenerTest, BindsASocket) {
  Opener::Request wanted = request(folder_ + "/socket");
  wanted.socket = sys::socket(AF_UNIX, SOCK_STREAM).take();
  const Result<UniqueFd> bound = open(std::move(wanted));
  ASSERT_TRUE(bound) << bound.error().text();
  ASSERT_TRUE(sys::listen(*bound, 1));
  const UniqueFd client = sys::socket(AF_UNIX, SOCK_STREAM).take();
  const sys::UnixAddress address = sys::unix_address(folder_ + "/socket").take();
  EXPECT_TRUE(
      sys::connect(client, reinterpret_cast<const sockaddr*>(&address.address), address.length));
  Opener::Request again = request(folder_ + "/socket");
  again.socket = sys::socket(AF_UNIX, SOCK_STREAM).take();
  EXPECT_EQ(error_of(open(std::move(again))), EADDRINUSE);
}

// outlived is root: it must not open for a client what the client may not.
TEST_F(OpenerTest, LooksUpAsTheClient) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  Opener::Request theirs = request(folder_ + "/program");
  theirs.uid = theirs.gid = kNobody;
  EXPECT_TRUE(open(std::move(theirs)));
  ASSERT_EQ(::chmod(folder_.c_str(), 0700), 0);
  Opener::Request secret{kNobody, kNobody, folder_ + "/program"};
  EXPECT_EQ(error_of(open(std::move(secret))), EACCES);
  EXPECT_TRUE(open(request(folder_ + "/program")));
}

// A child that is stopped looks up for ever, as one whose file system doesn't answer.
TEST_F(OpenerTest, KilledWhenItIsLate) {
  std::optional<Result<UniqueFd>> result;
  opener_.open(request(folder_ + "/program"),
               [&](Result<UniqueFd> got) { result = std::move(got); });
  opener_.tick(now_ns_);
  queue_.pump();
  launcher_.turn();
  ASSERT_EQ(control_.children().size(), 1u);
  const pid_t pid = control_.children()[0].pid;
  signal_process(pid, SIGSTOP);  // before its gate opens
  queue_.pump();
  opener_.tick(now_ns_);
  ASSERT_FALSE(result);
  EXPECT_EQ(opener_.next_deadline(), now_ns_ + kLong);
  opener_.tick(now_ns_ + kLong - 1);
  ASSERT_FALSE(result);
  opener_.tick(now_ns_ + kLong);
  ASSERT_TRUE(result);
  EXPECT_EQ(error_of(*result), ETIMEDOUT);
  EXPECT_NE(result->error().message.find(folder_ + "/program"), std::string::npos);
  EXPECT_TRUE(eventually([&] {
    turn();
    return opener_.pending() == 0 && control_.children().empty();
  }));
}

// Those that not even SIGKILL ends count as long as they are there: others of the user wait, and
// other users don't.
TEST_F(OpenerTest, HangingOnesAreBoundedAndHoldUpOnlyTheirUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  size_t late = 0;
  const auto count = [&](Result<UniqueFd> got) { late += error_of(got) == ETIMEDOUT; };
  for (size_t i = 0; i < Opener::kMostOfUid; ++i) {
    opener_.open({kNobody, kNobody, folder_ + "/program"}, count);
  }
  std::optional<Result<UniqueFd>> refused;
  opener_.open({kNobody, kNobody, folder_ + "/program"},
               [&](Result<UniqueFd> got) { refused = std::move(got); });
  // Nobody opens their gates: they are launched, and don't look up.
  opener_.tick(now_ns_);
  EXPECT_EQ(control_.children().size(), 0u);
  EXPECT_EQ(opener_.pending(), Opener::kMostOfUid + 1);
  for (size_t i = 0; i < Opener::kMostOfUid; ++i) {
    queue_.pump();
    launcher_.turn();
    for (const Child& child : control_.children()) signal_process(child.pid, SIGSTOP);
  }
  queue_.pump();
  EXPECT_TRUE(queue_.idle());
  EXPECT_EQ(control_.children().size(), Opener::kMostOfUid);
  opener_.tick(now_ns_);
  EXPECT_TRUE(open(request(folder_ + "/program"))) << "another user's";
  EXPECT_FALSE(refused);
  opener_.tick(now_ns_ + 2 * kLong);
  EXPECT_EQ(late, Opener::kMostOfUid);
  ASSERT_TRUE(refused);
  EXPECT_EQ(error_of(*refused), EAGAIN);
}

TEST_F(OpenerTest, AKeeperThatDiesIsAskedAgain) {
  std::optional<Result<UniqueFd>> result;
  opener_.open(request(folder_ + "/program"),
               [&](Result<UniqueFd> got) { result = std::move(got); });
  opener_.tick(now_ns_);
  queue_.pump();
  launcher_.reset();  // the next keeper answers ECANCELED what the dead one was asked
  EXPECT_TRUE(eventually([&] {
    turn();
    return result.has_value();
  }));
  EXPECT_TRUE(result && *result);
}

}  // namespace
}  // namespace outlive::machine
