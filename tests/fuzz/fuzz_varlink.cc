// The control side's bytes: framing, JSON, calls against the interface, parameters, replies. The
// first byte says where the stream is cut in two.
#include "abi/orchestrator_varlink.h"
#include "base/check.h"
#include "fuzz.h"
#include "wire/varlink.h"
#include "wire/varlink_interface.h"

namespace outlive::fuzz {
namespace {

const wire::VarlinkInterface& ours() {
  static const wire::VarlinkInterface interface =
      wire::VarlinkInterface::parse(abi::kOrchestratorVarlink).take();
  return interface;
}

void read_parameters(const wire::Json& parameters) {
  static_cast<void>(wire::param<bool>(parameters, "force"));
  static_cast<void>(wire::param<int64_t>(parameters, "lines"));
  static_cast<void>(wire::param<uint64_t>(parameters, "pid"));
  static_cast<void>(wire::param<std::optional<std::string>>(parameters, "after"));
  static_cast<void>(wire::param<std::vector<std::string>>(parameters, "argv"));
  static_cast<void>(wire::request_id_param(parameters));
  static_cast<void>(wire::hex_param(parameters, "after"));
  static_cast<void>(wire::only_params(parameters, {"force", "lines"}));
}

void take_message(const std::string& message) {
  const auto reply = wire::parse_reply(message);
  const auto call = wire::parse_call(message);
  if (!call) {
    static_cast<void>(wire::error_text(call.error()));
    return;
  }
  const size_t dot = call->method.rfind('.');
  const std::string name = dot == std::string::npos ? call->method : call->method.substr(dot + 1);
  static_cast<void>(ours().check_call(name, call->parameters));
  static_cast<void>(ours().check_reply(name, call->parameters));
  read_parameters(call->parameters);
  static_cast<void>(wire::introspect({"v", "p", "1", "u", "i", "t"}, *call));
  static_cast<void>(wire::method_not_found_text(call->method));
  // What was understood can be said, and is understood again.
  std::string text = wire::call_text(*call);
  CHECK(!text.empty() && text.back() == '\0');
  text.pop_back();
  const auto again = wire::parse_call(text);
  CHECK(!again || again->more == call->more);
}

}  // namespace

void run(Input input) {
  Reader reader(input);
  const auto cut = reader.take<uint8_t>();
  wire::VarlinkFramer framer;
  framer.append(text_of(reader.take_bytes(cut)));
  for (int piece = 0; piece < 2; ++piece) {
    for (;;) {
      const auto message = framer.next();
      if (!message) return;
      if (!*message) break;
      take_message(**message);
    }
    framer.append(text_of(reader.take_bytes(reader.rest().size())));
  }
}

void make_seeds(const Keep& keep) {
  const auto call = [](std::string_view method, wire::Json parameters) {
    return wire::call_text({"org.outlive.Orchestrator." + std::string(method), parameters});
  };
  const std::string id = "00112233445566778899aabbccddeeff";
  const std::string status = call("Status", wire::Json::object());
  keep("status", "\x20" + status);
  keep("two", "\x20" + status + call("Fsck", wire::Json::object()));
  keep("run", "\x20" + call("Run", {{"request_id", id},
                                    {"name", "web"},
                                    {"argv", {"/bin/web", "8080"}},
                                    {"env", {"A=B"}},
                                    {"listen", {"tcp:127.0.0.1:8080"}}}));
  keep("update", "\x20" + call("Update", {{"request_id", id}, {"service", "web"}}));
  keep("log", "\x20" + call("Log", {{"service", nullptr}, {"previous", false}, {"lines", 10}}));
  keep("info", "\x20" + wire::call_text({"org.varlink.service.GetInfo"}));
  keep("reply", "\x20" + wire::reply_text({{"clean", true}, {"findings", {"a", "b"}}}));
  keep("error", "\x20" + wire::error_text(fail(ENOENT, "no service 'x'")));
  keep("nested", "\x20" + std::string(40, '[') + std::string(40, ']') + '\0');
}

}  // namespace outlive::fuzz
