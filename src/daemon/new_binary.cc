#include "daemon/new_binary.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "kho/snapshot.h"

namespace outlive::daemon {
namespace {

// A package's upgrade replaces the file that runs: its link then says so.
Result<std::string> own_path() {
  constexpr std::string_view kDeleted = " (deleted)";
  std::string path = TRY(sys::readlink("/proc/self/exe"));
  if (path.ends_with(kDeleted)) path.resize(path.size() - kDeleted.size());
  return path;
}

}  // namespace

Status BinaryAsker::ask(NewBinary wanted) {
  if (control_.keeper_pid() == ::getpid()) {
    return fail(EOPNOTSUPP, "outlived runs with --no-keeper: nobody could execute another one");
  }
  if (is_looking() || machine::Takeover(control_).busy()) {
    return fail(EBUSY, "an update of outlived is going on");
  }
  if (wanted.path.empty()) wanted.path = TRY(own_path());
  failed_.reset();
  looking_ = std::move(wanted);
  opener_.open({::geteuid(), ::getegid(), looking_->path}, [this](Result<UniqueFd> binary) {
    const NewBinary asked = *std::exchange(looking_, std::nullopt);
    const Status status = opened(std::move(binary), asked);
    if (!status) failed_ = {asked.request, status.error()};
    news_ = true;
  });
  return {};
}

const Error* BinaryAsker::failure_of(const wire::RequestId& request) const {
  return failed_ && failed_->first == request ? &failed_->second : nullptr;
}

Status BinaryAsker::opened(Result<UniqueFd> binary, const NewBinary& wanted) {
  if (!binary) return binary.take_error();
  // From here on only this descriptor is used: the file that is rehearsed is the one that runs.
  if (Status good = check(*binary, wanted); !good) {
    opener_.drop(std::move(binary));
    return good;
  }
  TRY(sys::set_cloexec(*binary, true));
  log_info("update of outlived to {}: rehearsal", wanted.path);
  return ask_for_open(std::move(*binary), wanted);
}

// By what is cached since it was looked up: to ask for it could wait as long again.
Status BinaryAsker::check(BorrowedFd binary, const NewBinary& wanted) const {
  const struct statx facts =
      TRY(sys::statx_cached(binary, STATX_TYPE | STATX_MODE | STATX_INO | STATX_MTIME));
  if (!S_ISREG(facts.stx_mode)) return fail(EACCES, "{} is no file to execute", wanted.path);
  if ((facts.stx_mode & 0111) == 0) return fail(EACCES, "{}: Permission denied", wanted.path);
  const uint64_t failures = machine::Takeover(control_).failures_of(facts);
  if (failures >= wanted.tries && !wanted.force) {
    return fail(EBUSY, "{} has failed {} times: --force tries it once more", wanted.path, failures);
  }
  return {};
}

Status BinaryAsker::ask_for_open(UniqueFd binary, const NewBinary& wanted) {
  machine::Takeover takeover(control_);
  machine::Takeover::Request request;
  request.id[0] = wanted.request.words[0];
  request.id[1] = wanted.request.words[1];
  request.only_rehearse = wanted.only_rehearse;
  request.binary = std::move(binary);
  request.image = TRY(kho::snapshot(arena_));
  TRY(takeover.ask(std::move(request), system_clock().now_ns()));
  takeover.await_rehearsal();
  return {};
}

}  // namespace outlive::daemon
