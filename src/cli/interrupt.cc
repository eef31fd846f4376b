#include "cli/interrupt.h"

#include <signal.h>
#include <sys/signalfd.h>

namespace outlive::cli {

Interrupt Interrupt::catch_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  Interrupt interrupt;
  interrupt.fd_ = UniqueFd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (interrupt.fd_.valid()) ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  return interrupt;
}

}  // namespace outlive::cli
