// Varlink: JSON objects over a stream socket, each ended by one NUL byte. Framing, the messages as
// values, typed parameters, and the introspection every Varlink service answers. No I/O here: the
// daemon feeds a VarlinkFramer from its event loop, the blocking client is wire/varlink_client.h.
//
// Happy path of a server:  framer.append(bytes) -> framer.next() -> parse_call() -> introspect() or
// its own method, which reads param<T>() -> reply_text() or error_text(Error).
// Unhappy: a message that is too long, too deep or no call is an Error: EPROTO or EMSGSIZE, close
// the connection. A wrong parameter is an Error that error_text() turns into InvalidParameter.
//
// Nothing throws: JSON is parsed with exceptions off, dumped with bad UTF-8 replaced, and read only
// through the functions below. Limits: 1 MiB a message, kMaxVarlinkDepth levels of nesting.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace outlive::wire {

using Json = nlohmann::json;

inline constexpr size_t kMaxVarlinkMessage = 1 << 20;
inline constexpr int kMaxVarlinkDepth = 32;

struct VarlinkCall {
  std::string method;  // "org.outlive.Orchestrator.Status"
  Json parameters = Json::object();
  bool more = false;
  bool oneway = false;
};

struct VarlinkReply {
  std::string error;  // qualified name; empty: no error
  Json parameters = Json::object();
  bool continues = false;
};

// Cuts a byte stream into messages.
class VarlinkFramer {
 public:
  void append(std::string_view bytes) { buffer_.append(bytes); }
  // The next whole message, without its NUL; nullopt: more bytes are needed. EMSGSIZE for good when
  // the message exceeds the limit.
  Result<std::optional<std::string>> next();
  bool empty() const { return buffer_.size() == start_; }

 private:
  std::string buffer_;
  size_t start_ = 0;    // of the first unread message
  size_t scanned_ = 0;  // no NUL before this
};

// Any JSON text within the limits; EPROTO says what is wrong with it.
Result<Json> parse_json(std::string_view text);
Result<VarlinkCall> parse_call(std::string_view message);
Result<VarlinkReply> parse_reply(std::string_view message);

// Finished messages with their NUL.
std::string call_text(const VarlinkCall& call);
std::string reply_text(const Json& parameters);
std::string continues_text(const Json& parameters);  // one of several: the call said "more"
std::string error_text(std::string_view name, const Json& parameters);
// {"errno", "message"} under one of the names of abi/orchestrator_varlink.h.
std::string error_text(std::string_view name, const Error& error);
// Chooses the name: a parameter's Error: org.varlink.service.InvalidParameter; ENOENT: NotFound;
// EPERM, EACCES: PermissionDenied; EAGAIN, EBUSY: Busy; ESTALE: Refused; else Failed.
std::string error_text(const Error& error);
// What no method of ours is: org.varlink.service.MethodNotFound (or InterfaceNotFound).
std::string method_not_found_text(std::string_view method);
// JSON for people or for the wire; bytes that are no UTF-8 are replaced. indent < 0: one line.
std::string json_text(const Json& json, int indent = -1);

// The parameter `name` as T: bool, int64_t, uint64_t, std::string, std::vector<std::string>, or
// std::optional of one of these (absent and null are nullopt). The Error of a missing or wrongly
// typed one is EBADMSG and names the field.
template <typename T>
Result<T> param(const Json& parameters, std::string_view name);
// EBADMSG naming the first field that is none of these.
Status only_params(const Json& parameters, std::initializer_list<std::string_view> known);
// The Error for a parameter of the right type and a value that makes no sense.
Error bad_param(std::string_view name, std::string_view why);
// The field that such an Error names; empty for another Error.
std::string bad_param_name(const Error& error);

// 16 random bytes as 32 hex digits and back: two words, first is the high one. EBADMSG otherwise.
struct RequestId {
  uint64_t words[2] = {0, 0};
  friend bool operator==(const RequestId&, const RequestId&) = default;
};
Result<RequestId> request_id_param(const Json& parameters);
std::string hex_text(uint64_t value);  // u64 as the interface writes it
Result<uint64_t> hex_param(const Json& parameters, std::string_view name);

// What the service says about itself.
struct VarlinkService {
  std::string vendor, product, version, url;
  std::string interface_name;  // besides org.varlink.service
  std::string interface_text;
};
// The reply to a method of org.varlink.service; nullopt when it is none of these.
std::optional<std::string> introspect(const VarlinkService& service, const VarlinkCall& call);

}  // namespace outlive::wire
