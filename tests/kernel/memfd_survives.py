"""A memfd in a session: content (also what was written after PRESERVE_FD), size, a hole and the position
are there after a kexec, and after FINISH; the session is gone then."""

from case import main
from harness import contains, equal


def test(machine):
    machine.offer(machine.program("kernel-memfd"))
    before = machine.run("kernel-memfd", "check")
    equal(before.code, 1, "checking what nobody has saved")
    contains(before.out, "RETRIEVE_SESSION", "why")
    machine.must("kernel-memfd", "save")
    machine.kexec()
    machine.must("kernel-memfd", "check")
    again = machine.run("kernel-memfd", "check")
    equal(again.code, 1, "checking again after FINISH")
    contains(again.out, "RETRIEVE_SESSION", "why")


main(test)
