// Every command's replies, byte by byte, with a clock of our own.
#include "commands.h"

#include <gtest/gtest.h>

#include <sstream>

#include "test_memory.h"

namespace kv {
namespace {

class CommandsTest : public testing::Test {
 protected:
  CommandsTest() { EXPECT_TRUE(store_.create(1, 0)); }
  // Words apart by spaces; "''" is the empty one.
  std::string run(const std::string& line) {
    std::istringstream in(line);
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word == "''" ? "" : word);
    const Arguments arguments(words.begin(), words.end());
    std::string out;
    Call call{store_, arguments, now_ms_, &out, info_};
    execute(call);
    return out;
  }

  outlive::Memory memory_ = test_memory();
  Store store_{Heap(memory_.handle())};
  uint64_t now_ms_ = 1000000;
  std::function<std::string()> info_ = [] { return "kv_version:2\r\n"; };
};

TEST_F(CommandsTest, Values) {
  EXPECT_EQ(run("GET a"), "$-1\r\n");
  EXPECT_EQ(run("set a hello"), "+OK\r\n");
  EXPECT_EQ(run("gEt a"), "$5\r\nhello\r\n");
  EXPECT_EQ(run("MSET a 1 b 2"), "+OK\r\n");
  EXPECT_EQ(run("MGET a x b"), "*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n2\r\n");
  EXPECT_EQ(run("EXISTS a b x a"), ":3\r\n");
  EXPECT_EQ(run("DBSIZE"), ":2\r\n");
  EXPECT_EQ(run("DEL a x"), ":1\r\n");
  EXPECT_EQ(run("STRLEN b"), ":1\r\n");
  EXPECT_EQ(run("FLUSHALL"), "+OK\r\n");
  EXPECT_EQ(run("DBSIZE"), ":0\r\n");
}

TEST_F(CommandsTest, Incr) {
  EXPECT_EQ(run("INCR n"), ":1\r\n");
  EXPECT_EQ(run("INCR n"), ":2\r\n");
  EXPECT_EQ(run("GET n"), "$1\r\n2\r\n");
  run("SET n abc");
  EXPECT_EQ(run("INCR n"), "-ERR value is not an integer or out of range\r\n");
  run("SET n 9223372036854775807");
  EXPECT_EQ(run("INCR n"), "-ERR increment or decrement would overflow\r\n");
}

TEST_F(CommandsTest, SetOptions) {
  EXPECT_EQ(run("SET a 1 XX"), "$-1\r\n");
  EXPECT_EQ(run("SET a 1 NX"), "+OK\r\n");
  EXPECT_EQ(run("SET a 2 NX"), "$-1\r\n");
  EXPECT_EQ(run("SET a 3 xx EX 10"), "+OK\r\n");
  EXPECT_EQ(run("TTL a"), ":10\r\n");
  EXPECT_EQ(run("SET a 3 PX 1500"), "+OK\r\n");
  now_ms_ += 1499;
  EXPECT_EQ(run("GET a"), "$1\r\n3\r\n");
  now_ms_ += 1;
  EXPECT_EQ(run("GET a"), "$-1\r\n");
  EXPECT_EQ(run("SET a 1 NX XX"), "-ERR syntax error\r\n");
  EXPECT_EQ(run("SET a 1 EX"), "-ERR syntax error\r\n");
  EXPECT_EQ(run("SET a 1 EX 1 PX 1"), "-ERR syntax error\r\n");
  EXPECT_EQ(run("SET a 1 EX 0"), "-ERR invalid expire time in 'set' command\r\n");
  EXPECT_EQ(run("SET a 1 EX 9223372036854775807"), "-ERR invalid expire time in 'set' command\r\n");
  EXPECT_EQ(run("SET a 1 EX x"), "-ERR value is not an integer or out of range\r\n");
}

TEST_F(CommandsTest, ExpireAndTtl) {
  EXPECT_EQ(run("TTL a"), ":-2\r\n");
  EXPECT_EQ(run("EXPIRE a 10"), ":0\r\n");
  run("SET a 1");
  EXPECT_EQ(run("TTL a"), ":-1\r\n");
  EXPECT_EQ(run("EXPIRE a 10"), ":1\r\n");
  EXPECT_EQ(run("TTL a"), ":10\r\n");
  now_ms_ += 10000;
  EXPECT_EQ(run("TTL a"), ":-2\r\n");
  run("SET a 1");
  EXPECT_EQ(run("EXPIRE a -1"), ":1\r\n");
  EXPECT_EQ(run("GET a"), "$-1\r\n");
}

TEST_F(CommandsTest, WhatClientsAskAtTheStart) {
  EXPECT_EQ(run("PING"), "+PONG\r\n");
  EXPECT_EQ(run("PING x"), "$1\r\nx\r\n");
  EXPECT_EQ(run("ECHO ''"), "$0\r\n\r\n");
  EXPECT_EQ(run("COMMAND DOCS"), "*0\r\n");
  EXPECT_EQ(run("CONFIG GET save"), "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
  EXPECT_EQ(run("CONFIG GET appendonly"), "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n");
  EXPECT_EQ(run("CONFIG GET other"), "*0\r\n");
  EXPECT_EQ(run("INFO"), "$14\r\nkv_version:2\r\n\r\n");
}

TEST_F(CommandsTest, WrongOnesAreNamed) {
  EXPECT_EQ(run("NOPE a"), "-ERR unknown command 'NOPE'\r\n");
  EXPECT_EQ(run("GET"), "-ERR wrong number of arguments for 'GET' command\r\n");
  EXPECT_EQ(run("MSET a 1 b"), "-ERR wrong number of arguments for 'mset' command\r\n");
  EXPECT_EQ(run("no\tpe"), "-ERR unknown command 'no'\r\n") << "apart by the tab";
  EXPECT_EQ(run("\x01\x7f"), "-ERR unknown command '\?\?'\r\n");
}

TEST_F(CommandsTest, DigestIsOfAPrefix) {
  run("MSET data:1 a data:2 b other 1");
  const std::string digest = run("DIGEST data:");
  run("INCR other");
  EXPECT_EQ(run("DIGEST data:"), digest);
  run("SET data:2 c");
  EXPECT_NE(run("DIGEST data:"), digest);
}

}  // namespace
}  // namespace kv
