// Fault points: places that a test can make fail, or die at, by name.
//
//   if (int code = fault("kho.alloc")) return fail(code, "injected");
//   FAULT_POINT("luo.commit");            // only dies (kill) or runs the hook, never fails
//
// Armed by OUTLIVE_FAULTS="NAME:N=ACTION[,...]": at the N-th hit (1 = first; 0 = every) of NAME
// (a trailing '*' matches a prefix) do ACTION: an errno's name, `kill` (SIGKILL to ourselves),
// `abort` (SIGABRT), or `hang` (for ever, awake).
// OUTLIVE_FAULTS="@PATH": armed and counted through a page, while we run (base/fault_page.h).
// Unarmed, a fault point costs one load and one branch.
// Threads: arm before there are any; hits are counted without locks and meant for one thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace outlive {

extern bool faults_armed;
int fault_slow(const char* name);

// 0, or the errno that the caller shall fail with.
inline int fault(const char* name) {
  return faults_armed ? fault_slow(name) : 0;
}

// Replaces what is armed; "" disarms. EINVAL for a text that can't be read.
Status arm_faults(std::string_view text);
// Called at every hit with the name; its non-zero answer is the errno to inject. For tests that
// count or crash (by throwing their own token through test code only). An empty function removes
// it.
void set_fault_hook(std::function<int(const char*)> hook);

}  // namespace outlive

#define FAULT_POINT(name) static_cast<void>(::outlive::fault(name))
