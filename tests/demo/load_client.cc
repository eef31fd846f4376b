#include "load_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <charconv>

namespace outlive::demo {
namespace {

constexpr size_t kPipeline = 8;           // of a slow one: big values asked for
constexpr size_t kNoBody = kBigSize + 2;  // the value and its line end
constexpr size_t kReadSize = 64 * 1024;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

}  // namespace

std::string request(std::initializer_list<std::string_view> words) {
  std::string text = fmt::format("*{}\r\n", words.size());
  for (const std::string_view word : words) text += fmt::format("${}\r\n{}\r\n", word.size(), word);
  return text;
}

LoadClient::LoadClient(size_t index, uint16_t port, bool slow, Tally* tally)
    : index_(index),
      port_(port),
      slow_(slow),
      tally_(tally),
      key_(fmt::format("load:{}", index)),
      body_at_(kNoBody) {}

Status LoadClient::open() {
  fd_ = TRY(sys::socket(AF_INET, SOCK_STREAM));
  // Before the connect: the window is fixed then.
  if (slow_) TRY(sys::set_int_option(fd_, SOL_SOCKET, SO_RCVBUF, 4096));
  TRY(sys::set_int_option(fd_, IPPROTO_TCP, TCP_NODELAY, 1));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port_);
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Status connected = sys::connect(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof name);
  if (!connected) fd_.reset();
  kills_at_open_ = tally_->kills;
  return connected;
}

Status LoadClient::reopen() {
  for (const Expected expected : expected_) uncertain_ += expected == Expected::kNumber ? 1 : 0;
  expected_.clear();
  input_.clear();
  body_at_ = kNoBody;
  fd_.reset();
  return open();
}

void LoadClient::send(uint64_t now_ns) {
  if (!slow_) {
    started_ns_ = now_ns;
    expected_.push_back(Expected::kNumber);
    return push(request({"INCR", key_}));
  }
  while (expected_.size() < 2 * kPipeline && fd_.valid()) {
    expected_.push_back(Expected::kBig);
    expected_.push_back(Expected::kNumber);
    push(request({"GET", kBigKey}) + request({"INCR", key_}));
  }
}

void LoadClient::push(std::string_view bytes) {
  const auto sent = sys::send(fd_, bytes_of(bytes), MSG_NOSIGNAL);
  if (!sent || *sent != bytes.size()) broke(sent ? "short send" : sent.error().message);
}

void LoadClient::receive(size_t most, uint64_t now_ns) {
  static std::array<std::byte, kReadSize> buffer;
  const auto got = sys::recv(fd_, std::span(buffer).first(std::min(most, kReadSize)), MSG_DONTWAIT);
  if (!got && got.error().code == EAGAIN) return;
  if (!got || *got == 0) return broke(got ? "end of the connection" : got.error().message);
  input_.append(reinterpret_cast<const char*>(buffer.data()), *got);
  size_t at = 0;
  while (at < input_.size() && fd_.valid()) {
    if (body_at_ < kNoBody) {
      at += take_body(std::string_view(input_).substr(at));
      continue;
    }
    const size_t end = input_.find("\r\n", at);
    if (end == std::string::npos) break;
    take_line(std::string_view(input_).substr(at, end - at), now_ns);
    at = end + 2;
  }
  input_.erase(0, at);
}

void LoadClient::take_line(std::string_view line, uint64_t now_ns) {
  if (expected_.empty()) {
    ++tally_->wrong;
    return tally_->complain(fmt::format("{}: reply to nothing: {}", key_, line));
  }
  const Expected expected = expected_.front();
  if (line.starts_with('-')) {
    ++tally_->errors;
    tally_->complain(fmt::format("{}: {}", key_, line));
    expected_.pop_front();
  } else if (expected == Expected::kBig && line == fmt::format("${}", kBigSize)) {
    body_at_ = 0;
  } else if (int64_t value = 0;
             expected == Expected::kNumber && line.starts_with(':') &&
             std::from_chars(line.begin() + 1, line.end(), value).ptr == line.end()) {
    take_number(value, now_ns);
  } else {
    ++tally_->wrong;
    tally_->complain(fmt::format("{}: reply '{}'", key_, line));
    expected_.pop_front();
  }
}

void LoadClient::take_number(int64_t value, uint64_t now_ns) {
  if (value <= last_) {
    ++tally_->lost;
    tally_->complain(fmt::format("{}: {} after {}", key_, value, last_));
  } else if (value > last_ + 1 + uncertain_) {
    ++tally_->duplicated;
    tally_->complain(fmt::format("{}: {} after {}", key_, value, last_));
  }
  last_ = value;
  uncertain_ = 0;
  ++tally_->requests;
  expected_.pop_front();
  if (!slow_) tally_->records.push_back({started_ns_, now_ns - started_ns_});
}

// Of the big value; returns how many bytes it took.
size_t LoadClient::take_body(std::string_view bytes) {
  const size_t size = std::min(bytes.size(), kNoBody - body_at_);
  for (size_t i = 0; i < size; ++i, ++body_at_) {
    const char want = body_at_ < kBigSize ? big_byte(body_at_) : "\r\n"[body_at_ - kBigSize];
    if (bytes[i] == want) continue;
    ++tally_->wrong;
    tally_->complain(fmt::format("{}: byte {} of the big value", key_, body_at_));
  }
  if (body_at_ == kNoBody) {
    ++tally_->requests;
    expected_.pop_front();
  }
  return size;
}

void LoadClient::broke(std::string_view why) {
  fd_.reset();
  // A slow one comes to the end of what the dead one sent much later: so this is no matter of time.
  const bool killed = kills_at_open_ < tally_->kills;
  ++(killed ? tally_->reconnects_after_kill : tally_->reconnects);
  if (!killed) tally_->complain(fmt::format("{}: {}", key_, why));
}

}  // namespace outlive::demo
