// The call UpdateOutlived and its answers, for who serves and for who only holds.
#pragma once

#include <string>

#include "machine/process/takeover.h"
#include "wire/varlink.h"

namespace outlive::daemon {

struct SelfUpdateCall {
  wire::RequestId request;
  std::string binary;  // absolute; empty: the one that runs
  bool force = false;
};

// EPERM: `uid` may not; EINVAL: a parameter.
Result<SelfUpdateCall> self_update_call(uint64_t uid, const wire::Json& parameters);

// The last answer, or the error of an update that was refused.
Result<wire::Json> self_update_result(const abi::TakeoverOutcome& outcome,
                                      const machine::Takeover& takeover);

// Errors of a binary that will not do are told apart: trying again would end the same way.
std::string refused_text(const Error& error);

}  // namespace outlive::daemon
