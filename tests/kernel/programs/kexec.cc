// kernel-kexec KERNEL INITRD: into that kernel, as the machine's next stage, with nothing that
// anybody kept. What [liveupdate] reboot-command is in tests. `load KERNEL INITRD`: loads it, and
// leaves the rest to others.
#include <unistd.h>

#include <string>

#include "guest/reboot.h"

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "load") {
    const outlive::Status loaded = outlive::guest::load_kernel(argv[2], argv[3]);
    if (!loaded) dprintf(STDERR_FILENO, "%s\n", loaded.error().text().c_str());
    return loaded ? 0 : 1;
  }
  if (argc != 3) {
    dprintf(STDERR_FILENO, "usage: %s KERNEL INITRD\n", argv[0]);
    return 2;
  }
  const outlive::Error why = outlive::guest::kexec_into(argv[1], argv[2]);
  dprintf(STDERR_FILENO, "%s: %s\n", argv[0], why.text().c_str());
  return 1;
}
