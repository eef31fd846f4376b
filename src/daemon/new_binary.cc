#include "daemon/new_binary.h"

#include <fcntl.h>
#include <unistd.h>

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

Result<UniqueFd> open_binary(const std::string& path) {
  // From here on only this descriptor is used: the file that is rehearsed is the one that runs.
  UniqueFd file = TRY(sys::open(path, O_PATH));
  const struct stat facts = TRY(sys::fstat(file));
  if (!S_ISREG(facts.st_mode)) return fail(EACCES, "{} is no file to execute", path);
  if ((facts.st_mode & 0111) == 0) return fail(EACCES, "{}: Permission denied", path);
  return file;
}

}  // namespace

Status ask_for_binary(const machine::Control& control, BorrowedFd arena, const NewBinary& wanted,
                      uint64_t now_ns) {
  if (control.keeper_pid() == ::getpid()) {
    return fail(EOPNOTSUPP, "outlived runs with --no-keeper: nobody could execute another one");
  }
  const machine::Takeover takeover(control);
  if (takeover.busy()) return fail(EBUSY, "an update of outlived is going on");
  std::string file = wanted.path;
  if (file.empty()) file = TRY(own_path());
  UniqueFd binary = TRY(open_binary(file));
  const struct stat facts = TRY(sys::fstat(binary));
  const uint64_t failures = takeover.failures_of(facts);
  if (failures >= wanted.tries && !wanted.force) {
    return fail(EBUSY, "{} has failed {} times: --force tries it once more", file, failures);
  }
  log_info("update of outlived to {}: rehearsal", file);
  return ask_for_open_binary(control, arena, std::move(binary), wanted, now_ns);
}

Status ask_for_open_binary(const machine::Control& control, BorrowedFd arena, UniqueFd binary,
                           const NewBinary& wanted, uint64_t now_ns) {
  machine::Takeover takeover(control);
  machine::Takeover::Request request;
  request.id[0] = wanted.request.words[0];
  request.id[1] = wanted.request.words[1];
  request.only_rehearse = wanted.only_rehearse;
  request.binary = std::move(binary);
  request.image = TRY(kho::snapshot(arena));
  TRY(takeover.ask(std::move(request), now_ns));
  takeover.await_rehearsal();
  return {};
}

}  // namespace outlive::daemon
