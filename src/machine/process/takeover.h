// Takeover: outlived's own replacement by another binary, as the words of abi/takeover.h. Worker,
// keeper and spare each have their verbs; who does what when is drawn there.
//
//   worker    ask -> (keeper) -> wants_stop: leave with kHandoverCode -> the next one: commit
//   keeper    rehearsal.h, keeper_takeover.cc       spare   keeper_revert.cc
//
// Every step is one compare-and-swap of the state: a step that comes too late does nothing, and
// says so. Threads: one a process.
#pragma once

#include <optional>
#include <string>

#include "machine/process/control.h"

namespace outlive::machine {

// A worker's exit code: it left because Takeover::wants_stop().
inline constexpr int kHandoverCode = 76;

class Takeover {
 public:
  using State = abi::TakeoverState;
  explicit Takeover(const Control& control) : control_(control), block_(control.block().takeover) {}

  State state() const { return static_cast<State>(load_word(block_.state) & 0xff); }
  uint64_t number() const { return load_word(block_.state) >> 8; }
  bool busy() const { return state() != State::kIdle; }
  // Between the exec and the commit.
  bool undecided() const { return state() == State::kExecd; }
  // False: it isn't in `from` (any more).
  bool move(State from, State to);

  // --- worker ------------------------------------------------------------------------------------
  struct Request {
    uint64_t id[2] = {0, 0};
    UniqueFd binary;
    UniqueFd image;  // copy of the arena, for the rehearsal
    bool only_rehearse = false;
  };
  // The request's number. EBUSY: one is going on. Then both fds belong to the block.
  Result<uint64_t> ask(Request request, uint64_t now_ns);
  // Waits until the rehearsal has its copy of the table (about as long as a fork takes), so that it
  // is of the same moment as its copy of the arena.
  void await_rehearsal() const;
  bool wants_stop() const { return state() == State::kStopping; }
  // From here on nobody is answered, and the worker does nothing but end. False: given up, go on.
  bool stopped(uint64_t now_ns);
  // The new worker, attached and ready: waits for the spare of its table, then takes over for good.
  // False: the old one has; leave without having done anything.
  bool commit();
  // From here on requests are answered, if a takeover waits for that.
  void note_serving(uint64_t now_ns);
  // What became of a request, of several with this id the last: nullopt: it is going on, or
  // unknown.
  std::optional<abi::TakeoverOutcome> outcome_of(const uint64_t (&id)[2]) const;
  std::optional<abi::TakeoverOutcome> last_outcome() const;
  // How many of the last ones had this id.
  size_t outcomes_of(const uint64_t (&id)[2]) const;
  bool is_current(const uint64_t (&id)[2]) const;
  // Closes what no takeover needs any more. While serving, now and then. `keep_binary`: but the
  // file of the last request, for another one.
  void close_leftovers(uint64_t now_ns, bool keep_binary = false);
  // The file of the last request, opened again. ENOENT: it has been closed.
  Result<UniqueFd> last_binary() const;
  // How often this very file (its cached facts: STATX_INO | STATX_MTIME) has failed since the last
  // success.
  uint64_t failures_of(const struct statx& binary) const;

  // --- keeper and spare --------------------------------------------------------------------------
  // A new number, for going back to the binary before. False: something is going on.
  bool begin_back(uint64_t now_ns);
  bool goes_back() const { return (load_word(block_.flags) & abi::kTakeoverBack) != 0; }
  bool only_rehearses() const { return (load_word(block_.flags) & abi::kTakeoverRehearse) != 0; }
  // Keeps the first reason of a takeover.
  void give_reason(std::string_view reason);
  std::string reason() const { return text_of(block_.reason); }
  // Writes down how it ended; may be repeated. `error`: errno of a refusal.
  void settle(abi::TakeoverResult result, int error, uint64_t now_ns);
  // A failure of the binary itself counts for the guard.
  void blame_binary();

  // --- everyone ----------------------------------------------------------------------------------
  // Writes down when a step was over, for the timeline; the first time counts. `number`: of which
  // takeover; one that nobody began to write down is left alone.
  using Step = uint64_t abi::TakeoverTimes::*;
  void note(Step step, uint64_t now_ns) const { note_of(number(), step, now_ns); }
  void note_of(uint64_t number, Step step, uint64_t now_ns) const;
  // nullptr: none were written down, or they were too long ago.
  const abi::TakeoverTimes* times_of(uint64_t number) const;

  abi::TakeoverBlock& block() const { return block_; }

  template <size_t N>
  static std::string text_of(const char (&field)[N]) {
    return std::string(field, ::strnlen(field, N));
  }
  template <size_t N>
  static void set_text(char (&field)[N], std::string_view text) {
    const size_t length = std::min(text.size(), N - 1);
    text.copy(field, length);
    field[length] = '\0';
  }

 private:
  void begin_times(uint64_t number, uint64_t now_ns) const;
  abi::TakeoverTimes& times(uint64_t number) const {
    return control_.block().takeover_times[number % abi::kTakeoverOutcomes];
  }

  const Control& control_;
  abi::TakeoverBlock& block_;
};

}  // namespace outlive::machine
