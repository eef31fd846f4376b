#include "client/participation.h"

#include <string.h>

#include "wire/body.h"

namespace outlive::client {
namespace {

// Steps that are remembered: several updates' worth, they queue one behind the other.
constexpr size_t kRemembered = 64;

const char* step_name(abi::Step step) {
  switch (step) {
    case abi::Step::kPrepare:
      return "prepare";
    case abi::Step::kFreeze:
      return "freeze";
    case abi::Step::kAdopt:
      return "adopt";
    case abi::Step::kPreview:
      return "preview";
    default:
      return "step";
  }
}

}  // namespace

Status Participation::set_callbacks(const outlive_participant& participant) {
  const size_t size = participant.size;
  if (size < sizeof participant) {
    return fail(EINVAL, "struct outlive_participant: size {} is smaller than {}", size,
                sizeof participant);
  }
  const std::span bytes(reinterpret_cast<const std::byte*>(&participant), size);
  TRY(wire::check_unknown_bytes(bytes, sizeof participant, size)
          .context("struct outlive_participant"));
  callbacks_ = participant;
  return {};
}

const Participation::Done* Participation::find(uint64_t update, abi::Step step) const {
  for (const Done& done : done_) {
    if (done.update == update && done.step == step) return &done;
  }
  return nullptr;
}

void Participation::remember(uint64_t update, abi::Step step, Answer answer) {
  if (done_.size() == kRemembered) done_.pop_front();
  done_.push_back({update, step, std::move(answer)});
}

Answer Participation::ask(Asked callback, const outlive_event& event, abi::Step step) {
  reason_.clear();
  const int result = callback == nullptr ? 0 : callback(callbacks_.context, &event);
  if (result == 0) return {};
  const int code = result < 0 ? -result : result;
  if (reason_.empty()) reason_ = fmt::format("{} said {}", step_name(step), errno_name(code));
  return {code, std::exchange(reason_, {})};
}

void Participation::tell(Told callback, const outlive_event& event) {
  if (callback != nullptr) callback(callbacks_.context, &event);
}

void Participation::commit(const outlive_event& event) {
  regions_->forbid_growth(false);
  regions_->hold_writes(false);
  tell(callbacks_.committed, event);
}

std::optional<Answer> Participation::handle_question(const outlive_event& event, abi::Step step) {
  const Asked callback = step == abi::Step::kPrepare   ? callbacks_.prepare
                         : step == abi::Step::kFreeze  ? callbacks_.freeze
                         : step == abi::Step::kPreview ? callbacks_.preview
                                                       : callbacks_.adopt;
  Answer answer = ask(callback, event, step);
  if (step == abi::Step::kPrepare && answer.code == 0) regions_->forbid_growth(true);
  remember(event.update, step, answer);
  return answer;
}

std::optional<Answer> Participation::handle(const abi::EventBody& body, bool kernel) {
  const std::string reason(wire::text_of(body.reason));
  const outlive_event event{body.update, body.deadline_ns, reason.c_str(),
                            kernel ? OUTLIVE_EVENT_KERNEL : 0};
  const auto step = static_cast<abi::Step>(body.step);
  if (const Done* done = find(event.update, step)) {
    const bool question =
        step != abi::Step::kCancel && step != abi::Step::kCommitted && step != abi::Step::kRetire;
    return question ? std::optional<Answer>(done->answer) : std::nullopt;
  }
  switch (step) {
    case abi::Step::kPrepare:
      hurry_.begin();
      return handle_question(event, step);
    case abi::Step::kFreeze:
    case abi::Step::kPreview:
    case abi::Step::kAdopt:
      return handle_question(event, step);
    case abi::Step::kCancel: {
      // What never began needs no undoing. An update may begin anew under its id (outlived's worker
      // was replaced): then it asks again, so what was answered before the cancel is forgotten.
      const bool begun = find(event.update, abi::Step::kPrepare) != nullptr ||
                         find(event.update, abi::Step::kFreeze) != nullptr;
      std::erase_if(done_, [&](const Done& done) { return done.update == event.update; });
      regions_->forbid_growth(false);
      hurry_.end();
      if (begun) tell(callbacks_.cancel, event);
      return std::nullopt;
    }
    case abi::Step::kCommitted:
      remember(event.update, step, {});
      commit(event);
      return std::nullopt;
    case abi::Step::kRetire:
      remember(event.update, step, {});
      hurry_.end();
      tell(callbacks_.retire, event);
      return std::nullopt;
    default:
      return Answer{EOPNOTSUPP, fmt::format("step {} is not known", uint32_t{body.step})};
  }
}

Status Participation::adopt_restarted() {
  const outlive_event event{0, 0, "", 0};
  Answer answer = ask(callbacks_.adopt, event, abi::Step::kAdopt);
  if (answer.code != 0) return fail(answer.code, "adopt: {}", answer.reason);
  commit(event);
  return {};
}

}  // namespace outlive::client
