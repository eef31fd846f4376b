#include <sys/wait.h>

#include "compat/compat.h"
#include "compat/faults.h"
#include "compat/holder.h"
#include "compat/program.h"

namespace outlive::compat {
namespace {

constexpr int kNotFound = 127;
constexpr int kNotExecutable = 126;

// The holder keeps the rules that it was made with.
Status check_kernel(Link& link, const Options& options) {
  const Link::Reply hello = TRY(link.ask(abi::CompatRequest::kLook));
  if (!options.kernel_given || hello.answer.kernel == static_cast<uint32_t>(options.kernel)) {
    return {};
  }
  return fail(EINVAL, "this device has the rules of another kernel: --stop it first");
}

}  // namespace

Result<int> run(const Options& options) {
  if (!options.faults.empty()) TRY(parse_faults(options.faults));
  Link link = TRY(options.socket.empty() ? Holder::spawn(options.kernel)
                                         : Holder::ensure(options.socket, options.kernel));
  TRY(check_kernel(link, options));
  if (!options.faults.empty()) TRY(link.ask(abi::CompatRequest::kFaults, options.faults));
  Result<Program> program = Program::start(options.command, std::move(link));
  if (!program) {
    const int code = program.error().code;
    if (code != ENOENT && code != EACCES && code != ENOEXEC) return program.take_error();
    if (options.warn) options.warn(program.error().text());
    return code == ENOENT ? kNotFound : kNotExecutable;
  }
  const int status = TRY(program->wait(options.interrupt));
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

Result<uint64_t> reboot(const std::string& socket) {
  Link link = TRY(Link::connect(socket));
  const Link::Reply reply = TRY(link.ask(abi::CompatRequest::kReboot));
  return uint64_t{reply.answer.number};
}

Status stop(const std::string& socket) {
  Link link = TRY(Link::connect(socket));
  TRY(link.ask(abi::CompatRequest::kStop));
  link.wait_until_closed();
  return {};
}

}  // namespace outlive::compat
