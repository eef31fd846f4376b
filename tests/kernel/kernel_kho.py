"""The kernel's own test of Kexec HandOver (CONFIG_TEST_KEXEC_HANDOVER): it fills memory and preserves it
when a kernel boots cold, and compares it in the next one; both say so in their log."""

from case import main
from harness import check

RESTORED = "KHO restore succeeded"


def test(machine):
    check(not any("KHO restore" in line for line in machine.kernel_log()),
          "a kernel that booted cold has restored something")
    machine.kexec()
    log = machine.kernel_log()
    check(any(RESTORED in line for line in log), f"'{RESTORED}' is not in the log:\n" + "\n".join(log))


main(test)
