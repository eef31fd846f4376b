// The RESP parser: every portion in which a pipelined input can arrive gives the same requests.
#include "resp.h"

#include <gtest/gtest.h>

namespace kv {
namespace {

using Requests = std::vector<std::vector<std::string>>;

// Feeds `portions` one after the other, as a connection would.
Requests parse_all(const std::vector<std::string>& portions, std::string* rest) {
  Requests requests;
  std::string pending;
  Arguments arguments;
  for (const std::string& portion : portions) {
    pending += portion;
    for (;;) {
      const Parsed parsed = parse_request(pending, &arguments);
      EXPECT_NE(parsed.kind, Parsed::Kind::kError) << parsed.error;
      if (parsed.kind != Parsed::Kind::kRequest) break;
      requests.emplace_back(arguments.begin(), arguments.end());
      pending.erase(0, parsed.size);
    }
  }
  *rest = pending;
  return requests;
}

using namespace std::string_literals;  // "..."s keeps NUL bytes

const std::string kPipeline =
    "*1\r\n$4\r\nPING\r\n"s
    "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n\r\n$3\r\n*1\r\n\r\n"s  // a value that looks like
                                                                  // protocol
    "*0\r\n\r\n"s
    "*2\r\n$3\r\nGET\r\n$0\r\n\r\n"s
    "*3\r\n$4\r\nECHO\r\n$2\r\n\0\r\r\n$1\r\n\n\r\n"s;

TEST(Resp, EverySplitPointGivesTheSameRequests) {
  const Requests want = {{"PING"},    {"SET", "k", "\r\n$3\r\n*1\r\n"}, {}, {},
                         {"GET", ""}, {"ECHO", "\0\r"s, "\n"}};
  std::string rest;
  for (size_t first = 0; first <= kPipeline.size(); ++first) {
    for (size_t second = first; second <= kPipeline.size(); ++second) {
      const Requests got =
          parse_all({kPipeline.substr(0, first), kPipeline.substr(first, second - first),
                     kPipeline.substr(second)},
                    &rest);
      ASSERT_EQ(got, want) << "split at " << first << " and " << second;
      ASSERT_EQ(rest, "");
    }
  }
}

TEST(Resp, ByteByByteKeepsWhatIsUnfinished) {
  const std::string whole = "*2\r\n$4\r\nINCR\r\n$1\r\na\r\n";
  Arguments arguments;
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(parse_request(whole.substr(0, size), &arguments).kind, Parsed::Kind::kIncomplete)
        << size;
  }
  const Parsed parsed = parse_request(whole + "*1", &arguments);
  EXPECT_EQ(parsed.kind, Parsed::Kind::kRequest);
  EXPECT_EQ(parsed.size, whole.size());
}

TEST(Resp, WhatIsNotTheProtocolIsAnError) {
  Arguments arguments;
  for (const char* bad :
       {"*x\r\n", "*-\r\n", "*1\r\n:3\r\n", "*1\r\n$-1\r\n", "*1\r\n$99999999999\r\n", "*70000\r\n",
        "*1\r\n$1\r\nabc", "*000000000000000000000000000000000000",
        "*1\r\n$999999999999999999999\r\n"}) {
    EXPECT_EQ(parse_request(bad, &arguments).kind, Parsed::Kind::kError) << bad;
  }
}

TEST(Resp, LinesOfWords) {
  Arguments arguments;
  const std::string line = "SET  a\tb \r\nPING\r\n";
  EXPECT_EQ(parse_request(line, &arguments).size, 11U);
  EXPECT_EQ(arguments, (Arguments{"SET", "a", "b"}));
  EXPECT_EQ(parse_request("PING\r", &arguments).kind, Parsed::Kind::kIncomplete);
  EXPECT_EQ(parse_request("\r\n", &arguments).size, 2U);
  EXPECT_TRUE(arguments.empty());
  EXPECT_EQ(parse_request(std::string(kMaxLine + 1, 'x'), &arguments).kind, Parsed::Kind::kError);
}

TEST(Resp, Replies) {
  std::string out;
  reply_simple(&out, "OK");
  reply_error(&out, "ERR no");
  reply_integer(&out, INT64_MIN);
  reply_array(&out, 2);
  reply_bulk(&out, "a\r\nb");
  reply_null(&out);
  EXPECT_EQ(out, "+OK\r\n-ERR no\r\n:-9223372036854775808\r\n*2\r\n$4\r\na\r\nb\r\n$-1\r\n");
}

TEST(Resp, Integers) {
  int64_t value = 0;
  for (const char* good : {"0", "-1", "9223372036854775807", "-9223372036854775808"}) {
    EXPECT_TRUE(parse_integer(good, &value)) << good;
    EXPECT_EQ(std::to_string(value), good);
  }
  for (const char* bad : {"", "-", "+1", "01", "-0", " 1", "1 ", "9223372036854775808", "1.0"}) {
    EXPECT_FALSE(parse_integer(bad, &value)) << bad;
  }
}

}  // namespace
}  // namespace kv
