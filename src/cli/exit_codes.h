// The exit codes of `outlive`, as outlive(1) documents them. Those above 63 are of sysexits.h.
#pragma once

#include <string_view>

#include "base/result.h"

namespace outlive::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;       // what was asked for failed, or fsck found something
inline constexpr int kExitUsage = 2;        // unknown command, option or value
inline constexpr int kExitRolledBack = 3;   // the update was cancelled: the old one serves
inline constexpr int kExitWouldLose = 4;    // refused, or a plan that says so: files would be lost
inline constexpr int kExitNotRunning = 69;  // no outlived answers
inline constexpr int kExitTryAgain = 75;    // busy, or no answer in time
inline constexpr int kExitNoPermission = 77;  // somebody else's
inline constexpr int kExitRefused = 78;       // outlived holds what it has, and serves nobody
inline constexpr int kExitInterrupted = 130;  // Ctrl-C; an update goes on by itself

// `varlink_error` is the qualified name of the error that outlived replied, empty for our own.
int exit_code(const Error& error, std::string_view varlink_error);

}  // namespace outlive::cli
