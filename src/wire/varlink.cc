#include "wire/varlink.h"

#include <algorithm>

#include "abi/orchestrator_varlink.h"

namespace outlive::wire {
namespace {

// What every Varlink service has besides its own interface (https://varlink.org/Service).
constexpr char kVarlinkServiceText[] =
    R"(# The Varlink Service Interface is provided by every varlink service. It
# describes the service and the interfaces it implements.
interface org.varlink.service

# Get a list of all the interfaces a service provides and information
# about the implementation.
method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

# Get the description of an interface that is implemented by this service.
method GetInterfaceDescription(interface: string) -> (description: string)

# The requested interface was not found.
error InterfaceNotFound (interface: string)

# The requested method was not found
error MethodNotFound (method: string)

# The interface defines the requested method, but the service does not
# implement it.
error MethodNotImplemented (method: string)

# One of the passed parameters is invalid.
error InvalidParameter (parameter: string)
)";

// The parser keeps its own stack, but dumping recurses: nesting is bounded before anything is
// built.
bool too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxVarlinkDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

std::string framed(const Json& json) {
  std::string text = json_text(json);
  text.push_back('\0');
  return text;
}

// An optional flag of the envelope; EPROTO when it is no boolean.
Result<bool> envelope_flag(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return false;
  if (!found->is_boolean()) return fail(EPROTO, "Varlink: '{}' is no boolean", name);
  return found->get<bool>();
}

Result<std::string> envelope_string(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return std::string();
  if (!found->is_string()) return fail(EPROTO, "Varlink: '{}' is no string", name);
  return found->get_ref<const std::string&>();
}

Result<Json> envelope_parameters(const Json& object) {
  const auto found = object.find("parameters");
  if (found == object.end() || found->is_null()) return Json::object();
  if (!found->is_object()) return fail(EPROTO, "Varlink: 'parameters' is no object");
  return *found;
}

}  // namespace

Result<std::optional<std::string>> VarlinkFramer::next() {
  const size_t end = buffer_.find('\0', std::max(start_, scanned_));
  const size_t length = (end == std::string::npos ? buffer_.size() : end) - start_;
  if (length > kMaxVarlinkMessage) {
    return fail(EMSGSIZE, "Varlink: a message is longer than {} bytes", kMaxVarlinkMessage);
  }
  if (end == std::string::npos) {
    buffer_.erase(0, start_);
    start_ = 0;
    scanned_ = buffer_.size();
    return std::optional<std::string>();
  }
  std::optional<std::string> message = buffer_.substr(start_, length);
  start_ = scanned_ = end + 1;
  return message;
}

Result<Json> parse_json(std::string_view text) {
  if (text.size() > kMaxVarlinkMessage) return fail(EPROTO, "JSON: longer than the limit");
  if (too_deep(text)) return fail(EPROTO, "JSON: nested deeper than {} levels", kMaxVarlinkDepth);
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return fail(EPROTO, "JSON: the text can't be parsed");
  return json;
}

Result<VarlinkCall> parse_call(std::string_view message) {
  const Json json = TRY(parse_json(message));
  if (!json.is_object()) return fail(EPROTO, "Varlink: a call is a JSON object");
  VarlinkCall call;
  call.method = TRY(envelope_string(json, "method"));
  if (call.method.empty()) return fail(EPROTO, "Varlink: a call without 'method'");
  call.parameters = TRY(envelope_parameters(json));
  call.more = TRY(envelope_flag(json, "more"));
  call.oneway = TRY(envelope_flag(json, "oneway"));
  return call;
}

Result<VarlinkReply> parse_reply(std::string_view message) {
  const Json json = TRY(parse_json(message));
  if (!json.is_object()) return fail(EPROTO, "Varlink: a reply is a JSON object");
  VarlinkReply reply;
  reply.error = TRY(envelope_string(json, "error"));
  reply.parameters = TRY(envelope_parameters(json));
  reply.continues = TRY(envelope_flag(json, "continues"));
  return reply;
}

std::string json_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string call_text(const VarlinkCall& call) {
  Json json = {{"method", call.method}, {"parameters", call.parameters}};
  if (call.more) json["more"] = true;
  if (call.oneway) json["oneway"] = true;
  return framed(json);
}

std::string reply_text(const Json& parameters) {
  return framed({{"parameters", parameters}});
}

std::string continues_text(const Json& parameters) {
  return framed({{"parameters", parameters}, {"continues", true}});
}

std::string error_text(std::string_view name, const Json& parameters) {
  return framed({{"error", name}, {"parameters", parameters}});
}

std::string error_text(std::string_view name, const Error& error) {
  return error_text(name, Json{{"errno", error.code}, {"message", error.message}});
}

std::string error_text(const Error& error) {
  if (const std::string field = bad_param_name(error); !field.empty()) {
    return error_text("org.varlink.service.InvalidParameter", Json{{"parameter", field}});
  }
  switch (error.code) {
    case ENOENT:
      return error_text(abi::kErrorNotFound, error);
    case EPERM:
    case EACCES:
      return error_text(abi::kErrorPermissionDenied, error);
    case EAGAIN:
    case EBUSY:
      return error_text(abi::kErrorBusy, error);
    case ESTALE:
      return error_text(abi::kErrorRefused, error);
    default:
      return error_text(abi::kErrorFailed, error);
  }
}

std::string method_not_found_text(std::string_view method) {
  const size_t dot = method.rfind('.');
  const std::string_view interface = dot == method.npos ? method : method.substr(0, dot);
  if (interface != abi::kOrchestratorInterface && interface != "org.varlink.service") {
    return error_text("org.varlink.service.InterfaceNotFound", Json{{"interface", interface}});
  }
  return error_text("org.varlink.service.MethodNotFound", Json{{"method", method}});
}

std::optional<std::string> introspect(const VarlinkService& service, const VarlinkCall& call) {
  static constexpr std::string_view kPrefix = "org.varlink.service.";
  if (!call.method.starts_with(kPrefix)) return std::nullopt;
  const std::string_view method = std::string_view(call.method).substr(kPrefix.size());
  if (method == "GetInfo") {
    return reply_text({{"vendor", service.vendor},
                       {"product", service.product},
                       {"version", service.version},
                       {"url", service.url},
                       {"interfaces", {"org.varlink.service", service.interface_name}}});
  }
  if (method != "GetInterfaceDescription") return method_not_found_text(call.method);
  const Result<std::string> interface = param<std::string>(call.parameters, "interface");
  if (!interface) return error_text(interface.error());
  if (*interface == service.interface_name) {
    return reply_text({{"description", service.interface_text}});
  }
  if (*interface == "org.varlink.service") {
    return reply_text({{"description", kVarlinkServiceText}});
  }
  return error_text("org.varlink.service.InterfaceNotFound", Json{{"interface", *interface}});
}

}  // namespace outlive::wire
