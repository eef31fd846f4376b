// One connection of the load generator: sends INCR on a key of its own and checks every reply.
//
// The reply to an INCR must be the last one + 1. More: an effect was applied twice. Less: an
// acknowledged effect is gone. After a lost connection it is not known whether the requests in
// flight were carried out: the next reply may be that much higher, never lower.
//
// A slow one also asks for a big value, again and again, and reads a few KiB at a time, so that kv
// always has output for it that the socket doesn't take; each byte of the value is checked.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/sys.h"

namespace outlive::demo {

inline constexpr size_t kBigSize = 1 << 20;
inline constexpr char kBigKey[] = "data:big";
// What stands at `index` of the big value.
constexpr char big_byte(size_t index) {
  return static_cast<char>('A' + (index * 7 + index / 251) % 26);
}

struct Record {
  uint64_t start_ns;
  uint64_t latency_ns;
};

// What was seen, over all connections.
struct Tally {
  uint64_t requests = 0;  // answered
  uint64_t errors = 0;    // "-..." replies, failed connects
  uint64_t reconnects = 0;
  uint64_t reconnects_after_kill = 0;
  uint64_t lost = 0;  // effects that are gone, and replies that never came
  uint64_t duplicated = 0;
  uint64_t wrong = 0;           // replies that are no answer to the question
  uint64_t kills = 0;           // of kv: connections opened before the last one may break
  std::vector<Record> records;  // of the requests of those that don't read slowly
  std::string first_complaint;
  void complain(std::string text) {
    if (first_complaint.empty()) first_complaint = std::move(text);
  }
};

std::string request(std::initializer_list<std::string_view> words);

class LoadClient {
 public:
  LoadClient(size_t index, uint16_t port, bool slow, Tally* tally);

  Status open();
  BorrowedFd fd() const { return fd_; }
  bool slow() const { return slow_; }
  bool broken() const { return !fd_.valid(); }
  bool idle() const { return expected_.empty(); }
  size_t in_flight() const { return expected_.size(); }
  // An idle one sends one INCR; a slow one fills its pipeline.
  void send(uint64_t now_ns);
  // Reads at most `most` bytes and checks them.
  void receive(size_t most, uint64_t now_ns);
  // Connects again; what was in flight may or may not have been carried out.
  Status reopen();

 private:
  enum class Expected : uint8_t { kNumber, kBig };
  void push(std::string_view bytes);
  void take_line(std::string_view line, uint64_t now_ns);
  void take_number(int64_t value, uint64_t now_ns);
  size_t take_body(std::string_view bytes);
  void broke(std::string_view why);

  size_t index_;
  uint16_t port_;
  bool slow_;
  Tally* tally_;
  UniqueFd fd_;
  std::string key_, input_;
  std::deque<Expected> expected_;
  uint64_t started_ns_ = 0;
  int64_t last_ = 0;
  uint64_t kills_at_open_ = 0;
  int64_t uncertain_ = 0;  // INCRs of which nobody knows
  size_t body_at_ = 0;     // in the big value; kBigSize + 2: not in it
};

}  // namespace outlive::demo
