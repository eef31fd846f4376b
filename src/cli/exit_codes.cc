#include "cli/exit_codes.h"

#include "abi/orchestrator_varlink.h"

namespace outlive::cli {

int exit_code(const Error& error, std::string_view varlink_error) {
  // First, so that state which is held is never taken for one that would be lost.
  if (error.code == ESTALE) return kExitRefused;
  if (varlink_error == abi::kErrorRefused) return kExitWouldLose;
  if (varlink_error == abi::kErrorBusy) return kExitTryAgain;
  if (varlink_error == abi::kErrorPermissionDenied) return kExitNoPermission;
  if (varlink_error == "org.varlink.service.InvalidParameter") return kExitUsage;
  switch (error.code) {
    case EPERM:
    case EACCES:
      return kExitNoPermission;
    case ENOTCONN:
      return kExitNotRunning;
    case EAGAIN:
    case ETIMEDOUT:
    case ECONNRESET:
      return kExitTryAgain;
    case ECANCELED:
      return kExitInterrupted;
    default:
      return kExitFailed;
  }
}

}  // namespace outlive::cli
