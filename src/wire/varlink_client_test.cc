#include "wire/varlink_client.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/sys.h"

namespace outlive::wire {
namespace {

// A server that answers the first message with these bytes and closes.
class VarlinkClientTest : public testing::Test {
 protected:
  VarlinkClient client_for(std::string answer, bool keep_open = false) {
    sys::SocketPair pair = *sys::socketpair(SOCK_STREAM);
    server_ = std::move(pair.second);
    thread_ = std::jthread([this, keep_open, bytes = std::move(answer)] {
      char buffer[4096];
      const auto got = sys::recv(server_, std::as_writable_bytes(std::span(buffer)), 0);
      if (got) request_.assign(buffer, *got);
      EXPECT_TRUE(sys::write_all(server_, bytes));
      if (!keep_open) {
        EXPECT_TRUE(sys::shutdown(server_, SHUT_RDWR));
      }
    });
    return VarlinkClient(std::move(pair.first));
  }
  void TearDown() override {
    if (thread_.joinable()) thread_.join();
  }

  UniqueFd server_;
  std::string request_;
  std::jthread thread_;
};

TEST_F(VarlinkClientTest, ACallGetsItsReply) {
  VarlinkClient client = client_for(reply_text({{"pid", 42}}));
  const auto reply = client.call("a.b.C", {{"x", 1}});
  ASSERT_TRUE(reply) << reply.error().text();
  EXPECT_EQ((*reply)["pid"], 42);
  thread_.join();
  const auto call = parse_call(request_.c_str());
  ASSERT_TRUE(call);
  EXPECT_EQ(call->method, "a.b.C");
  EXPECT_EQ(call->parameters, Json({{"x", 1}}));
}

TEST_F(VarlinkClientTest, MoreGetsEveryReply) {
  VarlinkClient client =
      client_for(continues_text({{"n", 1}}) + continues_text({{"n", 2}}) + reply_text({{"n", 3}}));
  std::vector<int> seen;
  const auto last = client.call_more("a.b.C", Json::object(),
                                     [&](const Json& reply) { seen.push_back(reply["n"]); });
  ASSERT_TRUE(last);
  EXPECT_EQ((*last)["n"], 3);
  EXPECT_EQ(seen, (std::vector<int>{1, 2}));
}

TEST_F(VarlinkClientTest, AnErrorHasErrnoAndMessage) {
  VarlinkClient client = client_for(error_text(fail(EACCES, "service 'web' belongs to uid 7")));
  const auto reply = client.call("a.b.C", Json::object());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, EACCES);
  EXPECT_EQ(reply.error().message, "service 'web' belongs to uid 7");
  ASSERT_TRUE(client.failure());
  EXPECT_EQ(client.failure()->error, "org.outlive.Orchestrator.PermissionDenied");
}

TEST_F(VarlinkClientTest, ErrorsOfTheServiceInterface) {
  VarlinkClient client = client_for(error_text(bad_param("policy", "is unknown")));
  const auto reply = client.call("a.b.C", Json::object());
  ASSERT_FALSE(reply);
  EXPECT_EQ(bad_param_name(reply.error()), "policy");
}

TEST_F(VarlinkClientTest, AnErrnoOutOfRangeIsNotTrusted) {
  VarlinkClient client = client_for(error_text("x.y.Z", Json{{"errno", -5}, {"message", "m"}}));
  const auto reply = client.call("a.b.C", Json::object());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, EREMOTEIO);
}

TEST_F(VarlinkClientTest, ClosedBeforeAndInTheMiddle) {
  VarlinkClient before = client_for("");
  auto reply = before.call("a.b.C", Json::object());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ECONNRESET);
  thread_.join();

  VarlinkClient middle = client_for("{\"parameters\":");
  reply = middle.call("a.b.C", Json::object());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ECONNRESET);
  EXPECT_NE(reply.error().message.find("middle"), std::string::npos);
}

TEST_F(VarlinkClientTest, WhatIsNoReply) {
  for (const std::string& answer : {std::string("hello\0", 6), std::string("[]\0", 3),
                                    std::string("{\"error\":5}\0", 12), continues_text({})}) {
    VarlinkClient client = client_for(answer);
    const auto reply = client.call("a.b.C", Json::object());
    ASSERT_FALSE(reply) << answer;
    EXPECT_EQ(reply.error().code, EPROTO) << answer;
    thread_.join();
  }
}

TEST_F(VarlinkClientTest, ASilentServerTimesOut) {
  VarlinkClient client = client_for("", true);
  client.set_timeout_ms(20);
  const auto reply = client.call("a.b.C", Json::object());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ETIMEDOUT);
}

TEST_F(VarlinkClientTest, TheInterruptFdEndsTheWait) {
  VarlinkClient client = client_for("", true);
  const UniqueFd interrupt = *sys::eventfd(1);
  client.set_interrupt(interrupt);
  const auto reply = client.call("a.b.C", Json::object());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ECANCELED);
}

TEST(VarlinkConnect, ASocketThatIsNotThere) {
  const auto client = VarlinkClient::connect("/nonexistent/control.sock");
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, ENOENT);
  EXPECT_NE(client.error().message.find("/nonexistent/control.sock"), std::string::npos);
}

}  // namespace
}  // namespace outlive::wire
