// Packets of a client on a real socket: framing, headers, and the body of each request. An input is
// packets, each {u16 size; bytes}.
#include "abi/wire.h"
#include "base/check.h"
#include "base/sys.h"
#include "fuzz.h"
#include "wire/body.h"
#include "wire/message.h"

namespace outlive::fuzz {
namespace {

template <typename T>
void read_one(std::span<const std::byte> body) {
  const auto value = wire::read_body<T>(body);
  if (!value) return;
  static_cast<void>(wire::body_tail(body));
  static_cast<void>(wire::reply_bytes(*value, value->size));
}

template <typename T, typename Entry>
void read_many(std::span<const std::byte> body) {
  const auto value = wire::read_body<T>(body);
  if (!value) return;
  const auto entries = wire::read_tail<Entry>(body, value->count);
  CHECK(!entries || entries->size() == value->count);
}

template <typename T>
void read_named(std::span<const std::byte> body) {
  const auto value = wire::read_body<T>(body);
  if (!value) return;
  const auto name = wire::read_name(value->name);
  if (name) static_cast<void>(wire::check_name(*name, "name"));
}

void read_session(abi::Request request, std::span<const std::byte> body) {
  switch (request) {
    case abi::Request::kPreserveFd:
    case abi::Request::kRetrieveFd:
    case abi::Request::kUnpreserveFd:
      return read_one<abi::FdRequest>(body);
    case abi::Request::kPreserveMany:
    case abi::Request::kRetrieveMany:
    case abi::Request::kUnpreserveMany:
      return read_many<abi::ManyRequest, uint64_t>(body);
    case abi::Request::kGetName:
      return read_named<abi::GetNameRequest>(body);
    default:
      return read_one<abi::SizeOnly>(body);
  }
}

void read_body_of(const wire::Message& message) {
  const std::span<const std::byte> body = message.body;
  if ((message.header.flags & abi::kFlagReply) != 0) {
    static_cast<void>(wire::read_error_text(body));
  }
  switch (message.request()) {
    case abi::Request::kCreateSession:
    case abi::Request::kRetrieveSession:
    case abi::Request::kEndSession:
      return read_named<abi::SessionRequest>(body);
    case abi::Request::kList:
    case abi::Request::kListFiles:
      return read_one<abi::ListRequest>(body);
    case abi::Request::kStatus:
      return read_one<abi::StatusRequest>(body);
    case abi::Request::kAddSubtree:
    case abi::Request::kRemoveSubtree:
    case abi::Request::kRetrieveSubtree:
      return read_named<abi::SubtreeRequest>(body);
    case abi::Request::kParticipate:
      return read_one<abi::ParticipateRequest>(body);
    case abi::Request::kReady:
    case abi::Request::kVeto:
      return read_one<abi::StepRequest>(body);
    case abi::Request::kPreviewList:
    case abi::Request::kPreviewMany:
      return read_one<abi::PreviewRequest>(body);
    case abi::Request::kFdDataQuery:
      return read_one<abi::DataQueryRequest>(body);
    case abi::Request::kEvent:
      return read_one<abi::EventBody>(body);
    default:
      return read_session(message.request(), body);
  }
}

}  // namespace

void run(Input input) {
  const sys::SocketPair pair = sys::socketpair(SOCK_SEQPACKET).take();
  wire::Buffer buffer;
  for (Reader reader(input); !reader.empty();) {
    const Input packet = reader.take_bytes(reader.take<uint16_t>());
    if (!sys::send(pair.first, packet, MSG_DONTWAIT)) return;
    const auto peeked = wire::peek(pair.second, buffer);
    if (!peeked) return;  // the connection's end
    if (peeked->arrival == wire::Arrival::kMessage) read_body_of(peeked->message);
    if (!wire::consume(pair.second)) return;
  }
}

namespace {

std::string packet(const abi::MessageHeader& header, std::span<const std::byte> body) {
  std::string text(reinterpret_cast<const char*>(&header), sizeof header);
  text += text_of(body);
  const auto size = static_cast<uint16_t>(text.size());
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + text;
}

template <typename T>
std::string request(abi::Request number, const std::function<void(T&)>& fill = {},
                    std::string_view tail = {}) {
  T body = wire::sized<T>();
  if (fill) fill(body);
  std::string text(text_of(wire::bytes_of(body)));
  text += tail;
  return packet(wire::request_header(number, 1), std::as_bytes(std::span(text)));
}

}  // namespace

void make_seeds(const Keep& keep) {
  const auto create = request<abi::SessionRequest>(
      abi::Request::kCreateSession, [](auto& body) { wire::write_name("kept", body.name); });
  keep("create", create);
  const uint64_t tokens[] = {1, 2, 3};
  const std::string_view tail(reinterpret_cast<const char*>(tokens), sizeof tokens);
  const auto many = request<abi::ManyRequest>(
      abi::Request::kPreserveMany, [](auto& body) { body.count = 3; }, tail);
  keep("preserve-many", many);
  keep("two", create + many);
  keep("list", request<abi::ListRequest>(abi::Request::kList));
  keep("status", request<abi::StatusRequest>(abi::Request::kStatus));
  keep("subtree", request<abi::SubtreeRequest>(
                      abi::Request::kAddSubtree,
                      [](auto& body) { wire::write_name("note", body.name); }, "for the next one"));
  keep("participate", request<abi::ParticipateRequest>(abi::Request::kParticipate));
  keep("veto", request<abi::StepRequest>(abi::Request::kVeto));
  keep("preview", request<abi::PreviewRequest>(abi::Request::kPreviewMany));
  keep("query", request<abi::DataQueryRequest>(abi::Request::kFdDataQuery));
  keep("event", packet(wire::event_header(), wire::bytes_of(wire::sized<abi::EventBody>())));
  const auto header = wire::reply_header(wire::request_header(abi::Request::kFinish, 1), -EBUSY);
  keep("error", packet(header, wire::bytes_of(wire::error_body(fail(EBUSY, "not now")))));
}

}  // namespace outlive::fuzz
