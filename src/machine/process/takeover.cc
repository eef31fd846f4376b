#include "machine/process/takeover.h"

#include <poll.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/clock.h"
#include "base/sys.h"

namespace outlive::machine {
namespace {

uint64_t packed(uint64_t number, abi::TakeoverState state) {
  return number << 8 | static_cast<uint64_t>(state);
}

uint64_t changed_ns(const struct statx& facts) {
  return static_cast<uint64_t>(facts.stx_mtime.tv_sec) * 1'000'000'000 + facts.stx_mtime.tv_nsec;
}

uint64_t device_of(const struct statx& facts) {
  return ::makedev(facts.stx_dev_major, facts.stx_dev_minor);
}

// The word first: whoever reads it never finds the number of somebody else.
void close_word(int64_t& word) {
  const UniqueFd old(static_cast<int>(load_word(word)));
  store_word(word, int64_t{-1});
}

}  // namespace

bool Takeover::move(State from, State to) {
  uint64_t expected = packed(number(), from);
  return std::atomic_ref<uint64_t>(block_.state)
      .compare_exchange_strong(expected, packed(number(), to), std::memory_order_acq_rel);
}

// ---- worker -------------------------------------------------------------------------------------

Result<uint64_t> Takeover::ask(Request request, uint64_t now_ns) {
  const uint64_t before = load_word(block_.state);
  if (busy()) return fail(EBUSY, "an update of outlived is going on: try again when it is over");
  close_word(block_.binary_fd);
  close_word(block_.image_fd);
  block_.request_id[0] = request.id[0];
  block_.request_id[1] = request.id[1];
  block_.flags = request.only_rehearse ? abi::kTakeoverRehearse : 0;
  block_.asked_ns = now_ns;
  block_.stopped_ns = block_.serving_ns = 0;
  block_.reason[0] = '\0';
  store_word(block_.binary_fd, int64_t{request.binary.release()});
  store_word(block_.image_fd, int64_t{request.image.release()});
  const uint64_t number = (before >> 8) + 1;
  begin_times(number, now_ns);
  uint64_t expected = before;
  if (!std::atomic_ref<uint64_t>(block_.state)
           .compare_exchange_strong(expected, packed(number, State::kAsked),
                                    std::memory_order_acq_rel)) {
    return fail(EBUSY, "outlived goes back to the binary before: try again when it is over");
  }
  control_.wake_keeper();
  return number;
}

void Takeover::await_rehearsal() const {
  constexpr uint64_t kPatienceNs = 200'000'000;
  const uint64_t end = system_clock().now_ns() + kPatienceNs;
  while ((state() == State::kAsked || state() == State::kRehearsing) &&
         control_.rehearsal_pid() == 0 && system_clock().now_ns() < end) {
    pollfd wake{control_.worker_wake().get(), POLLIN, 0};
    ::poll(&wake, 1, 10);
    control_.drain_worker_wake();  // whoever woke us is looked at in this turn anyway
  }
}

bool Takeover::stopped(uint64_t now_ns) {
  store_word(block_.stopped_ns, now_ns);
  if (!move(State::kStopping, State::kStopped)) return false;
  control_.wake_keeper();
  return true;
}

bool Takeover::commit() {
  while (load_word(block_.spare_ready) != number()) {
    pollfd wake{control_.worker_wake().get(), POLLIN, 0};
    ::poll(&wake, 1, 100);
    control_.drain_worker_wake();
  }
  if (!move(State::kExecd, State::kCommitted)) return false;
  note(&abi::TakeoverTimes::committed_ns, system_clock().now_ns());
  return true;
}

void Takeover::note_serving(uint64_t now_ns) {
  const abi::TakeoverTimes* times = times_of(number());
  // Of the binary before, too, if this one will not do.
  if (times != nullptr && load_word(times->stopped_ns) != 0) {
    note(&abi::TakeoverTimes::serving_ns, now_ns);
  }
  if (state() != State::kCommitted || load_word(block_.serving_ns) != 0) return;
  store_word(block_.serving_ns, now_ns);
  control_.wake_keeper();
}

bool Takeover::is_current(const uint64_t (&id)[2]) const {
  return busy() && block_.request_id[0] == id[0] && block_.request_id[1] == id[1];
}

std::optional<abi::TakeoverOutcome> Takeover::outcome_of(const uint64_t (&id)[2]) const {
  const abi::TakeoverOutcome* last = nullptr;
  for (const abi::TakeoverOutcome& outcome : block_.outcomes) {
    if (load_word(outcome.number) == 0) continue;
    if (outcome.request_id[0] != id[0] || outcome.request_id[1] != id[1]) continue;
    if (last == nullptr || outcome.number > last->number) last = &outcome;
  }
  return last != nullptr ? std::optional(*last) : std::nullopt;
}

size_t Takeover::outcomes_of(const uint64_t (&id)[2]) const {
  size_t count = 0;
  for (const abi::TakeoverOutcome& one : block_.outcomes) {
    count += load_word(one.number) != 0 && one.request_id[0] == id[0] && one.request_id[1] == id[1];
  }
  return count;
}

std::optional<abi::TakeoverOutcome> Takeover::last_outcome() const {
  constexpr auto rehearsed = static_cast<uint64_t>(abi::TakeoverResult::kRehearsed);
  const abi::TakeoverOutcome* last = nullptr;
  for (const abi::TakeoverOutcome& outcome : block_.outcomes) {
    if (outcome.number == 0 || outcome.result == rehearsed) continue;
    if (last == nullptr || outcome.number > last->number) last = &outcome;
  }
  return last != nullptr ? std::optional(*last) : std::nullopt;
}

Result<UniqueFd> Takeover::last_binary() const {
  const BorrowedFd binary(static_cast<int>(load_word(block_.binary_fd)));
  if (!binary.valid()) return fail(ENOENT, "the file that was rehearsed is not open any more");
  return sys::dup_cloexec(binary, 3);
}

void Takeover::close_leftovers(uint64_t now_ns, bool keep_binary) {
  if (busy()) return;
  if (!keep_binary && load_word(block_.binary_fd) >= 0) close_word(block_.binary_fd);
  for (int64_t* word : {&block_.image_fd, &block_.rehearsal_fd, &block_.rehearsal_pidfd,
                        &block_.life_read_fd, &block_.life_write_fd}) {
    if (load_word(*word) >= 0) close_word(*word);
  }
  if (load_word(block_.previous_fd) >= 0 && now_ns > load_word(block_.probation_until_ns)) {
    close_word(block_.previous_fd);
  }
}

uint64_t Takeover::failures_of(const struct statx& binary) const {
  const bool same = block_.failed_device == device_of(binary) &&
                    block_.failed_inode == binary.stx_ino &&
                    block_.failed_changed_ns == changed_ns(binary);
  return same ? block_.failed_tries : 0;
}

// ---- keeper and spare ---------------------------------------------------------------------------

bool Takeover::begin_back(uint64_t now_ns) {
  const uint64_t before = load_word(block_.state);
  if (busy()) return false;
  const uint64_t back = packed((before >> 8) + 1, State::kStopped);
  uint64_t expected = before;
  if (!std::atomic_ref<uint64_t>(block_.state)
           .compare_exchange_strong(expected, back, std::memory_order_acq_rel)) {
    return false;
  }
  block_.flags = abi::kTakeoverBack;
  block_.asked_ns = block_.stopped_ns = now_ns;
  block_.serving_ns = 0;
  block_.request_id[0] = block_.request_id[1] = 0;
  return true;
}

void Takeover::give_reason(std::string_view reason) {
  if (block_.reason[0] == '\0') set_text(block_.reason, reason);
}

void Takeover::blame_binary() {
  // The file may be on a file system that answers no more: it is asked nothing.
  const Result<struct statx> facts =
      sys::statx_cached(BorrowedFd(static_cast<int>(block_.binary_fd)), STATX_INO | STATX_MTIME);
  if (!facts) return;
  block_.failed_tries = failures_of(*facts) + 1;
  block_.failed_device = device_of(*facts);
  block_.failed_inode = facts->stx_ino;
  block_.failed_changed_ns = changed_ns(*facts);
}

void Takeover::settle(abi::TakeoverResult result, int error, uint64_t now_ns) {
  abi::TakeoverOutcome& outcome = block_.outcomes[number() % abi::kTakeoverOutcomes];
  if (load_word(outcome.number) == number()) return;
  store_word(outcome.number, uint64_t{0});
  const uint64_t number = this->number();
  outcome.request_id[0] = block_.request_id[0];
  outcome.request_id[1] = block_.request_id[1];
  outcome.result = static_cast<uint64_t>(result);
  outcome.error = static_cast<uint64_t>(error);
  const bool paused = block_.stopped_ns != 0 && block_.serving_ns > block_.stopped_ns;
  outcome.pause_ns = paused ? block_.serving_ns - block_.stopped_ns : 0;
  outcome.total_ns = now_ns - block_.asked_ns;
  memcpy(outcome.from, block_.from, sizeof outcome.from);
  memcpy(outcome.to, block_.to, sizeof outcome.to);
  memcpy(outcome.reason, block_.reason, sizeof outcome.reason);
  store_word(outcome.number, number);
  note(&abi::TakeoverTimes::ended_ns, now_ns);
}

// ---- everyone -----------------------------------------------------------------------------------

void Takeover::begin_times(uint64_t number, uint64_t now_ns) const {
  abi::TakeoverTimes& entry = times(number);
  store_word(entry.number, uint64_t{0});
  entry = {};
  entry.started_ns = system_clock().realtime_ns();
  entry.asked_ns = now_ns;
  store_word(entry.number, number);
}

void Takeover::note_of(uint64_t number, Step step, uint64_t now_ns) const {
  abi::TakeoverTimes& entry = times(number);
  if (load_word(entry.number) != number || load_word(entry.*step) != 0) return;
  store_word(entry.*step, now_ns);
}

const abi::TakeoverTimes* Takeover::times_of(uint64_t number) const {
  const abi::TakeoverTimes& entry = times(number);
  return number != 0 && load_word(entry.number) == number ? &entry : nullptr;
}

}  // namespace outlive::machine
