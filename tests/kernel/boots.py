"""The kernel boots, has the device, and still has it after two kexecs."""

from case import main
from harness import contains, equal


def test(machine):
    for stage in (1, 2, 3):
        equal(machine.stage, stage, "the stage")
        contains(machine.read("/proc/misc"), "liveupdate", "the misc devices")
        if stage < 3:
            machine.kexec()


main(test)
