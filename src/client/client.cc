#include "client/client.h"

#include <charconv>
#include <string_view>

#include "base/sys.h"

namespace outlive::client {

Client::Client(UniqueFd socket, UniqueFd epoll, UniqueFd wake)
    : connection_(std::move(socket)), epoll_(std::move(epoll)), wake_(std::move(wake)) {}

Result<std::unique_ptr<Client>> Client::create(UniqueFd socket) {
  UniqueFd epoll = TRY(sys::epoll_create());
  UniqueFd wake = TRY(sys::eventfd(0));
  TRY(sys::epoll_ctl(epoll, EPOLL_CTL_ADD, socket, EPOLLIN, 0));
  TRY(sys::epoll_ctl(epoll, EPOLL_CTL_ADD, wake, EPOLLIN, 1));
  return std::unique_ptr<Client>(new Client(std::move(socket), std::move(epoll), std::move(wake)));
}

// The poll fd is readable for as long as there are events that the socket no longer shows.
void Client::update_wake() {
  if (connection_.has_event() == woken_) return;
  woken_ = !woken_;
  uint64_t word = 1;
  const auto bytes = std::as_writable_bytes(std::span(&word, 1));
  const auto done = woken_ ? sys::write(wake_, bytes) : sys::read(wake_, bytes);
  if (!done) woken_ = !woken_;  // tried again at the next call
}

Result<size_t> Client::dispatch() {
  if (dispatching_) return fail(EDEADLK, "outlive_dispatch() was called from a callback");
  Status arrived = connection_.pump();
  dispatching_ = true;
  size_t handled = 0;
  while (const auto event = connection_.next_event()) {
    ++handled;
    if (const auto said = participation_.handle(event->body, event->kernel)) {
      answer(event->body, *said);
    }
  }
  dispatching_ = false;
  update_wake();
  if (!arrived && handled == 0) {
    // Whatever update there was, nobody will say its end.
    regions_->forbid_growth(false);
    return arrived.take_error();
  }
  return handled;
}

// An answer that outlived no longer wants (its deadline passed, the update was cancelled) is
// refused; what follows from that comes as an event. A lost connection shows at the next call.
void Client::answer(const abi::EventBody& event, const Answer& answer) {
  auto request = wire::sized<abi::StepRequest>();
  request.step = event.step;
  request.update = event.update;
  wire::write_text(answer.reason, request.reason);
  const auto verb = answer.code == 0 ? abi::Request::kReady : abi::Request::kVeto;
  static_cast<void>(connection_.call(verb, request));
}

Result<abi::Role> Client::participate(const outlive_participant& participant, uint64_t instance) {
  if (participates_) return fail(EEXIST, "this connection takes part already");
  TRY(participation_.set_callbacks(participant));
  auto request = wire::sized<abi::ParticipateRequest>();
  request.state_version = participant.state_version;
  request.oldest_state_version = participant.oldest_state_version;
  request.instance = instance;
  const Reply reply = TRY(call(abi::Request::kParticipate, request));
  const auto body = TRY(wire::read_body<abi::ParticipateReply>(reply.body).context("PARTICIPATE"));
  participates_ = true;
  update_ = body.update;
  const auto role = static_cast<abi::Role>(body.role);
  if (role == abi::Role::kSuccessor || role == abi::Role::kRestarted) {
    regions_->hold_writes(true);
  }
  if (role == abi::Role::kRestarted) TRY(participation_.adopt_restarted());
  return role;
}

Status Client::say_ready(abi::Step step, uint64_t update) {
  auto request = wire::sized<abi::StepRequest>();
  request.step = static_cast<uint32_t>(step);
  request.update = update;
  TRY(call(abi::Request::kReady, request));
  return {};
}

Status Client::ready() {
  if (update_ != 0) participation_.hurry().begin();
  return say_ready(abi::Step::kStart, update_);
}

// outlived ends the update by itself once no session is incoming any more.
Status Client::end_update(abi::Request request) {
  TRY(call(request, wire::sized<abi::SizeOnly>()));
  participation_.hurry().end();
  return {};
}

Result<uint64_t> parse_instance(const char* text) {
  if (text == nullptr || *text == '\0') return uint64_t{0};
  std::string_view digits = text;
  int base = 10;
  if (digits.starts_with("0x") || digits.starts_with("0X")) {
    digits.remove_prefix(2);
    base = 16;
  } else if (digits.find_first_not_of("0123456789") != std::string_view::npos) {
    base = 16;
  }
  uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, value, base);
  if (parsed.ec != std::errc{} || parsed.ptr != end) {
    return fail(EINVAL, "OUTLIVE_INSTANCE='{}' is no number", text);
  }
  return value;
}

}  // namespace outlive::client
