"""The kernel's selftest `luo_multi_session` (sessions, two of them empty): stage 1, a kexec, stage 2."""

import selftests
from case import main


def test(machine):
    selftests.over_kexec(machine, "luo_multi_session", "MULTI-SESSION KEXEC TEST PASSED")


main(test)
