// Each verb that shows something: what it asks, what it prints for people and as JSON, its exit
// code.
#include "cli/verbs.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "cli/exit_codes.h"
#include "cli/fake_outlived.h"

namespace outlive::cli {
namespace {

const Json kStatus = Json::parse(R"({"state":"normal","in_progress":false,"live_update_number":3,
  "refused":null,"runtime_dir":"/run/outlive","version":"0.1.0","pid_keeper":10,"pid_worker":11,
  "pid_spare":12,"worker_deaths":1,"uptime_us":65000000,"sessions":2,"files":1003,"services":1,
  "arena_used":4096,"arena_size":1073741824,"kho_enabled":true,"liveupdate_enabled":true})");

TEST_F(CliTest, Status) {
  fake_.reply("Status", kStatus);
  const Ran ran = run({"status"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  for (const char* part : {"normal", "live update number 3", "1 service, 2 sessions, 1003 files",
                           "4.0 KiB of 1.0 GiB", "keeper 10, worker 11, spare 12; 1 worker death",
                           "1m 05s", "kho on, liveupdate on", "/run/outlive"}) {
    EXPECT_NE(ran.out.find(part), std::string::npos) << part << "\n" << ran.out;
  }
  EXPECT_EQ(Json::parse(run({"status", "--json"}).out), kStatus);
}

TEST_F(CliTest, StatusOfAHeldState) {
  Json held = kStatus;
  held["state"] = "undefined";
  held["refused"] = "version luo-v9 can't be read";
  held["log"] = {"The incoming tree failed to initialize properly [EPROTO]"};
  fake_.reply("Status", held);
  const Ran ran = run({"status"});
  EXPECT_EQ(ran.code, kExitRefused);
  EXPECT_NE(ran.out.find("undefined"), std::string::npos);
  EXPECT_NE(ran.out.find("  | The incoming tree"), std::string::npos);
  EXPECT_NE(ran.err.find("luo-v9"), std::string::npos);
  EXPECT_EQ(run({"status", "--json"}).code, kExitRefused);
}

TEST_F(CliTest, StatusOfAWorkerThatDiedTooOften) {
  Json held = kStatus;
  held["held"] = "outlived's worker died too often (11 deaths)";
  fake_.reply("Status", held);
  const Ran ran = run({"status"});
  EXPECT_EQ(ran.code, kExitRefused);
  EXPECT_NE(ran.out.find("11 deaths"), std::string::npos);
  EXPECT_NE(ran.err.find("nobody is served"), std::string::npos) << ran.err;
  EXPECT_EQ(ran.err.find("refused"), std::string::npos) << ran.err;
}

TEST_F(CliTest, StatusOfAnUpdateThatCouldNotBeFinished) {
  Json failed = kStatus;
  failed["finish_failed"] = "service 'web': session 's' is still incoming";
  fake_.reply("Status", failed);
  const Ran ran = run({"status"});
  EXPECT_EQ(ran.code, kExitRefused);
  EXPECT_NE(ran.out.find("finish failed"), std::string::npos) << ran.out;
  EXPECT_NE(ran.err.find("still incoming"), std::string::npos) << ran.err;
}

const Json kService = Json::parse(R"({"id":"1","name":"web","uid":0,"gid":0,"state":"running",
  "ready":true,"notify":false,"restart":"always","generation":4,"pid":77,"uptime_us":412,"updates":3,
  "rollbacks":1,"restarts":0,"last_exit":null,"update":null,"sessions":2,"files":3,"listen":[],
  "argv":["/bin/web","--port","80"],"can_rollback":true})");

TEST_F(CliTest, ListServices) {
  fake_.reply("ListServices", {{"services", {kService}}});
  Ran ran = run({"list"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_NE(ran.out.find("NAME  STATE"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("/bin/web --port 80"), std::string::npos);
  EXPECT_EQ(run({"list", "services", "--names"}).out, "web\n");
  EXPECT_EQ(Json::parse(run({"list", "--json"}).out), Json({{"services", {kService}}}));
  fake_.reply("ListServices", {{"services", Json::array()}});
  EXPECT_EQ(run({"list"}).out, "no services\n");
}

TEST_F(CliTest, ListsComeInParts) {
  fake_.on("ListServices", [](const wire::VarlinkCall& call) {
    Json service = kService;
    if (!call.parameters.contains("after")) {
      return wire::reply_text({{"services", {service}}, {"next", "7f"}});
    }
    EXPECT_EQ(call.parameters["after"], "7f");
    service["name"] = "second";
    return wire::reply_text({{"services", {service}}});
  });
  EXPECT_EQ(run({"list", "--names"}).out, "web\nsecond\n");
  EXPECT_EQ(Json::parse(run({"list", "--json"}).out)["services"].size(), 2u);
}

TEST_F(CliTest, AListThatNeverEndsIsLeft) {
  fake_.reply("ListServices", {{"services", Json::array()}, {"next", "1"}});
  EXPECT_EQ(run({"list"}).code, kExitOk);
}

std::string reboot_reply(const Json& service, const Json& outlived) {
  return wire::reply_text({{"state", "updated"},
                           {"live_update_number", 1},
                           {"services", Json::array({service})},
                           {"outlived", outlived}});
}

TEST_F(CliTest, RebootAsksUntilItIsOver) {
  EXPECT_EQ(run({"reboot"}).code, kExitUsage) << "only --soft";
  int asked = 0;
  Json id;
  fake_.on("Reboot", [&](const wire::VarlinkCall& call) {
    if (++asked == 1) id = call.parameters["request_id"];
    EXPECT_EQ(call.parameters["request_id"], id) << "or it would begin again";
    Json one = {{"update", "5f"}, {"service", "web"}, {"step", "commit"}, {"result", "running"}};
    if (asked == 3) one["result"] = "rolled back";
    one["reason"] = asked == 3 ? Json("service 'b': no") : Json();
    return reboot_reply(one, {{"result", asked == 3 ? "kept" : "running"}});
  });
  const Ran ran = run({"reboot", "--soft"});
  EXPECT_EQ(ran.code, kExitRolledBack) << ran.err;
  EXPECT_NE(ran.out.find("service 'b': no"), std::string::npos);
  EXPECT_EQ(asked, 3);
}

TEST_F(CliTest, RebootTellsWhatBecameOfOutlived) {
  const Json done = {{"update", "5f"},
                     {"service", "web"},
                     {"step", "done"},
                     {"result", "updated"},
                     {"reason", nullptr}};
  int asked = 0;
  Json of_itself;
  fake_.on("Reboot", [&](const wire::VarlinkCall&) {
    return reboot_reply(
        done, ++asked % 2 == 1 ? Json{{"result", "running"}, {"step", "exec"}} : of_itself);
  });
  of_itself = {{"result", "updated"}, {"to_version", "7.1"}};
  Ran ran = run({"reboot", "--soft", "--binary", "/new", "--force", "--progress"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_NE(ran.out.find("updated to 7.1"), std::string::npos) << ran.out;
  EXPECT_NE(ran.err.find("outlived: exec"), std::string::npos) << ran.err;
  EXPECT_EQ(fake_.calls().back().parameters["binary"], "/new");
  EXPECT_EQ(fake_.calls().back().parameters["force"], true);
  for (const char* result : {"rolled back", "refused"}) {
    of_itself = {{"result", result}, {"reason", "it was late"}};
    ran = run({"reboot", "--soft", "--keep-outlived"});
    EXPECT_EQ(ran.code, kExitFailed) << "not all that was asked for was done";
    EXPECT_NE(ran.err.find("outlived was not: it was late"), std::string::npos) << ran.err;
  }
  EXPECT_EQ(fake_.calls().back().parameters["keep_outlived"], true);
  EXPECT_FALSE(fake_.calls().back().parameters.contains("binary"));
}

TEST_F(CliTest, End) {
  fake_.reply("EndSession", {{"files", 3}});
  const Ran ran = run({"end", "web.state", "--id", "4f"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(ran.out, "ended web.state: 3 files given up\n");
  EXPECT_EQ(fake_.calls().back().parameters, Json({{"session", "web.state"}, {"id", "4f"}}));
  EXPECT_EQ(run({"end"}).code, kExitUsage);
}

TEST_F(CliTest, ListSessionsFilesRegionsUpdates) {
  fake_.reply("ListSessions", Json::parse(R"({"sessions":[{"id":"2","name":"web.state","uid":0,
    "service":"web","generation":4,"direction":"incoming","claimed":false,"linger":true,"direct":false,
    "internal":false,"files":3,"created":"2026-11-21T12:00:00Z","orphaned":"2026-11-21T12:01:00Z",
    "lease_ends":"2026-11-22T12:01:00Z"}]})"));
  Ran ran = run({"list", "sessions"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_NE(ran.out.find("unclaimed,linger since 2026-11-21T12:01:00Z, given up at 2026-11-22T"),
            std::string::npos);

  fake_.reply("ListFiles", Json::parse(R"({"files":[{"session":"web.state","session_id":"2",
    "token":"2a","order":1,"kind":"memfd-v1","detail":"/memfd:table","survival":"kernel",
    "size":4096,"retrieved":false,"failed":2}]})"));
  ran = run({"list", "files", "--session", "web.state"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  for (const char* part : {"0x2a", "memfd-v1", "4.0 KiB", "failed ENOENT", "/memfd:table"}) {
    EXPECT_NE(ran.out.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(fake_.calls().back().parameters, Json({{"session", "web.state"}}));
  EXPECT_EQ(run({"list", "sessions", "--session", "x"}).code, kExitUsage);

  fake_.reply("ListRegions",
              {{"regions", {{{"name", "flight-recorder"}, {"start", "1000"}, {"size", 1048576}}}}});
  EXPECT_NE(run({"list", "regions"}).out.find("flight-recorder  0x1000  1.0 MiB"),
            std::string::npos);

  fake_.reply("ListUpdates", Json::parse(R"({"updates":[{"update":"5f2a","service":"web",
    "state":"normal","step":"done","result":"updated","reason":null,"started":"2026-11-21T12:00:00Z",
    "blackout_us":412,"from_generation":3,"to_generation":4}]})"));
  EXPECT_NE(run({"list", "updates"}).out.find("5f2a    web      3 -> 4   updated  done"),
            std::string::npos);

  fake_.reply("ListUpdates", Json::parse(R"({"updates":[{"update":"outlived-7","service":"outlived",
    "state":"normal","step":"done","result":"updated","reason":null,"started":"2026-11-21T12:00:00Z",
    "blackout_us":412,"from_generation":0,"to_generation":0,"from_version":"1.0",
    "to_version":"1.1"}]})"));
  EXPECT_NE(run({"list", "updates"}).out.find("outlived-7  outlived  1.0 -> 1.1  updated  done"),
            std::string::npos);
}

TEST_F(CliTest, Fsck) {
  Json reply = Json::parse(
      R"({"clean":true,"findings":[],"pages":9,"files":1,"sessions":2,"fds":5,"leaked_corrected":1,
    "ledger":{"folios":1,"tracker":0,"pages":0,"records":2,"changes":0,"fds":0}})");
  fake_.reply("Fsck", reply);
  Ran ran = run({"fsck"});
  EXPECT_EQ(ran.code, kExitOk);
  EXPECT_EQ(ran.out,
            "clean: 2 sessions, 1 file, 5 descriptors, 9 pages checked; 1 leak corrected since the "
            "start\nleak ledger: the worker's attach corrected 1 half made folio, 2 half made "
            "records\n");
  reply["clean"] = false;
  reply["findings"] = {"page 3000: LIVE and reached by no record"};
  fake_.reply("Fsck", reply);
  ran = run({"fsck"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_TRUE(ran.out.starts_with("page 3000: LIVE and reached by no record\nNOT CLEAN"));
  ran = run({"fsck", "--json"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_EQ(Json::parse(ran.out), reply);
}

TEST_F(CliTest, Reload) {
  const Json reply =
      Json::parse(R"({"path":"/etc/o.toml","applied":["[limits] files-per-uid: 1 -> 2"],
    "pending":["service 'web' goes on as it was started"]})");
  fake_.reply("Reload", reply);
  Ran ran = run({"reload"});
  EXPECT_EQ(ran.code, kExitOk);
  EXPECT_EQ(ran.out,
            "[limits] files-per-uid: 1 -> 2\n"
            "not applied: service 'web' goes on as it was started\n"
            "reloaded /etc/o.toml: 1 change applied\n");
  ran = run({"reload", "--json"});
  EXPECT_EQ(Json::parse(ran.out), reply);
}

TEST_F(CliTest, Metrics) {
  fake_.reply("Metrics", {{"text", "outlive_hold 0\n"}});
  EXPECT_EQ(run({"metrics"}).out, "outlive_hold 0\n");
}

TEST_F(CliTest, Plan) {
  const Json reply = Json::parse(R"({"files":[
    {"session":"web.state","token":"1","fd":null,"kind":"memfd","detail":"/memfd:t","survival":"kernel",
     "crosses":"keep","note":""},
    {"session":"web.state","token":"2","fd":null,"kind":"tcp connection","detail":"a:1","survival":"host",
     "crosses":"lost","note":"not in scope kernel"}],
    "participants":["web"],"lost":1,"would":"1 of 2 files would be lost"})");
  fake_.reply("Plan", reply);
  const Ran ran = run({"plan", "web", "--scope", "kernel"});
  EXPECT_EQ(ran.code, kExitWouldLose);
  EXPECT_EQ(only_call("Plan"), Json({{"name", "web"}, {"scope", "kernel"}}));
  EXPECT_NE(ran.out.find("LOST"), std::string::npos);
  EXPECT_NE(ran.out.find("asked: web\n1 of 2 files would be lost\n"), std::string::npos);
  EXPECT_EQ(Json::parse(run({"plan", "web", "--json"}).out), reply);
}

TEST_F(CliTest, PlanOfAnyProcessIsSurveyedHere) {
  const std::string pid = std::to_string(getpid());
  const Ran ran = run({"plan", "--pid", pid, "--json"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  const Json files = Json::parse(ran.out)["files"];
  EXPECT_GE(files.size(), 3u);
  EXPECT_EQ(files[0]["fd"], 0);
  EXPECT_EQ(files[0]["crosses"], "keep");
  const Ran none = run({"plan", "--pid", "2147483647"});
  EXPECT_EQ(none.code, kExitFailed);
  EXPECT_NE(none.err.find("2147483647"), std::string::npos) << none.err;
  EXPECT_EQ(run({"plan"}).code, kExitUsage);
  EXPECT_EQ(run({"plan", "web", "--pid", "1"}).code, kExitUsage);
  EXPECT_EQ(run({"plan", "--pid", "-1"}).code, kExitUsage);
}

TEST_F(CliTest, Log) {
  fake_.reply("Log", {{"text", "one\n\x1b[31mtwo\tx\n"}, {"position", 12}});
  const Ran ran = run({"log", "web", "-n", "5"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(ran.out, "one\n?[31mtwo\tx\n");
  EXPECT_EQ(only_call("Log"), Json({{"service", "web"}, {"previous", false}, {"lines", 5}}));
  EXPECT_EQ(run({"log", "--previous", "--follow"}).code, kExitUsage);
}

TEST_F(CliTest, LogFollowGoesOnFromThePosition) {
  const UniqueFd interrupt = *sys::eventfd(0);
  interrupt_ = interrupt;
  fake_.on("Log", [&](const wire::VarlinkCall& call) {
    if (!call.parameters.contains("after")) {
      return wire::reply_text({{"text", "one\n"}, {"position", 4}});
    }
    EXPECT_EQ(call.parameters["after"], 4);
    const uint64_t one = 1;
    EXPECT_TRUE(sys::write(interrupt, std::as_bytes(std::span(&one, 1))));
    return wire::reply_text({{"text", "two\n"}, {"position", 8}});
  });
  const Ran ran = run({"log", "--follow"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_TRUE(ran.out.starts_with("one\n"));
}

TEST_F(CliTest, Stop) {
  fake_.reply("Stop", Json::object());
  EXPECT_EQ(run({"stop", "web"}).out, "stopped web\n");
  Json call = only_call("Stop");
  call.erase("request_id");
  EXPECT_EQ(call, Json({{"service", "web"}, {"daemon", false}, {"force", false}}));
  EXPECT_EQ(run({"stop", "--daemon", "--force"}).out, "stopped outlived\n");
  EXPECT_EQ(fake_.calls().back().parameters["force"], true);
  fake_.error("Stop", abi::kErrorRefused, fail(EBUSY, "3 files would be lost: --force does it"));
  EXPECT_EQ(run({"stop", "web"}).code, kExitWouldLose);
}

TEST_F(CliTest, Version) {
  EXPECT_EQ(run_words({"version", "--runtime-dir", "/nonexistent"}).out,
            "outlive " OUTLIVE_VERSION "\noutlived is not running\n");
  const Ran ran = run({"version"});  // the fake one doesn't know GetInfo
  EXPECT_EQ(ran.code, kExitFailed);
}

#ifdef OUTLIVE_KHO_DEBUG
TEST_F(CliTest, KhoDump) {
  const Json reply = Json::parse(R"({"digest":"abc123","root_fdt_hex":"d00dfeed",
    "subtrees":[{"name":"LUO","address":"3000","size":4096}],
    "folios":[{"address":"200000","order":9,"owner":"handler"}],"tracker_matches":true,
    "corrections":0})");
  fake_.reply("KhoDump", reply);
  Ran ran = run({"kho", "dump"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  for (const char* part : {"abc123", "equals", "LUO      0x3000", "0x200000      9  2.0 MiB"}) {
    EXPECT_NE(ran.out.find(part), std::string::npos) << part << "\n" << ran.out;
  }
  EXPECT_EQ(run({"kho", "dump", "--digest"}).out, "abc123\n");
  EXPECT_EQ(Json::parse(run({"kho", "dump", "--json"}).out), reply);
  const std::string file = fake_.dir() + "/root.dtb";
  EXPECT_EQ(run({"kho", "dump", "--dtb", file}).code, kExitOk);
  EXPECT_EQ(*sys::read_file(file), "\xd0\x0d\xfe\xed");
  fake_.reply("KhoDump", {{"digest", "a"}, {"root_fdt_hex", "d0x"}});
  EXPECT_EQ(run({"kho", "dump", "--dtb", file}).code, kExitFailed);
  EXPECT_EQ(run({"kho", "dump"}).code, kExitFailed);
}
#endif

}  // namespace
}  // namespace outlive::cli
