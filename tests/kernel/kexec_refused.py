"""State from the kernel before that can't be taken over is refused, and which way it is bad is told, with the
kernel's own words: outlived's session without an arena in it; none of outlived's at all, which is a refusal after `outlive
kexec` only, until outlived is ended in order; and a kernel that doesn't read it (EIO). There the policy `reboot` brings a kernel that starts without any.

That last kernel is the test's own with one digit changed: its memfd handler is of another version."""

from case import main
from harness import check, contains, equal
from kernel_images import Image
from kexec_world import cross, launch_outlived, run_outlived, said, start, stop

SERVICE = '[services.counter]\ncommand = ["/host/kernel-counter"]\n'
REBOOT = ('[liveupdate]\non-incoming-failure = "reboot"\n'
          'reboot-command = ["/host/kernel-kexec", "/host/kernel", "/host/initrd"]\n')


def refused(told, *words):
    equal(told["state"], "undefined", "the state")
    for one in (*words, "; the kernel's log: ", "luo: "):
        contains(told["refused"] or "nothing", one, "why it was refused")


def robbed(machine):
    """Somebody was at the device before outlived, and let its session go."""
    machine.must("kernel-memfd", "drop", "outlived")
    return run_outlived(machine, SERVICE)


def test(machine):
    for program in ("outlive", "outlived", "kernel-counter", "kernel-kexec", "kernel-memfd"):
        machine.offer(machine.program(program))
    Image(f"{machine.host}/kernel").has_in_place(b"memfd").save(f"{machine.host}/other-memfd")

    machine.must("kernel-memfd", "save", "outlived")
    machine.kexec()
    told = run_outlived(machine, SERVICE)
    refused(told, "what came through the kexec can't be read: the arena: RETRIEVE_FD: ", "(ENOENT)")
    stop(machine, told)

    told = start(machine)
    equal(told["refused"], None, "the start without a session of outlived's")
    contains(told["machine"], "nothing of it is outlived's: luo: ", "what it says of that")
    said(machine, "fresh")

    told = cross(machine, again=robbed)
    refused(told, "nothing of outlived's came through the kexec: the kernel has no session 'outlived', but the "
            "kernel was loaded by `outlive kexec` at 20", " UTC, for what this outlived kept")
    check("can't be read" not in told["refused"], "told apart from what can't be read")
    stop(machine, told)
    told = start(machine)
    equal(told["refused"], None, "the start after an operator has ended it")
    said(machine, "fresh")
    stop(machine, told)
    told = start(machine)
    equal(told["refused"], None, "and every later one")
    said(machine, "fresh")

    told = cross(machine, "--trust-kernel", kernel="/host/other-memfd",
                 again=lambda one: run_outlived(one, SERVICE))
    refused(told, "the kernel could not read what the one before left (EIO)")
    stop(machine, told)

    launch_outlived(machine, REBOOT + SERVICE)
    machine.wait_ready(machine.stage + 1)
    told = start(machine)
    equal((told["refused"], told["live_update_number"]), (None, 0), "the start after the reboot")
    said(machine, "fresh")


main(test)
