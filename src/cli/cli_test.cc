// What holds for all verbs: usage, connecting, errors and their exit codes, connections that break.
#include "cli/cli.h"

#include <gtest/gtest.h>

#include "cli/exit_codes.h"
#include "cli/fake_outlived.h"

namespace outlive::cli {
namespace {

TEST(Usage, UnknownWordsNameTheRemedy) {
  Ran ran = run_words({"updat", "web"});
  EXPECT_EQ(ran.code, kExitUsage);
  EXPECT_EQ(ran.err, "outlive: unknown command 'updat'; did you mean 'update'? (see --help)\n");
  EXPECT_EQ(run_words({"frobnicate"}).err, "outlive: unknown command 'frobnicate' (see --help)\n");
  EXPECT_EQ(run_words({}).code, kExitUsage);
  EXPECT_EQ(run_words({"status", "--bogus"}).code, kExitUsage);
  EXPECT_EQ(run_words({"update"}).code, kExitUsage);
  EXPECT_EQ(run_words({"plan", "web", "--scope", "moon"}).code, kExitUsage);
  EXPECT_EQ(run_words({"stop"}).code, kExitUsage);
  EXPECT_EQ(run_words({"stop", "web", "--daemon"}).code, kExitUsage);
  EXPECT_EQ(run_words({"status", "--", "ls"}).code, kExitUsage);
  EXPECT_EQ(run_words({"list", "moons"}).code, kExitUsage);
  EXPECT_EQ(run_words({"run"}).code, kExitUsage);
  ran = run_words({"run", "redis-server"});
  EXPECT_EQ(ran.code, kExitUsage);
  EXPECT_NE(ran.err.find("behind --"), std::string::npos);
}

TEST(Usage, EveryVerbHasHelpWithAnExample) {
  for (const char* verb : {"run", "update", "rollback", "plan", "status", "list", "timeline", "log",
                           "stop", "fsck", "reload", "metrics", "version"}) {
    const Ran ran = run_words({verb, "--help"});
    EXPECT_EQ(ran.code, kExitOk) << verb;
    EXPECT_NE(ran.out.find("Example"), std::string::npos) << verb;
    EXPECT_NE(ran.out.find(std::string("outlive ") + verb), std::string::npos) << verb;
    EXPECT_EQ(ran.err, "") << verb;
  }
  EXPECT_NE(run_words({"--help"}).out.find("Exit codes"), std::string::npos);
}

// A disk that is full: who reads the exit code must not take half a table for all of it.
TEST(Output, ThatIsNotTakenIsAnError) {
  FakeOutlived outlived;
  outlived.reply("ListServices", {{"services", Json::array()}, {"next", nullptr}});
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"list", "--runtime-dir", outlived.dir()}, {"--help"}}) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> full(std::fopen("/dev/full", "w"),
                                                               std::fclose);
    ASSERT_NE(full, nullptr);
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> err(std::tmpfile(), std::fclose);
    Surroundings around;
    around.out = full.get();
    around.err = err.get();
    EXPECT_EQ(run_cli(words, around), kExitFailed);
    std::rewind(err.get());
    char line[200] = {};
    ASSERT_NE(std::fgets(line, sizeof line, err.get()), nullptr);
    EXPECT_STREQ(line, "outlive: standard output: No space left on device: not all was printed\n");
  }
}

TEST(Connect, NotRunningNamesThePathAndTheRemedy) {
  const Ran ran = run_words({"status", "--runtime-dir", "/nonexistent"});
  EXPECT_EQ(ran.code, kExitNotRunning);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.err,
            "outlive: outlived is not running (tried /nonexistent/control.sock): start it with "
            "`outlived`, or say where it is with --runtime-dir\n");
}

TEST(Connect, ASocketThatNobodyListensOn) {
  char folder[] = "/tmp/outlive-cli-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  {
    const UniqueFd socket = *sys::socket(AF_UNIX, SOCK_STREAM);
    const auto address = *sys::unix_address(std::string(folder) + "/control.sock");
    ASSERT_TRUE(
        sys::bind(socket, reinterpret_cast<const sockaddr*>(&address.address), address.length));
  }
  const Ran ran = run_words({"status", "--runtime-dir", folder});
  EXPECT_EQ(ran.code, kExitNotRunning);
  EXPECT_NE(ran.err.find("nobody listens there any more"), std::string::npos);
  std::filesystem::remove_all(folder);
}

TEST_F(CliTest, ErrorsBecomeOneLineAndACode) {
  const struct {
    const char* name;
    int code;
    int exit;
  } kCases[] = {{abi::kErrorNotFound, ENOENT, kExitFailed},
                {abi::kErrorPermissionDenied, EACCES, kExitNoPermission},
                {abi::kErrorPermissionDenied, EPERM, kExitNoPermission},
                {abi::kErrorBusy, EBUSY, kExitTryAgain},
                {abi::kErrorBusy, EAGAIN, kExitTryAgain},
                {abi::kErrorRefused, EBUSY, kExitWouldLose},
                {abi::kErrorRefused, ESTALE, kExitRefused},
                {abi::kErrorFailed, EIO, kExitFailed},
                {abi::kErrorFailed, EACCES, kExitNoPermission},
                {"org.example.New", ENOENT, kExitFailed}};
  for (const auto& c : kCases) {
    fake_.error("Fsck", c.name, fail(c.code, "this is why"));
    const Ran ran = run({"fsck"});
    EXPECT_EQ(ran.code, c.exit) << c.name << " " << c.code;
    EXPECT_EQ(ran.err, "outlive: this is why\n");
    EXPECT_EQ(ran.out, "");
  }
}

TEST_F(CliTest, AnErrorMayBringTheLogOfTheService) {
  fake_.on("Run", [](const wire::VarlinkCall&) {
    return wire::error_text(abi::kErrorFailed,
                            Json{{"errno", ECHILD},
                                 {"message", "service 'web' exited at once with status 3"},
                                 {"log", {"no port\x1b[2J", "bye"}}});
  });
  const Ran ran = run({"run", "--", "/bin/true"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_EQ(ran.err,
            "outlive: service 'web' exited at once with status 3\n  | no port?[2J\n  | bye\n");
}

TEST_F(CliTest, AParameterThatIsRefusedIsUsage) {
  fake_.on("Fsck", [](const wire::VarlinkCall&) {
    return wire::error_text(wire::bad_param("policy", "is unknown"));
  });
  const Ran ran = run({"fsck"});
  EXPECT_EQ(ran.code, kExitUsage);
  EXPECT_NE(ran.err.find("'policy'"), std::string::npos);
}

TEST_F(CliTest, AMethodThatIsMissingNamesTheVersion) {
  const Ran ran = run({"fsck"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_NE(ran.err.find("older version"), std::string::npos);
}

TEST_F(CliTest, RepliesThatCantBeUsed) {
  for (const Json& reply : {Json::object(), Json{{"clean", 1}}, Json{{"clean", true}}}) {
    fake_.malformed_reply("Fsck", reply);
    const Ran ran = run({"fsck"});
    EXPECT_EQ(ran.code, kExitFailed) << reply;
    EXPECT_NE(ran.err.find("can't be used"), std::string::npos) << ran.err;
    EXPECT_EQ(ran.out, "");
  }
  fake_.malformed_reply("ListServices", {{"services", {1, 2}}});
  EXPECT_EQ(run({"list"}).code, kExitFailed);
  fake_.on("Fsck", [](const wire::VarlinkCall&) { return std::string("not json\0", 9); });
  EXPECT_EQ(run({"fsck"}).code, kExitFailed);
}

TEST_F(CliTest, AConnectionThatBreaksIsMadeAgainWithTheSameRequestId) {
  int left = 2;
  fake_.on("Stop", [&left](const wire::VarlinkCall&) {
    if (left-- > 0) return std::string("{\"parame");
    return wire::reply_text(Json::object());
  });
  const Ran ran = run({"stop", "web"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  const auto calls = fake_.calls();
  ASSERT_EQ(calls.size(), 3u);
  EXPECT_EQ(calls[0].parameters["request_id"].get<std::string>().size(), 32u);
  EXPECT_EQ(calls[0].parameters, calls[2].parameters);
}

// The first try has stopped it, and the answer was lost with the worker.
TEST_F(CliTest, AStopThatIsAskedAgainOfWhatIsGoneIsDone) {
  bool first = true;
  const std::string gone = wire::error_text(abi::kErrorNotFound, fail(ENOENT, "no service 'web'"));
  fake_.on("Stop", [&](const wire::VarlinkCall&) {
    return std::exchange(first, false) ? std::string("{\"parame") : gone;
  });
  EXPECT_EQ(run({"stop", "web"}).out, "stopped web\n");
  const Ran never_there = run({"stop", "web"});
  EXPECT_EQ(never_there.code, kExitFailed);
  EXPECT_EQ(never_there.out, "");
}

TEST_F(CliTest, AConnectionThatBreaksAgainAndAgain) {
  for (const char* bytes : {"", "{\"parame"}) {
    fake_.on("Fsck", [bytes](const wire::VarlinkCall&) { return std::string(bytes); });
    const Ran ran = run({"fsck"});
    EXPECT_EQ(ran.code, kExitTryAgain);
    EXPECT_NE(ran.err.find("closed the connection"), std::string::npos) << ran.err;
  }
}

TEST(RequestId, IsHexAndNewEachTime) {
  const std::string first = *new_request_id();
  EXPECT_EQ(first.size(), 32u);
  EXPECT_EQ(first.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(first, *new_request_id());
}

}  // namespace
}  // namespace outlive::cli
