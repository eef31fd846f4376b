// update, rollback and run: what they ask, progress, how they end, Ctrl-C.
#include <gtest/gtest.h>
#include <unistd.h>

#include "cli/exit_codes.h"
#include "cli/fake_outlived.h"
#include "cli/launch_options.h"

namespace outlive::cli {
namespace {

const Json kUpdated = Json::parse(R"({"update":"5f2a","result":"updated","blackout_us":412,
  "files":1003,"sessions":2,"from_generation":3,"to_generation":4,"total_us":93000})");
const Json kRolledBack = Json::parse(R"({"update":"5f2b","result":"rolled back",
  "reason":"successor exited with status 3 before it was ready"})");

std::string steps() {
  return wire::continues_text({{"update", "5f2a"},
                               {"step", "start"},
                               {"waiting_for", "successor"},
                               {"elapsed_us", 900}}) +
         wire::continues_text({{"update", "5f2a"}, {"step", "freeze"}, {"elapsed_us", 1500}});
}

TEST_F(CliTest, UpdateEndsInOneLine) {
  fake_.on("Update", [](const wire::VarlinkCall& call) {
    EXPECT_TRUE(call.more);
    return steps() + wire::reply_text(kUpdated);
  });
  const Ran ran = run({"update", "web"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(ran.out,
            "updated web: version 3 -> 4, blackout 412 us, 1003 files, 2 sessions (update 5f2a)\n");
  EXPECT_EQ(ran.err, "");
  Json call = only_call("Update");
  EXPECT_EQ(call["request_id"].get<std::string>().size(), 32u);
  call.erase("request_id");
  EXPECT_EQ(call, Json({{"name", "web"}}));
  EXPECT_EQ(Json::parse(run({"update", "web", "--json"}).out), kUpdated);
}

TEST_F(CliTest, ProgressOnAPipeIsALineAStep) {
  fake_.on("Update", [](const wire::VarlinkCall&) { return steps() + wire::reply_text(kUpdated); });
  const Ran ran = run({"update", "web", "--progress"});
  EXPECT_EQ(ran.err,
            "web: start, waiting for successor (900 us)\n"
            "web: freeze (1.50 ms)\n");
}

TEST_F(CliTest, ProgressOnATerminalIsOneLineThatGoesAway) {
  terminal_ = true;
  fake_.on("Update", [](const wire::VarlinkCall&) { return steps() + wire::reply_text(kUpdated); });
  const Ran ran = run({"update", "web"});
  EXPECT_TRUE(ran.err.starts_with("\r\x1b[Kweb: start, waiting for successor (900 us)"));
  EXPECT_TRUE(ran.err.ends_with("\r\x1b[K"));
  EXPECT_EQ(ran.err.find('\n'), std::string::npos);
}

TEST_F(CliTest, AFinishThatFailedIsNoSuccess) {
  Json failed = kRolledBack;
  failed["result"] = "finish failed";
  failed["reason"] = "session 's' is still incoming";
  fake_.on("Update", [&](const wire::VarlinkCall&) { return steps() + wire::reply_text(failed); });
  const Ran ran = run({"update", "web"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_EQ(
      ran.out,
      "updated web, but its finish failed: session 's' is still incoming: it takes no further "
      "update (update 5f2b)\n");
}

TEST_F(CliTest, ARollbackIsExitCode3) {
  fake_.on("Update",
           [](const wire::VarlinkCall&) { return steps() + wire::reply_text(kRolledBack); });
  const Ran ran = run({"update", "web", "--ready-timeout", "2m", "--freeze-timeout", "500ms",
                       "--policy", "skip", "--", "/bin/sh", "-c", "exit 3"});
  EXPECT_EQ(ran.code, kExitRolledBack);
  EXPECT_EQ(ran.out,
            "rolled back web: successor exited with status 3 before it was ready (update 5f2b)\n");
  Json call = only_call("Update");
  call.erase("request_id");
  EXPECT_EQ(call, Json({{"name", "web"},
                        {"argv", {"/bin/sh", "-c", "exit 3"}},
                        {"ready_timeout_ms", 120000},
                        {"freeze_timeout_ms", 500},
                        {"policy", "skip"}}));
}

TEST_F(CliTest, RollbackVerb) {
  fake_.reply("Rollback", kUpdated);
  const Ran ran = run({"rollback", "web"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_TRUE(ran.out.starts_with("updated web: version 3 -> 4"));
  EXPECT_EQ(only_call("Rollback")["name"], "web");
}

TEST_F(CliTest, UpdatesThatDontHappen) {
  fake_.error("Update", abi::kErrorRefused, fail(EBUSY, "2 files would be lost: see plan"));
  EXPECT_EQ(run({"update", "web"}).code, kExitWouldLose);
  fake_.error("Update", abi::kErrorBusy, fail(EBUSY, "update 5f2a of web is going on"));
  EXPECT_EQ(run({"update", "web"}).code, kExitTryAgain);
  EXPECT_EQ(run({"update", "web", "--"}).code, kExitUsage);
  EXPECT_EQ(run({"update", "web", "--ready-timeout", "soon"}).code, kExitUsage);
  EXPECT_EQ(run({"update", "web", "--", "/nonexistent/web"}).code, kExitFailed);
  const std::string no_program = fake_.dir() + "/text";
  ASSERT_TRUE(sys::write_file(no_program, "text", 0600));
  EXPECT_EQ(run({"update", "web", "--", no_program}).code, kExitNoPermission);
  EXPECT_EQ(run({"update", "web", "--", fake_.dir()}).code, kExitNoPermission);
  fake_.reply("Update", {{"update", "1"}, {"result", "maybe"}});
  EXPECT_EQ(run({"update", "web"}).code, kExitFailed);
  fake_.reply("Update", {{"update", "1"}});
  EXPECT_EQ(run({"update", "web"}).code, kExitFailed);
}

TEST_F(CliTest, AWorkerThatDiesInTheMiddleOfAnUpdate) {
  int deaths = 3;
  fake_.on("Update", [&deaths](const wire::VarlinkCall&) {
    return deaths-- > 0 ? steps() + "{" : steps() + wire::reply_text(kUpdated);
  });
  const Ran ran = run({"update", "web"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  const auto calls = fake_.calls();
  ASSERT_EQ(calls.size(), 4u);
  EXPECT_EQ(calls[0].parameters["request_id"], calls[3].parameters["request_id"]);
}

TEST_F(CliTest, CtrlCLeavesTheUpdateRunningAndSaysSo) {
  const UniqueFd interrupt = *sys::eventfd(0);
  interrupt_ = interrupt;
  fake_.on("Update", [&](const wire::VarlinkCall&) {
    const uint64_t one = 1;
    EXPECT_TRUE(sys::write(interrupt, std::as_bytes(std::span(&one, 1))));
    return steps();
  });
  const Ran ran = run({"update", "web"});
  EXPECT_EQ(ran.code, kExitInterrupted);
  EXPECT_NE(ran.err.find("goes on"), std::string::npos) << ran.err;
}

TEST_F(CliTest, RunSaysWhatTheServiceGets) {
  fake_.on("Run", [](const wire::VarlinkCall&) {
    return wire::continues_text({{"service", "sh"}, {"pid", 7}, {"state", "starting"}}) +
           wire::reply_text({{"service", "sh"}, {"pid", 7}, {"state", "running"}});
  });
  const Ran ran = run({"run", "--listen", "main=127.0.0.1:80", "--listen", "unix:web.sock",
                       "--clean-env", "--env", "A=1", "--env", "A=2", "--notify", "--restart",
                       "always", "--", "sh", "-c", "x"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(ran.out, "running sh: pid 7\n");
  const Json call = only_call("Run");
  const std::string here = *working_directory();
  EXPECT_EQ(call["name"], "sh");
  EXPECT_EQ(run({"run", "web", "--", "sh"}).code, kExitOk);
  EXPECT_EQ(fake_.calls().back().parameters["name"], "web");
  EXPECT_EQ(call["cwd"], here);
  EXPECT_EQ(call["listen"], Json({"main=tcp:127.0.0.1:80", "unix:" + here + "/web.sock"}));
  EXPECT_EQ(call["argv"].size(), 3u);
  EXPECT_TRUE(call["argv"][0].get<std::string>().ends_with("/sh"));
  ASSERT_EQ(call["env"].size(), 2u);
  EXPECT_EQ(call["env"][1], "A=2");
  EXPECT_EQ(call["notify"], true);
  EXPECT_EQ(call["restart"], "always");
  EXPECT_EQ(call["policy"], "fail");
}

TEST_F(CliTest, RunWithBadWords) {
  EXPECT_EQ(run({"run", "--listen", "foo", "--", "sh"}).code, kExitUsage);
  EXPECT_EQ(run({"run", "--listen", "h:99999", "--", "sh"}).code, kExitUsage);
  EXPECT_EQ(run({"run", "--env", "A", "--", "sh"}).code, kExitUsage);
  EXPECT_EQ(run({"run", "--restart", "maybe", "--", "sh"}).code, kExitUsage);
  EXPECT_EQ(run({"run", "--"}).code, kExitUsage);
  const Ran ran = run({"run", "--", "no-such-program-here"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_EQ(ran.err, "outlive: 'no-such-program-here': no such program in $PATH\n");
  EXPECT_TRUE(fake_.calls().empty());
}

TEST(ListenAddress, Forms) {
  EXPECT_EQ(*listen_address("127.0.0.1:80"), "tcp:127.0.0.1:80");
  EXPECT_EQ(*listen_address("udp:[::1]:53"), "udp:[::1]:53");
  EXPECT_EQ(*listen_address("a=tcp:h:1"), "a=tcp:h:1");
  EXPECT_EQ(*listen_address(":80"), "tcp::80");
  EXPECT_EQ(*listen_address("unix:/run/x=y.sock"), "unix:/run/x=y.sock");
  EXPECT_EQ(*listen_address("n=unix:@abstract"), "n=unix:@abstract");
  for (const char* bad :
       {"", "80", ":", "h:", "h:x", "h:65536", "::1:80", "unix:", "=h:1", "tcp:80"}) {
    EXPECT_FALSE(listen_address(bad)) << bad;
  }
  EXPECT_FALSE(listen_address("unix:/" + std::string(200, 'x')));
}

}  // namespace
}  // namespace outlive::cli
