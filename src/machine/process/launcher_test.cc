// Launching: both sides of the mailbox in one process, and real children.
#include "machine/process/launcher.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <map>

#include "machine/process/launch.h"
#include "machine/process/reaper.h"
#include "machine/process/test_machine.h"

namespace outlive::machine {
namespace {

class LauncherTest : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kError);
    control_.block().keeper_pid = ::getpid();
    control_.block().soft_nofile = 512;
    // As in the keeper: its children become ours when a service dies.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::signal(SIGPIPE, SIG_IGN);
  }
  void TearDown() override {
    kill_unnamed(control_, {});
    EXPECT_TRUE(eventually([this] {
      reaper_.turn(0);
      return control_.children().empty();
    }));
    const auto first = static_cast<unsigned>(control_.block().window_first);
    EXPECT_TRUE(sys::close_range(first, first + LaunchWindow::kCount - 1, 0));
  }

  LaunchSpec spec(std::vector<std::string> argv) {
    LaunchSpec spec;
    spec.program = argv[0];
    spec.argv = std::move(argv);
    spec.env = {"PATH=/usr/bin:/bin"};
    spec.uid = ::geteuid();
    spec.gid = ::getegid();
    return spec;
  }
  // A shell whose standard output and error come to `out_`.
  LaunchSpec shell(const std::string& script) {
    LaunchSpec one = spec({"sh", "-c", script});
    one.fds = {{out_.write, 1}, {out_.write, 2}};
    return one;
  }

  Result<Launched> launch(LaunchSpec one) {
    Result<Launched> result = fail(EIO, "the callback did not run");
    queue_.submit(std::move(one),
                  [&result](Result<Launched> answer) { result = std::move(answer); });
    queue_.pump();
    launcher_.turn();
    queue_.pump();
    return result;
  }
  pid_t launched(LaunchSpec one) {
    const Result<Launched> result = launch(std::move(one));
    EXPECT_TRUE(result) << (result ? "" : result.error().text());
    return result ? result->pid : 0;
  }
  pid_t run(LaunchSpec one) {
    const pid_t pid = launched(std::move(one));
    EXPECT_TRUE(open_gate(control_, pid));
    return pid;
  }

  ChildExit await_exit(pid_t pid) {
    std::optional<ChildExit> exit;
    EXPECT_TRUE(eventually([&] {
      reaper_.turn(0);
      exit = control_.peek_exit();
      return exit.has_value();
    }));
    if (!exit) return {};
    EXPECT_EQ(exit->pid, pid);
    control_.pop_exit();
    return *exit;
  }
  std::string output() {
    out_.write.reset();
    std::string all;
    char buffer[4096];
    for (;;) {
      const Result<size_t> count = sys::read(out_.read, std::as_writable_bytes(std::span(buffer)));
      if (!count || *count == 0) return all;
      all.append(buffer, *count);
    }
  }

  Control control_ = Control::create().take();
  Launcher launcher_{control_, LaunchWindow::reserve(control_).take()};
  LaunchQueue queue_{control_};
  Reaper reaper_{control_};
  sys::Pipe out_ = sys::pipe().take();
};

std::string process_name(pid_t pid) {
  return sys::read_file(fmt::format("/proc/{}/comm", pid)).context("comm").take();
}

// fd number -> what it is, of another process.
std::map<int, std::string> fds_of(pid_t pid) {
  std::map<int, std::string> fds;
  const std::string folder = fmt::format("/proc/{}/fd", pid);
  DIR* dir = ::opendir(folder.c_str());
  EXPECT_NE(dir, nullptr);
  if (dir == nullptr) return fds;
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] == '.') continue;
    const Result<std::string> what = sys::readlink(folder + "/" + entry->d_name);
    if (what) fds[std::stoi(entry->d_name)] = *what;
  }
  ::closedir(dir);
  return fds;
}

TEST_F(LauncherTest, TheChildHasExactlyItsFds) {
  const UniqueFd first = sys::memfd_create("first", 0).take();
  const UniqueFd second = sys::memfd_create("second", 0).take();
  const UniqueFd held(::fcntl(first.get(), F_DUPFD, 300));  // held without CLOEXEC
  const size_t open = [this] {
    reaper_.turn(0);
    return fds_of(::getpid()).size();
  }();
  LaunchSpec one = spec({"sleep", "1000"});
  // Targets above, inside and below the window, and across each other.
  one.fds = {{first, 1}, {second, 3}, {first, 40}, {second, 700}, {held, 4}};
  const pid_t pid = launched(std::move(one));
  EXPECT_EQ(fds_of(::getpid()).size(), open + 2) << "here are pidfd and gate, and nothing else";
  ASSERT_TRUE(open_gate(control_, pid));
  ASSERT_TRUE(eventually([pid] { return process_name(pid) == "sleep\n"; }));
  const std::map<int, std::string> expected = {{0, "/dev/null"},
                                               {1, "/memfd:first (deleted)"},
                                               {2, "/dev/null"},
                                               {3, "/memfd:second (deleted)"},
                                               {4, "/memfd:first (deleted)"},
                                               {40, "/memfd:first (deleted)"},
                                               {700, "/memfd:second (deleted)"}};
  // Its loader still opens and closes libraries.
  eventually([&] { return fds_of(pid) == expected; });
  EXPECT_EQ(fds_of(pid), expected);
  EXPECT_TRUE(signal_child(control_, pid, SIGTERM));
  const ChildExit exit = await_exit(pid);
  EXPECT_EQ(exit.code, CLD_KILLED);
  EXPECT_EQ(exit.status, SIGTERM);
  EXPECT_EQ(fds_of(::getpid()).size(), open) << "nothing is left of it";
}

TEST_F(LauncherTest, NothingIsExecutedBeforeTheGateOpens) {
  const pid_t pid = launched(shell("echo ran"));
  const std::string own_name = process_name(::getpid());
  EXPECT_EQ(process_name(pid), own_name);
  ASSERT_TRUE(control_.child(pid));
  EXPECT_TRUE(control_.child(pid)->waits_at_gate);
  ASSERT_TRUE(open_gate(control_, pid));
  EXPECT_TRUE(open_gate(control_, pid)) << "may be repeated";
  const ChildExit exit = await_exit(pid);
  EXPECT_EQ(exit.code, CLD_EXITED);
  EXPECT_EQ(exit.status, 0);
  EXPECT_EQ(output(), "ran\n");
  EXPECT_EQ(open_gate(control_, pid).error().code, ESRCH);
}

TEST_F(LauncherTest, AClosedGateMakesTheChildLeave) {
  const pid_t pid = launched(shell("echo ran"));
  // As close_orphans() does when the keeper died before it had noted the child.
  abi::ChildEntry* entry = control_.find_entry(pid);
  ASSERT_NE(entry, nullptr);
  UniqueFd(static_cast<int>(entry->gate_fd)).reset();
  entry->gate_fd = -1;
  const ChildExit exit = await_exit(pid);
  EXPECT_EQ(exit.code, CLD_EXITED);
  EXPECT_EQ(exit.status, 125);
  EXPECT_EQ(output(), "");
}

TEST_F(LauncherTest, ChildrenThatNoRecordNamesAreKilled) {
  const pid_t named = run(spec({"sleep", "1000"}));
  const pid_t unnamed = launched(spec({"sleep", "1000"}));
  EXPECT_EQ(kill_unnamed(control_, {named}), 1u);
  EXPECT_EQ(await_exit(unnamed).status, SIGKILL);
  EXPECT_TRUE(process_runs(named));
  EXPECT_TRUE(control_.child(named));
}

TEST_F(LauncherTest, AFailedExecSaysSo) {
  LaunchSpec missing = shell("");
  missing.program = "/nonexistent/program";
  EXPECT_EQ(await_exit(run(std::move(missing))).status, 127);
  LaunchSpec forbidden = shell("");
  forbidden.program = "/etc/passwd";
  EXPECT_EQ(await_exit(run(std::move(forbidden))).status, 126);
  LaunchSpec nowhere = shell("");
  nowhere.cwd = "/nonexistent/folder";
  EXPECT_EQ(await_exit(run(std::move(nowhere))).status, 127);
  EXPECT_EQ(output(),
            "outlive: can't execute /nonexistent/program: No such file or directory\n"
            "outlive: can't execute /etc/passwd: Permission denied\n"
            "outlive: /nonexistent/folder: No such file or directory\n");
}

// As whoever started outlived may have done, with all 64 of them: past glibc, which hides two.
void ignore_every_signal() {
  const struct {
    void (*handler)(int) = SIG_IGN;
    unsigned long rest[3] = {};
  } action;
  for (int signal = 1; signal < NSIG; ++signal) {
    if (signal == SIGCHLD) continue;  // ignored, it makes waitid() forget children
    ::syscall(SYS_rt_sigaction, signal, &action, nullptr, 8);
  }
}

TEST_F(LauncherTest, TheProcessIsReset) {
  ignore_every_signal();
  ::umask(077);
  LaunchSpec one = shell(
      "echo $$ $LISTEN_PID $LISTEN_FDS; umask; ulimit -Sn; pwd; cut -d' ' -f6 /proc/self/stat;"
      "grep -E 'SigBlk|SigIgn' /proc/self/status; echo $FOO");
  one.env = {"PATH=/usr/bin:/bin", "LISTEN_PID=1", "LISTEN_FDS=2", "FOO=a b"};
  one.cwd = "/usr";
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  const pid_t pid = run(std::move(one));
  EXPECT_EQ(await_exit(pid).status, 0);
  ::umask(022);
  EXPECT_EQ(output(), fmt::format("{0} {0} 2\n0022\n{1}\n/usr\n{0}\nSigBlk:\t0000000000000000\n"
                                  "SigIgn:\t0000000000000000\na b\n",
                                  pid, std::min<rlim_t>(512, files.rlim_max)));
}

TEST_F(LauncherTest, AnotherUserNeedsRoot) {
  LaunchSpec one = shell("id -u; id -g; id -G");
  one.uid = 65534;
  one.gid = 65534;
  if (::geteuid() != 0) {
    one.uid = 1;
    const Result<Launched> result = launch(std::move(one));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, EPERM);
    return;
  }
  EXPECT_EQ(await_exit(run(std::move(one))).status, 0);
  EXPECT_EQ(output(), "65534\n65534\n65534\n");
}

TEST_F(LauncherTest, ExecutesAnFd) {
  char folder[] = "/tmp/outlive-launcher-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string program = fmt::format("{}/program", folder);
  const Result<std::string> binary = sys::read_file("/bin/sleep", 16 << 20);
  ASSERT_TRUE(binary);
  ASSERT_TRUE(sys::write_file(program, *binary, 0755));
  LaunchSpec one = spec({"sleep", "1000"});
  one.program = program;
  const UniqueFd fd = sys::open(program, O_RDONLY).take();
  one.program_fd = fd;
  ASSERT_TRUE(sys::unlink(program));
  const pid_t pid = run(std::move(one));
  ASSERT_TRUE(eventually([&] {
    const Result<std::string> exe = sys::readlink(fmt::format("/proc/{}/exe", pid));
    return exe && *exe == program + " (deleted)";
  }));
  EXPECT_TRUE(eventually([&] { return fds_of(pid).size() == 3; }));

  // A script keeps its name as long as the path is the same file, and runs as an fd after that.
  ASSERT_TRUE(sys::write_file(program, "#!/bin/sh\necho \"$0\"\n", 0755));
  LaunchSpec script = shell("");
  script.program = program;
  const UniqueFd script_fd = sys::open(program, O_RDONLY).take();
  script.program_fd = script_fd;
  EXPECT_EQ(await_exit(run(script)).status, 0);
  ASSERT_TRUE(sys::write_file(program, "#!/bin/sh\necho another\n", 0755));
  EXPECT_EQ(await_exit(run(script)).status, 0);
  const std::string text = output();
  EXPECT_TRUE(text.starts_with(program + "\n/dev/fd/")) << text;
  ASSERT_TRUE(sys::unlink(program));
  ::rmdir(folder);
}

TEST_F(LauncherTest, WhatCanNotBeLaunchedIsRefused) {
  LaunchSpec nothing;
  EXPECT_EQ(launch(nothing).error().code, EINVAL);
  LaunchSpec many = spec({"true"});
  many.fds.resize(abi::kLaunchFds + 1, {out_.write, 5});
  EXPECT_EQ(launch(many).error().code, E2BIG);
  LaunchSpec large = spec({"true"});
  large.env.push_back(std::string(abi::kLaunchText, 'x'));
  EXPECT_EQ(launch(large).error().code, E2BIG);
  LaunchSpec closed = spec({"true"});
  closed.fds = {{BorrowedFd(9999), 5}};
  EXPECT_EQ(launch(closed).error().code, EBADF);
  LaunchSpec negative = spec({"true"});
  negative.fds = {{out_.write, -5}};
  EXPECT_EQ(launch(negative).error().code, EBADF);
  EXPECT_TRUE(control_.children().empty());
  EXPECT_EQ(await_exit(run(spec({"true"}))).status, 0) << "and the next one goes through";
}

TEST_F(LauncherTest, RequestsGoOneByOneAndACallbackMaySubmit) {
  std::vector<pid_t> pids;
  const LaunchQueue::Callback note = [&](Result<Launched> result) {
    ASSERT_TRUE(result);
    pids.push_back(result->pid);
  };
  queue_.submit(spec({"true"}), [&](Result<Launched> result) {
    note(std::move(result));
    queue_.submit(spec({"true"}), note);
  });
  queue_.submit(spec({"true"}), note);
  for (int i = 0; i < 10; ++i) {
    queue_.pump();
    launcher_.turn();
  }
  EXPECT_TRUE(queue_.idle());
  ASSERT_EQ(pids.size(), 3u);
  for (const pid_t pid : pids) EXPECT_TRUE(open_gate(control_, pid));
  size_t exits = 0;
  EXPECT_TRUE(eventually([&] {
    reaper_.turn(0);
    for (; control_.peek_exit(); control_.pop_exit()) ++exits;
    return exits == 3;
  }));
}

// What a dead worker asked is not done for the next one.
TEST_F(LauncherTest, AResetAnswersTheRequestOfADeadWorker) {
  queue_.submit(spec({"true"}), [](Result<Launched>) { FAIL() << "that worker is dead"; });
  queue_.pump();
  launcher_.reset();
  launcher_.turn();
  EXPECT_TRUE(control_.children().empty());
  LaunchQueue next(control_);
  bool done = false;
  next.submit(spec({"true"}), [&](Result<Launched> result) {
    done = true;
    EXPECT_TRUE(result);
  });
  next.pump();
  launcher_.turn();
  next.pump();
  EXPECT_TRUE(done);
}

TEST_F(LauncherTest, OrphansOfAServiceAreFoundAndKilled) {
  const pid_t pid = run(shell("sleep 1000 & echo $!; exec 1>&- 2>&-; wait"));
  char text[32] = {};
  ASSERT_TRUE(sys::read(out_.read, std::as_writable_bytes(std::span(text))));
  const pid_t orphan = std::stoi(text);
  EXPECT_TRUE(list_strangers(control_).empty()) << "its parent lives";
  EXPECT_EQ(kill_stranger(control_, orphan).error().code, ESRCH);
  ASSERT_TRUE(signal_child(control_, pid, SIGKILL));
  EXPECT_EQ(await_exit(pid).status, SIGKILL);
  const std::vector<Stranger> strangers = list_strangers(control_);
  ASSERT_EQ(strangers.size(), 1u);
  EXPECT_EQ(strangers[0].pid, orphan);
  EXPECT_EQ(strangers[0].session, pid);
  ASSERT_TRUE(kill_stranger(control_, orphan));
  EXPECT_TRUE(eventually([&] {
    reaper_.turn(0);
    return list_strangers(control_).empty();
  }));
  EXPECT_FALSE(control_.peek_exit()) << "nobody asked for a stranger";
}

}  // namespace
}  // namespace outlive::machine
