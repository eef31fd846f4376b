#include "wire/varlink.h"

#include <gtest/gtest.h>

#include "abi/orchestrator_varlink.h"

namespace outlive::wire {
namespace {

using std::string_literals::operator""s;

// The JSON of a finished message, which must end in exactly one NUL.
Json unframe(const std::string& text) {
  EXPECT_EQ(text.find('\0'), text.size() - 1);
  return Json::parse(text.substr(0, text.size() - 1), nullptr, false);
}

TEST(VarlinkFramer, CutsMessagesWhereverTheBytesAreSplit) {
  const std::string stream = "{\"a\":1}\0{\"b\":2}\0\0"s;
  for (size_t step = 1; step <= stream.size(); ++step) {
    VarlinkFramer framer;
    std::vector<std::string> messages;
    for (size_t at = 0; at < stream.size(); at += step) {
      framer.append(std::string_view(stream).substr(at, step));
      for (;;) {
        auto message = framer.next();
        ASSERT_TRUE(message);
        if (!*message) break;
        messages.push_back(**message);
      }
    }
    EXPECT_EQ(messages, (std::vector<std::string>{"{\"a\":1}", "{\"b\":2}", ""}));
    EXPECT_TRUE(framer.empty());
  }
}

TEST(VarlinkFramer, KeepsAnUnfinishedMessage) {
  VarlinkFramer framer;
  framer.append("{\"a\"");
  auto message = framer.next();
  ASSERT_TRUE(message);
  EXPECT_FALSE(*message);
  EXPECT_FALSE(framer.empty());
}

TEST(VarlinkFramer, RefusesWhatExceedsTheLimit) {
  VarlinkFramer framer;
  framer.append(std::string(kMaxVarlinkMessage, 'x'));
  ASSERT_TRUE(framer.next());
  framer.append("x");
  auto message = framer.next();
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().code, EMSGSIZE);
}

TEST(ParseCall, TakesAllOfTheEnvelope) {
  const auto call =
      parse_call(R"({"method":"a.b.C","parameters":{"x":1},"more":true,"oneway":false,"new":0})");
  ASSERT_TRUE(call);
  EXPECT_EQ(call->method, "a.b.C");
  EXPECT_EQ(call->parameters, Json({{"x", 1}}));
  EXPECT_TRUE(call->more);
  EXPECT_FALSE(call->oneway);
}

TEST(ParseCall, ParametersMayBeAbsentOrNull) {
  for (const char* text : {R"({"method":"a.b.C"})", R"({"method":"a.b.C","parameters":null})"}) {
    const auto call = parse_call(text);
    ASSERT_TRUE(call) << text;
    EXPECT_TRUE(call->parameters.is_object());
  }
}

TEST(ParseCall, RefusesWhatIsNoCall) {
  for (const char* text :
       {"", "{", "[]", "1", "null", "{}", R"({"method":1})", R"({"method":""})",
        R"({"method":"a.b","parameters":[]})", R"({"method":"a.b","parameters":"x"})",
        R"({"method":"a.b","more":1})", R"({"method":"a.b","oneway":"yes"})",
        "{\"method\":\"\xff\"}", R"({"method":"a.b"} x)"}) {
    const auto call = parse_call(text);
    ASSERT_FALSE(call) << text;
    EXPECT_EQ(call.error().code, EPROTO) << text;
  }
}

TEST(ParseJson, BoundsTheNesting) {
  const auto nested = [](int levels) {
    return std::string(static_cast<size_t>(levels), '[') +
           std::string(static_cast<size_t>(levels), ']');
  };
  EXPECT_TRUE(parse_json(nested(kMaxVarlinkDepth)));
  EXPECT_FALSE(parse_json(nested(kMaxVarlinkDepth + 1)));
  EXPECT_FALSE(parse_json(nested(400'000)));
  // Brackets inside a string are no nesting, also behind an escaped quote.
  EXPECT_TRUE(parse_json("\"\\\"" + std::string(100, '[') + "\""));
}

TEST(Builders, MakeMessagesThatParseAgain) {
  const auto call = parse_call(std::string_view(
      call_text({.method = "a.b.C", .parameters = {{"x", "y"}}, .more = true}).c_str()));
  ASSERT_TRUE(call);
  EXPECT_TRUE(call->more);
  EXPECT_EQ(call->parameters["x"], "y");

  EXPECT_EQ(unframe(reply_text({{"pid", 7}})), Json::parse(R"({"parameters":{"pid":7}})"));
  EXPECT_EQ(unframe(continues_text(Json::object())),
            Json::parse(R"({"parameters":{},"continues":true})"));
  const auto reply = parse_reply(error_text(abi::kErrorBusy, fail(EBUSY, "wait")).c_str());
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->error, "org.outlive.Orchestrator.Busy");
  EXPECT_EQ(reply->parameters, Json({{"errno", EBUSY}, {"message", "wait"}}));
}

TEST(Builders, ReplaceBytesThatAreNoUtf8) {
  const Json json = unframe(reply_text({{"name",
                                         "a\xff"
                                         "b"}}));
  EXPECT_EQ(json["parameters"]["name"],
            "a\xef\xbf\xbd"
            "b");
}

TEST(ErrorText, ChoosesTheNameByErrno) {
  const auto name_of = [](const Error& error) {
    return parse_reply(error_text(error).c_str())->error;
  };
  EXPECT_EQ(name_of(fail(ENOENT, "x")), "org.outlive.Orchestrator.NotFound");
  EXPECT_EQ(name_of(fail(EPERM, "x")), "org.outlive.Orchestrator.PermissionDenied");
  EXPECT_EQ(name_of(fail(EACCES, "x")), "org.outlive.Orchestrator.PermissionDenied");
  EXPECT_EQ(name_of(fail(EAGAIN, "x")), "org.outlive.Orchestrator.Busy");
  EXPECT_EQ(name_of(fail(EBUSY, "x")), "org.outlive.Orchestrator.Busy");
  EXPECT_EQ(name_of(fail(ESTALE, "x")), "org.outlive.Orchestrator.Refused");
  EXPECT_EQ(name_of(fail(EIO, "x")), "org.outlive.Orchestrator.Failed");
  EXPECT_EQ(name_of(fail(EBADMSG, "x")), "org.outlive.Orchestrator.Failed");
}

TEST(Param, ReadsEveryType) {
  const Json json = Json::parse(
      R"({"b":true,"i":-3,"u":18446744073709551615,"s":"text","l":["a","b"],"n":null})");
  EXPECT_TRUE(*param<bool>(json, "b"));
  EXPECT_EQ(*param<int64_t>(json, "i"), -3);
  EXPECT_EQ(*param<uint64_t>(json, "u"), UINT64_MAX);
  EXPECT_EQ(*param<std::string>(json, "s"), "text");
  EXPECT_EQ(*param<std::vector<std::string>>(json, "l"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(*param<std::optional<int64_t>>(json, "n"), std::nullopt);
  EXPECT_EQ(*param<std::optional<int64_t>>(json, "absent"), std::nullopt);
  EXPECT_EQ(*param<std::optional<int64_t>>(json, "i"), -3);
}

// Each must be the Error that becomes InvalidParameter naming `name`.
template <typename T>
void expect_bad(const Json& json, const std::string& name) {
  const Result<T> value = param<T>(json, name);
  ASSERT_FALSE(value) << json << " " << name;
  const Json reply = unframe(error_text(value.error()));
  EXPECT_EQ(reply["error"], "org.varlink.service.InvalidParameter");
  EXPECT_EQ(reply["parameters"], Json({{"parameter", name}}));
}

TEST(Param, NamesTheFieldThatIsWrong) {
  const Json json = Json::parse(
      R"({"b":1,"i":1.5,"big":18446744073709551615,"neg":-1,"s":5,"nul":"a\u0000b","l":["a",1]})");
  expect_bad<bool>(json, "b");
  expect_bad<int64_t>(json, "i");
  expect_bad<int64_t>(json, "big");
  expect_bad<uint64_t>(json, "neg");
  expect_bad<std::string>(json, "s");
  expect_bad<std::string>(json, "nul");
  expect_bad<std::string>(json, "absent");
  expect_bad<std::vector<std::string>>(json, "l");
  expect_bad<std::optional<bool>>(json, "b");
  EXPECT_FALSE(param<bool>(Json::array(), "b"));
}

TEST(Param, OnlyKnownOnes) {
  EXPECT_TRUE(only_params({{"a", 1}}, {"a", "b"}));
  const Status status = only_params({{"a", 1}, {"c", 1}}, {"a", "b"});
  ASSERT_FALSE(status);
  EXPECT_EQ(bad_param_name(status.error()), "c");
}

TEST(Param, HexAndRequestId) {
  EXPECT_EQ(*hex_param({{"id", "5f2a"}}, "id"), 0x5f2au);
  EXPECT_EQ(*hex_param({{"id", hex_text(UINT64_MAX)}}, "id"), UINT64_MAX);
  for (const char* text : {"", "g", "0x1", "-1", "1 ", "11111111111111111"}) {
    EXPECT_FALSE(hex_param({{"id", text}}, "id")) << text;
  }
  const auto id = request_id_param({{"request_id", "0123456789abcdef00000000000000ff"}});
  ASSERT_TRUE(id);
  EXPECT_EQ(id->words[0], 0x0123456789abcdefu);
  EXPECT_EQ(id->words[1], 0xffu);
  for (const char* text :
       {"", "0123456789ABCDEF00000000000000ff", "0123456789abcdef00000000000000f"}) {
    EXPECT_FALSE(request_id_param({{"request_id", text}})) << text;
  }
}

const VarlinkService kService = {.vendor = "outlive",
                                 .product = "outlived",
                                 .version = "1",
                                 .url = "https://example.org",
                                 .interface_name = abi::kOrchestratorInterface,
                                 .interface_text = abi::kOrchestratorVarlink};

TEST(Introspect, AnswersTheServiceInterface) {
  const auto info = introspect(kService, {.method = "org.varlink.service.GetInfo"});
  ASSERT_TRUE(info);
  const Json parameters = unframe(*info)["parameters"];
  EXPECT_EQ(parameters["product"], "outlived");
  EXPECT_EQ(parameters["interfaces"], Json({"org.varlink.service", "org.outlive.Orchestrator"}));

  const auto describe = [](const Json& call_parameters) {
    return unframe(*introspect(kService, {.method = "org.varlink.service.GetInterfaceDescription",
                                          .parameters = call_parameters}));
  };
  EXPECT_EQ(describe({{"interface", abi::kOrchestratorInterface}})["parameters"]["description"],
            abi::kOrchestratorVarlink);
  EXPECT_TRUE(describe({{"interface", "org.varlink.service"}})["parameters"]["description"]
                  .get<std::string>()
                  .find("method GetInfo()") != std::string::npos);
  EXPECT_EQ(describe({{"interface", "a.b"}})["error"], "org.varlink.service.InterfaceNotFound");
  EXPECT_EQ(describe(Json::object())["error"], "org.varlink.service.InvalidParameter");
}

TEST(Introspect, LeavesOtherMethodsAlone) {
  EXPECT_FALSE(introspect(kService, {.method = "org.outlive.Orchestrator.Status"}));
  EXPECT_EQ(unframe(*introspect(kService, {.method = "org.varlink.service.Nope"}))["error"],
            "org.varlink.service.MethodNotFound");
  EXPECT_EQ(unframe(method_not_found_text("org.outlive.Orchestrator.Nope"))["parameters"]["method"],
            "org.outlive.Orchestrator.Nope");
  EXPECT_EQ(unframe(method_not_found_text("a.b.Nope"))["error"],
            "org.varlink.service.InterfaceNotFound");
}

}  // namespace
}  // namespace outlive::wire
