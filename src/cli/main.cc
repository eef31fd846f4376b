// outlive: the operators' command. cli/run_cli.cc knows the verbs, cli/exit_codes.h the exit codes.
#include <unistd.h>

#include "cli/cli.h"
#include "cli/interrupt.h"

int main(int argc, char** argv) {
  using namespace outlive;
  cli::Surroundings around;
  around.terminal = ::isatty(STDERR_FILENO) == 1;

  const cli::Interrupt interrupt = cli::Interrupt::catch_signals();
  around.interrupt = interrupt.fd();
  return cli::run_cli({argv + (argc > 0 ? 1 : 0), argv + argc}, around);
}
