// kernel-kexec KERNEL INITRD: into that kernel, as the machine's next stage, with nothing that
// anybody kept. What [liveupdate] reboot-command is in tests.
#include <unistd.h>

#include "guest/reboot.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    dprintf(STDERR_FILENO, "usage: %s KERNEL INITRD\n", argv[0]);
    return 2;
  }
  const outlive::Error why = outlive::guest::kexec_into(argv[1], argv[2]);
  dprintf(STDERR_FILENO, "%s: %s\n", argv[0], why.text().c_str());
  return 1;
}
