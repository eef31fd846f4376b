"""The kernel's selftest `luo_kexec_simple` (a session with a memfd): stage 1, a kexec, stage 2."""

import selftests
from case import main


def test(machine):
    selftests.over_kexec(machine, "luo_kexec_simple", "SIMPLE KEXEC TEST PASSED")


main(test)
