"""The kernel's own test of LUO (CONFIG_LIVEUPDATE_TEST): global state that lives as long as files of a
kind are preserved. It speaks in the log: preserved with the first file, found by the next kernel,
finished with the last file."""

from case import main
from harness import check

FLBS = 3


def count(machine, what):
    return sum("liveupdate test:" in line and what in line for line in machine.kernel_log())


def expect(machine, **wanted):
    for what, number in wanted.items():
        text = what.replace("_", " ")
        got = count(machine, text)
        check(got == number, f"'{text}' is {got} times in the log, not {number}:\n" +
              "\n".join(line for line in machine.kernel_log() if "liveupdate" in line))


def test(machine):
    machine.offer(machine.program("kernel-memfd"))
    expect(machine, Registered=1, preserve_was_triggered=0, ERROR=0, Failed=0)
    machine.must("kernel-memfd", "save")
    expect(machine, preserve_was_triggered=FLBS, found_flb_data=0)
    machine.kexec()
    expect(machine, found_flb_data=FLBS, finish_was_triggered=0)
    machine.must("kernel-memfd", "check")
    expect(machine, finish_was_triggered=FLBS, ERROR=0, Failed=0)


main(test)
